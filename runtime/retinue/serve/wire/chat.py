"""Events of a run → a chat completion: one object, or the frames of a stream.

Format: OpenAI's `CreateChatCompletionResponse` and `CreateChatCompletionStreamResponse`
(openai-openapi v2.3.0), as strictly as the strictest of its clients reads them: optional keys are
left out rather than null, the role comes once and first, usage only when asked for and last. What
OpenAI has no key for stands under `x_retinue`, at the root of valid objects.
"""

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from retinue.run.events import (
    ApprovalRequested,
    Event,
    ReasoningDelta,
    RefusalDelta,
    RunFinished,
    TextDelta,
    ToolProgressed,
    ToolStarted,
    TurnStarted,
    Usage,
)
from retinue.run.messages import ToolCall
from retinue.serve.wire.chat_approval import questions
from retinue.serve.wire.errors import ErrorAnswer
from retinue.serve.wire.steps import Progress, Shortening, Step, StepEvent, StepsMode, step

EXTENSION = "x_retinue"
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

    def __init__(
        self,
        head: Head,
        *,
        include_usage: bool = False,
        steps: StepsMode = "reasoning",
        costs: bool = False,
    ) -> None:
        start = b"data: " + orjson.dumps(head.fields("chat.completion.chunk"))[:-1]
        self._start = start + b',"choices":['
        self._delta_start = self._start + b'{"index":0,"delta":{'
        self._role = self._delta_start + b'"role":"assistant","content":""' + _END_OF_DELTA
        self._content = self._delta_start + b'"content":'
        self._reasoning = self._delta_start + b'"reasoning_content":'
        self._text = _Paragraphs()
        self._thinking = _Lines()
        self._steps = steps
        self._include_usage = include_usage
        self._costs = costs
        self._begun = False
        self.finish: RunFinished | None = None

    def frames(self, event: Event) -> bytes:
        """Zero or more whole SSE events for this event of the run."""
        if isinstance(event, TextDelta):
            return self._delta(self._content, self._text.add(event.text)) if event.text else b""
        if isinstance(event, ReasoningDelta):
            text = event.text
            return self._delta(self._reasoning, self._thinking.add(text)) if text else b""
        if isinstance(event, TurnStarted):
            self._text.next_turn()
        elif isinstance(event, StepEvent):
            return self._opening() + self._step(event)
        elif isinstance(event, RefusalDelta):
            start = self._delta_start + b'"refusal":'
            return self._delta(start, event.text) if event.text else b""
        elif isinstance(event, RunFinished):
            return self._ending(event)
        return b""

    def failure(self, error: ErrorAnswer) -> bytes:
        """The frames that end a stream which has failed: the error object, then `[DONE]`."""
        return b"data: " + error.body + b"\n\n" + _DONE

    def _delta(self, start: bytes, text: str) -> bytes:
        frame = start + _json(text) + _END_OF_DELTA
        return frame if self._begun else self._opening() + frame

    def _opening(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return self._role

    def _step(self, event: StepEvent) -> bytes:
        if self._steps == "off":
            return b""
        shown = step(event)
        if self._steps == "reasoning":
            line = shown.line
            return self._delta(self._reasoning, self._thinking.line(line)) if line else b""
        if self._steps == "openwebui":
            return self._empty({"event": shown.status_event})
        return self._empty({EXTENSION: {"step": shown.object}})

    def _empty(self, root: dict[str, Any], reason: str | None = None) -> bytes:
        """A frame that adds nothing to the answer, with further keys at its root."""
        choice = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": reason}
        further = b"," + _json(root)[1:-1] if root else b""
        return self._start + _json(choice) + b"]" + further + b"}\n\n"

    def _ending(self, event: RunFinished) -> bytes:
        self.finish = event
        last = b"".join(self._call(n, call) for n, call in enumerate(event.calls))
        if event.approvals:
            self._text.next_turn()
            last += self._delta(self._content, self._text.add(questions(event)))
        last += self._empty(_extension(event, costs=self._costs), event.reason)
        if self._include_usage:
            last += self._start + b'],"usage":' + orjson.dumps(usage(event.usage)) + b"}\n\n"
        return self._opening() + last + _DONE

    def _call(self, index: int, call: ToolCall) -> bytes:
        """A call of the caller's tool: what it is, then its arguments, as OpenAI streams it."""
        named = {**call_object(call), "index": index}
        named["function"] = {"name": call.name, "arguments": ""}
        given = {"index": index, "function": {"arguments": call.arguments}}
        start = self._delta_start + b'"tool_calls":'
        return b"".join(start + _json([part]) + _END_OF_DELTA for part in (named, given))


class ChatAnswer:
    """A fold over the events of a run: `add` each, then `body` is the whole answer.

    `metadata` is the request's own.
    """

    def __init__(
        self,
        head: Head,
        metadata: Mapping[str, str] | None = None,
        *,
        steps: StepsMode = "reasoning",
    ) -> None:
        self._head = head
        self._metadata = metadata
        self._text = _Paragraphs()
        self._thinking = _Lines()
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._mode = steps
        self._steps: list[Step | Progress | Shortening] = []
        self.finish: RunFinished | None = None

    def add(self, event: Event) -> None:
        """Take the next event."""
        if isinstance(event, TextDelta):
            if event.text:
                self._content.append(self._text.add(event.text))
        elif isinstance(event, ReasoningDelta):
            if event.text:
                self._reasoning.append(self._thinking.add(event.text))
        elif isinstance(event, RefusalDelta):
            self._refusal.append(event.text)
        elif isinstance(event, TurnStarted):
            self._text.next_turn()
        elif isinstance(event, RunFinished):
            self.finish = event
            if event.approvals:
                self._text.next_turn()
                self._content.append(self._text.add(questions(event)))
        elif isinstance(event, StepEvent):
            self._step(event)

    def _step(self, event: StepEvent) -> None:
        if self._mode == "reasoning":
            line = step(event).line
            if line:
                self._reasoning.append(self._thinking.line(line))
        elif self._mode == "extension" and not isinstance(event, ToolStarted | ToolProgressed):
            self._steps.append(step(event))

    def body(self) -> bytes:
        """The completion object as JSON. Only for a run that has finished."""
        if self.finish is None:
            raise ValueError("the run has not finished")
        choice = {
            "index": 0,
            "message": self._message(self.finish),
            "logprobs": None,
            "finish_reason": self.finish.reason,
        }
        body = self._head.fields("chat.completion")
        body |= {"choices": [choice], "usage": usage(self.finish.usage)}
        body |= _extension(self.finish, self._steps)
        return _json(body | {"metadata": dict(self._metadata)} if self._metadata else body)

    def _message(self, finish: RunFinished) -> dict[str, Any]:
        content, refusal = "".join(self._content), "".join(self._refusal)
        # Where something else is the answer, there is no text rather than an empty one.
        silent = not content and (refusal or finish.calls)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if silent else content,
            "refusal": refusal or None,
            "annotations": [],
        }
        if self._reasoning:
            message["reasoning_content"] = "".join(self._reasoning)
        if finish.calls:
            message["tool_calls"] = [call_object(call) for call in finish.calls]
        return message


