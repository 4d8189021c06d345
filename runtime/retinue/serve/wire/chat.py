"""Events of a run → a chat completion: one object, or the frames of a stream.

Format: OpenAI's `CreateChatCompletionResponse` and `CreateChatCompletionStreamResponse`
(openai-openapi v2.3.0), as strictly as the strictest of its clients reads them: optional keys are
left out rather than null, the role comes once and first, usage only when asked for and last.
"""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from retinue.run.events import (
    Event,
    ReasoningDelta,
    RunFinished,
    TextDelta,
    ToolStarted,
    TurnStarted,
    Usage,
)

_DONE = b"data: [DONE]\n\n"
_END_OF_DELTA = b'},"logprobs":null,"finish_reason":null}]}\n\n'


@dataclass(frozen=True, slots=True)
class Head:
    """What every frame of an answer repeats. `created` is in Unix seconds."""

    model: str
    fingerprint: str
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(16)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def fields(self, kind: str) -> dict[str, Any]:
        """The keys before `choices`. An agent without a digest has no fingerprint."""
        fields = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
        return {**fields, "system_fingerprint": self.fingerprint} if self.fingerprint else fields


class ChatStream:
    """The frames of one streamed answer: give it every event in turn, and send what it returns."""

    def __init__(self, head: Head, *, include_usage: bool = False) -> None:
        start = b"data: " + orjson.dumps(head.fields("chat.completion.chunk"))[:-1]
        self._start = start + b',"choices":['
        delta = self._start + b'{"index":0,"delta":{'
        self._role = delta + b'"role":"assistant","content":""' + _END_OF_DELTA
        self._content = delta + b'"content":'
        self._reasoning = delta + b'"reasoning_content":'
        self._text = _Paragraphs()
        self._include_usage = include_usage
        self._begun = False
        self.finish: RunFinished | None = None

    def frames(self, event: Event) -> bytes:
        """Zero or more whole SSE events for this event of the run."""
        if isinstance(event, TextDelta):
            return self._delta(self._content, self._text.add(event.text)) if event.text else b""
        if isinstance(event, ReasoningDelta):
            return self._delta(self._reasoning, event.text) if event.text else b""
        if isinstance(event, TurnStarted):
            self._text.next_turn()
        elif isinstance(event, ToolStarted):
            return self._opening()
        elif isinstance(event, RunFinished):
            return self._ending(event)
        return b""

    def _delta(self, start: bytes, text: str) -> bytes:
        frame = start + _json_text(text) + _END_OF_DELTA
        return frame if self._begun else self._opening() + frame

    def _opening(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return self._role

    def _ending(self, event: RunFinished) -> bytes:
        self.finish = event
        reason = orjson.dumps(event.reason)
        choice = b'{"index":0,"delta":{},"logprobs":null,"finish_reason":' + reason + b"}"
        last = self._start + choice + b"]}\n\n"
        if self._include_usage:
            last += self._start + b'],"usage":' + orjson.dumps(usage(event.usage)) + b"}\n\n"
        return self._opening() + last + _DONE


def failure(error: Mapping[str, Any]) -> bytes:
    """The frames that end a stream which has failed: the error object, then `[DONE]`."""
    return b"data: " + orjson.dumps(error) + b"\n\n" + _DONE


class ChatAnswer:
    """A fold over the events of a run: `add` each, then `completion` is the whole answer."""

    def __init__(self) -> None:
        self._text = _Paragraphs()
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self.finish: RunFinished | None = None

    def add(self, event: Event) -> None:
        if isinstance(event, TextDelta):
            if event.text:
                self._content.append(self._text.add(event.text))
        elif isinstance(event, ReasoningDelta):
            self._reasoning.append(event.text)
        elif isinstance(event, TurnStarted):
            self._text.next_turn()
        elif isinstance(event, RunFinished):
            self.finish = event

    def completion(self, head: Head, metadata: Mapping[str, str]) -> bytes:
        """The completion object as JSON. Only for a run that has finished."""
        if self.finish is None:
            raise ValueError("the run has not finished")
        message: dict[str, Any] = {
            "role": "assistant",
            "content": "".join(self._content),
            "refusal": None,
            "annotations": [],
        }
        if any(self._reasoning):
            message["reasoning_content"] = "".join(self._reasoning)
        reason = self.finish.reason
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
        body = head.fields("chat.completion")
        body |= {"choices": [choice], "usage": usage(self.finish.usage)}
        return _json(body | {"metadata": dict(metadata)} if metadata else body)


def usage(spent: Usage) -> dict[str, Any]:
    """OpenAI's `CompletionUsage`, summed over every model call of the run."""
    return {
        "prompt_tokens": spent.input_tokens,
        "completion_tokens": spent.output_tokens,
        "total_tokens": spent.total_tokens,
        "prompt_tokens_details": {"cached_tokens": spent.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": spent.reasoning_tokens},
    }


class _Paragraphs:
    """The text of several turns as one: a turn begins on a line of its own."""

    def __init__(self) -> None:
        self._last = ""
        self._turned = False

    def next_turn(self) -> None:
        self._turned = bool(self._last)

    def add(self, text: str) -> str:
        """The piece as it is to be appended; `text` isn't empty."""
        if self._turned:
            self._turned = False
            text = text if self._last.endswith("\n") else f"\n\n{text}"
        self._last = text
        return text


def _json_text(text: str) -> bytes:
    try:
        return orjson.dumps(text)
    except orjson.JSONEncodeError:
        return orjson.dumps(_without_surrogates(text))


def _json(body: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError:
        message = body["choices"][0]["message"]
        texts = {k: _without_surrogates(v) for k, v in message.items() if isinstance(v, str)}
        message.update(texts)
        return orjson.dumps(body)


def _without_surrogates(text: str) -> str:
    """Half a surrogate pair has no UTF-8; a question mark stands for it."""
    return text.encode("utf-8", "replace").decode()
