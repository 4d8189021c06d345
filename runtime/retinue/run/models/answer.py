"""Chunks in OpenAI's shape → events: deltas at once, tool calls whole, one finish at the end."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from retinue.errors import ModelError
from retinue.run.events import (
    FinishReason,
    ModelEvent,
    ModelFinished,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from retinue.run.messages import ToolCall

# Characters of text, thinking and arguments together: a provider that never stops is stopped.
LONGEST_ANSWER = 4_000_000

_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


@dataclass(slots=True)
class _Call:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class Answer:
    """One answer, as it comes in. Chunks have the attributes of openai's ChatCompletionChunk."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_index: dict[Any, _Call] = {}
        self._reason: str | None = None
        self._usage = Usage()
        self._size = 0

    def take(self, chunk: Any) -> Iterator[ModelEvent]:
        """The chunk's deltas. Raises ModelError when the answer outgrows every bound."""
        usage = getattr(chunk, "usage", None)
        if usage is not None:
            self._usage = _usage(usage)
        choice = next((c for c in chunk.choices or () if (c.index or 0) == 0), None)
        if choice is None:
            return
        self._reason = choice.finish_reason or self._reason
        delta = choice.delta
        if thought := getattr(delta, "reasoning_content", None):
            yield ReasoningDelta(self._counted(thought))
        if text := getattr(delta, "content", None):
            yield TextDelta(self._counted(text))
        if refusal := getattr(delta, "refusal", None):
            yield RefusalDelta(self._counted(refusal))
        for part in getattr(delta, "tool_calls", None) or ():
            self._take_call(part)
            yield ToolCallDelta()

    def end(self) -> Iterator[ModelEvent]:
        """The tool calls, then the finish. To be asked only after the provider's own end."""
        reason = _REASONS.get(self._reason or "stop", "stop")
        if self._calls and reason == "stop":
            reason = "tool_calls"
        # Beside `length` or `content_filter` the last call may have been cut short.
        if reason == "tool_calls":
            for call in self._calls:
                yield ToolCall(call.id, call.name, "".join(call.arguments))
        yield ModelFinished(reason, self._usage)

    def _take_call(self, part: Any) -> None:
        call = self._call_for(part)
        function = part.function
        name, arguments = getattr(function, "name", None), getattr(function, "arguments", None)
        # Some providers repeat the name with every piece.
        if name and name != call.name:
            call.name += name
        if arguments:
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)
            call.arguments.append(self._counted(text))

    def _call_for(self, part: Any) -> _Call:
        """The call that the piece belongs to: indices have gaps, are reused, or are missing."""
        index = getattr(part, "index", None)
        call = self._by_index.get(index) if index is not None else next(reversed(self._calls), None)
        if call is None or (part.id and call.id and part.id != call.id):
            call = _Call()
            self._calls.append(call)
            self._by_index[index] = call
        call.id = call.id or part.id or ""
        return call

    def _counted(self, text: str) -> str:
        self._size += len(text)
        if self._size > LONGEST_ANSWER:
            raise ModelError(
                "unavailable", f"the model's answer grew over {LONGEST_ANSWER:,} characters"
            )
        return text


def _usage(usage: Any) -> Usage:
    prompt = getattr(usage, "prompt_tokens_details", None)
    completion = getattr(usage, "completion_tokens_details", None)
    return Usage(
        _count(usage, "prompt_tokens"),
        _count(usage, "completion_tokens"),
        _count(prompt, "cached_tokens"),
        _count(completion, "reasoning_tokens"),
        _count(prompt, "cache_creation_tokens"),
    )


def _count(details: Any, name: str) -> int:
    value = getattr(details, name, None)
    return value if isinstance(value, int) else 0