def call_object(call: ToolCall) -> dict[str, Any]:
    """A whole call of one of the caller's tools."""
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _extension(
    finish: RunFinished,
    steps: list[Step | Progress | Shortening] | None = None,
    *,
    costs: bool = False,
) -> dict[str, Any]:
    """What OpenAI has no key for: the steps, the limit that stopped the run, open questions, and
    what it cost where that is known and to be told.
    """
    told: dict[str, Any] = {"steps": [step.object for step in steps]} if steps else {}
    if finish.cause:
        told["stopped_by"] = finish.cause
    if costs and finish.usage.cost_usd is not None:
        told["cost_usd"] = finish.usage.cost_usd
    if finish.approvals:
        told["approvals"] = [_approval(one) for one in finish.approvals]
    return {EXTENSION: told} if told else {}


def _approval(one: ApprovalRequested) -> dict[str, Any]:
    """A question for programs; `expires` is in Unix seconds."""
    return {
        "id": one.id,
        "tool": one.call.name,
        "arguments": one.call.arguments,
        "expires": one.expires,
    }


def usage(spent: Usage) -> dict[str, Any]:
    """OpenAI's `CompletionUsage`, summed over every model call of the run."""
    return {
        "prompt_tokens": spent.input_tokens,
        "completion_tokens": spent.output_tokens,
        "total_tokens": spent.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": spent.cached_tokens,
            "cache_write_tokens": spent.cache_write_tokens,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": spent.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
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


class _Lines:
    """A model's thinking with lines of our own in between."""

    def __init__(self) -> None:
        self._last = "\n"

    def add(self, text: str) -> str:
        self._last = text
        return text

    def line(self, text: str) -> str:
        """The line as it is to be appended: alone on its line."""
        start = "" if self._last.endswith("\n") else "\n"
        self._last = "\n"
        return f"{start}{text}\n"


def _json(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        # Half a surrogate pair has no UTF-8; a question mark stands for it.
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")
