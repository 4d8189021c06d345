"""Events of a run → a response: one object, or the frames of a stream.

Format: OpenAI's `Response` and `ResponseStreamEvent` (openai-openapi v2.3.0), in the order that
its strictest clients insist on; `[DONE]` at the end is Open Responses'.
"""

import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import orjson

from retinue.run.events import Event, RunFinished, TextDelta, Usage
from retinue.serve.wire.chat import EXTENSION
from retinue.serve.wire.errors import ErrorAnswer
from retinue.serve.wire.frames import DONE, Frames
from retinue.serve.wire.responses_output import Fields, Output, Style
from retinue.store.records import Batch

_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}


def new_token() -> str:
    """What the ids of an answer have in common; no id gets longer than the 40 that OpenAI takes."""
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """What every object of an answer repeats. `created` is in Unix seconds.

    `echo` are the request's parameters as they took effect. `store` is whether the response is
    going to be kept, `previous` the one that it goes on from, and `conversation` where it belongs.
    """

    model: str
    echo: Mapping[str, Any] = field(default_factory=dict)
    token: str = field(default_factory=new_token)
    created: int = field(default_factory=lambda: int(time.time()))
    store: bool = False
    background: bool = False
    previous: str | None = None
    conversation: str | None = None

    @property
    def id(self) -> str:
        return f"resp_{self.token}"

    def output(self, style: Style = "openai") -> Output:
        """The items of this answer, none yet."""
        return Output(self.token, style)

    def begun(self) -> Fields:
        """The response before there is anything in it."""
        return self._object("in_progress", [], None)

    def finished(self, items: list[Fields], finish: RunFinished) -> Fields:
        """The response when the run has ended."""
        how = ended(finish)
        body = self._object(how["status"], items, usage(finish.usage)) | how
        if how["status"] == "completed":
            body["completed_at"] = max(self.created, int(time.time()))
        return body

    def failed(self, items: list[Fields], error: ErrorAnswer) -> Fields:
        """The response when it can't be completed."""
        told = {"code": "server_error", "message": error.message}
        return self._object("failed", items, None) | {"error": told}

    def _object(self, status: str, items: list[Fields], spent: Fields | None) -> Fields:
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "completed_at": None,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "model": self.model,
            "output": items,
            **self.echo,
            "store": self.store,
            "background": self.background,
            "previous_response_id": self.previous,
            "conversation": {"id": self.conversation} if self.conversation else None,
            "usage": spent,
        }


class ResponseStream:
    """The frames of one streamed answer: give it every event in turn, and send what it returns.

    With `held` the end is left to `end`, for when the answer is kept. `begun` is how many events
    were sent already.
    """

    def __init__(
        self, head: ResponseHead, style: Style = "openai", *, held: bool = False, begun: int = 0
    ) -> None:
        self._head = head
        self._held = held
        self._output = head.output(style)
        self._frames = Frames(named=True, count=begun)
        self.finish: RunFinished | None = None

    def frames(self, event: Event) -> bytes:
        """Zero or more whole SSE events for this event of the run."""
        if isinstance(event, TextDelta) and self._output.more_text(event.text):
            return self._frames.more_text(event.text)
        return b"".join(self._framed(event))

    @property
    def count(self) -> int:
        """How many events there were."""
        return self._frames.count

    def begin(self) -> bytes:
        """The frames that begin the stream, where it begins before there is anything in it."""
        return b"".join(self._opening())

    def failure(self, error: ErrorAnswer) -> bytes:
        """The frames that end a stream which has failed: both forms, as clients heed only one."""
        frames = list(self._opening())
        frames += map(self._frames.frame, self._output.close("incomplete"))
        frames.append(self._frames.frame(error_event(error)))
        failed = {"type": "response.failed", "response": self.failed(error)}
        return b"".join([*frames, self._frames.frame(failed), DONE])

    def failed(self, error: ErrorAnswer) -> Fields:
        """The whole response when it can't be completed."""
        return self._head.failed(self._output.items, error)

    def _framed(self, event: Event) -> Iterator[bytes]:
        for fields in self._output.take(event):
            yield from self._opening()
            yield self._frames.frame(fields)
        if isinstance(event, RunFinished):
            self.finish = event
            yield from self._opening()
            if not self._held:
                yield self.end(self.response(event))

    def response(self, finish: RunFinished) -> Fields:
        """The whole response of a run that has finished."""
        return self._head.finished(self._output.items, finish)

    def end(self, response: Fields) -> bytes:
        """The frames that end the stream."""
        return self._frames.last(response)

    def _opening(self) -> Iterator[bytes]:
        if not self._frames.count:
            for kind in ("response.created", "response.in_progress"):
                yield self._frames.frame({"type": kind, "response": self._head.begun()})


