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

_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}


def new_token() -> str:
    """What the ids of an answer have in common; no id gets longer than the 40 that OpenAI takes."""
    return secrets.token_hex(12)


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """What every object of an answer repeats. `created` is in Unix seconds.

    `echo` are the request's parameters as they took effect.
    """

    model: str
    echo: Mapping[str, Any] = field(default_factory=dict)
    token: str = field(default_factory=new_token)
    created: int = field(default_factory=lambda: int(time.time()))

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
            # Nothing is kept, whatever was asked for.
            "store": False,
            "background": False,
            "previous_response_id": None,
            "usage": spent,
        }


class ResponseStream:
    """The frames of one streamed answer: give it every event in turn, and send what it returns."""

    def __init__(self, head: ResponseHead, style: Style = "openai") -> None:
        self._head = head
        self._output = head.output(style)
        self._frames = Frames(named=True)
        self.finish: RunFinished | None = None

    def frames(self, event: Event) -> bytes:
        """Zero or more whole SSE events for this event of the run."""
        if isinstance(event, TextDelta) and self._output.more_text(event.text):
            return self._frames.more_text(event.text)
        return b"".join(self._framed(event))

    def failure(self, error: ErrorAnswer) -> bytes:
        """The frames that end a stream which has failed: both forms, as clients heed only one."""
        frames = list(self._opening())
        frames += map(self._frames.frame, self._output.close("incomplete"))
        frames.append(self._frames.frame(error_event(error)))
        response = self._head.failed(self._output.items, error)
        frames.append(self._frames.frame({"type": "response.failed", "response": response}))
        return b"".join([*frames, DONE])

    def _framed(self, event: Event) -> Iterator[bytes]:
        for fields in self._output.take(event):
            yield from self._opening()
            yield self._frames.frame(fields)
        if isinstance(event, RunFinished):
            self.finish = event
            yield from self._opening()
            response = self._head.finished(self._output.items, event)
            yield self._frames.last(response)

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
        return orjson.dumps(self._head.finished(self._output.items, self.finish))


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
    param = _TERMS.get(error.param, error.param.replace(".function.name", ".name"))
    message = error.message.replace(f"'{error.param}'", f"'{param}'")
    return replace(error, param=param, message=message)