class AnswerHead(Protocol):
    """What an answer repeats, and how it says that it is finished."""

    def finished(self, items: list[Fields], finish: RunFinished) -> Fields:
        """The answer when the run has ended."""


class ResponseAnswer:
    """A fold over the events of a run: `add` each, then `body` is the whole answer."""

    def __init__(self, head: AnswerHead, output: Output) -> None:
        self._head = head
        self._output = output
        self.finish: RunFinished | None = None

    def add(self, event: Event) -> None:
        """Take the next event."""
        self._output.add(event)
        if isinstance(event, RunFinished):
            self.finish = event

    def body(self) -> bytes:
        """The response as JSON. Only for a run that has finished."""
        if self.finish is None:
            raise ValueError("the run has not finished")
        return orjson.dumps(self.response(self.finish))

    def response(self, finish: RunFinished) -> Fields:
        """The whole answer of a run that has finished."""
        return self._head.finished(self._output.items, finish)

    def end(self, response: Fields) -> bytes:
        """What is sent of it."""
        return orjson.dumps(response)


def cancelled(response: Fields, last: int) -> tuple[Batch, str]:
    """The end of a response that was cancelled: the event after number `last`, and its JSON.

    OpenAI has no event of that name; clients know an incomplete response.
    """
    response = {**response, "status": "cancelled"}
    event = {"type": "response.incomplete", "response": response}
    frame = Frames(named=True, count=last + 1).frame(event)
    return Batch(last + 1, last + 1, frame), orjson.dumps(response).decode()


def usage(spent: Usage) -> Fields:
    """OpenAI's `ResponseUsage`, summed over every model call of the run."""
    return {
        "input_tokens": spent.input_tokens,
        "input_tokens_details": {
            "cached_tokens": spent.cached_tokens,
            "cache_write_tokens": spent.cache_write_tokens,
        },
        "output_tokens": spent.output_tokens,
        "output_tokens_details": {"reasoning_tokens": spent.reasoning_tokens},
        "total_tokens": spent.total_tokens,
    }


def error_event(error: ErrorAnswer) -> Fields:
    """OpenAI's `ResponseErrorEvent`, which is flat, and Open Responses', which is not, in one.

    Most clients raise where there is a key `error`, and pass over a type that they don't know.
    """
    told = {"code": error.code or error.type, "message": error.message, "param": error.param}
    return {"type": "error", **told, **error.object}


def ended(finish: RunFinished) -> Fields:
    """How a run ended, in a response's keys; OpenAI has two reasons for an incomplete one.

    `x_retinue.stopped_by` is the limit that was met, if it is one of the agent's.
    """
    reason = _REASONS.get(finish.reason)
    told: Fields = {"status": "incomplete" if reason else "completed"}
    if reason:
        told["incomplete_details"] = {"reason": reason}
    if finish.cause:
        told[EXTENSION] = {"stopped_by": finish.cause}
    return told


# What a run says of parameters, in chat completions' terms → the same in these.
_TERMS = {
    "max_tokens": "max_output_tokens",
    "messages": "input",
    "reasoning_effort": "reasoning.effort",
    "verbosity": "text.verbosity",
}


def in_responses_terms(error: ErrorAnswer) -> ErrorAnswer:
    """The error with the parameter's name as a caller of this API knows it."""
    if error.param is None:
        return error
    # A run counts all that the model is told, which `input` is only the end of.
    known = "messages" if error.param.startswith("messages[") else error.param
    param = _TERMS.get(known, known.replace(".function.name", ".name"))
    message = error.message.replace(f"'{error.param}'", f"'{param}'")
    return replace(error, param=param, message=message)
