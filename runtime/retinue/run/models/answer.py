"""Chunks in OpenAI's shape → events: deltas at once, tool calls whole, one finish at the end.

A whole completion is a chunk too, whose `message` is all of it.
"""

import json
import math
from collections.abc import Iterator, Mapping
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
from retinue.run.models.shape import count, mapping, sequence, text
from retinue.run.models.thinking import Thinking

# Characters of text, thinking and arguments together: a provider that never stops is stopped.
LONGEST_ANSWER = 4_000_000
_MOST_CALLS = 1000

# By their lower-case names: OpenAI's, then what compatible servers pass through from others.
_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "complete": "stop",
    "completed": "stop",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "max_completion_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "tool_calls": "tool_calls",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "prohibited_content": "content_filter",
    "recitation": "content_filter",
    "refusal": "content_filter",
    "safety": "content_filter",
}


@dataclass(slots=True)
class _Call:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class Answer:
    """One answer, as it comes in. Chunks are mappings, or objects with the same attributes."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_index: dict[object, _Call] = {}
        self._reason: str | None = None
        self._usage = Usage()
        self._cost: float | None = None
        self._thinking = Thinking()
        self._size = 0

    @property
    def finished(self) -> bool:
        """Whether the provider has said why the answer ends."""
        return self._reason is not None

    def take(self, chunk: Any) -> Iterator[ModelEvent]:
        """The chunk's deltas.

        Raises ModelError for what isn't of OpenAI's shape, so that nothing is left out silently,
        and when the answer outgrows every bound.
        """
        chunk = mapping(chunk)
        usage = chunk.get("usage")
        if usage and isinstance(usage, Mapping):
            self._usage = _usage(usage)
        choice = _first(chunk.get("choices"))
        if choice is None:
            return
        delta, whole = choice.get("delta"), choice.get("message")
        # Beside pieces it only repeats them.
        is_whole = not delta and whole is not None and not self._size
        if is_whole:
            delta = whole
        elif delta is None and choice.get("text"):
            raise ModelError("unavailable", "the model's address answers older completions alone")
        if delta is not None:
            yield from self._take_delta(mapping(delta), is_whole=is_whole)
        if reason := text(choice.get("finish_reason")):
            self._reason = reason
            self._cost = _cost(chunk.get("x_retinue"))

    def _take_delta(self, delta: Mapping[str, Any], *, is_whole: bool) -> Iterator[ModelEvent]:
        content = delta.get("content")
        if len(delta) == 1 and content and isinstance(content, str):
            # Nearly every chunk of a long answer.
            yield TextDelta(self._counted(content))
            return
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if thought and isinstance(thought, str):
            yield ReasoningDelta(self._counted(thought))
        for block in sequence(delta.get("thinking_blocks")):
            self._counted(self._thinking.add(block))
        if content:
            if isinstance(content, str):
                yield TextDelta(self._counted(content))
            else:
                yield from self._take_blocks(content)
        if refusal := text(delta.get("refusal")):
            yield RefusalDelta(self._counted(refusal))
        if pieces := delta.get("tool_calls"):
            for place, piece in enumerate(sequence(pieces)):
                self._take_call(mapping(piece), place if is_whole else None)
                yield ToolCallDelta()
        if piece := delta.get("function_call"):
            self._take_call({"index": "function_call", "function": piece}, "function_call")
            yield ToolCallDelta()

    def _take_blocks(self, content: Any) -> Iterator[ModelEvent]:
        for block in map(mapping, sequence(content)):
            kind = block.get("type")
            if kind in ("text", "output_text"):
                if piece := text(block.get("text")):
                    yield TextDelta(self._counted(piece))
            elif kind == "refusal":
                if piece := text(block.get("refusal")):
                    yield RefusalDelta(self._counted(piece))
            else:
                thought = self._thinking.add(block)
                if thought:
                    yield ReasoningDelta(self._counted(thought))

    def end(self) -> Iterator[ModelEvent]:
        """The thoughts and tool calls, then the finish. To be asked only at the provider's own end.

        Raises ModelError where the provider ended it for a reason that isn't known, since that may
        be a failure, or said that it calls tools and sent no call.
        """
        reason = _REASONS.get((self._reason or "stop").lower())
        if reason is None:
            raise ModelError("truncated", "the model ended its answer for an unknown reason")
        if self._calls and reason == "stop":
            reason = "tool_calls"
        yield from self._thinking.thoughts()
        # Beside `length` or `content_filter` the last call may have been cut short.
        if reason == "tool_calls":
            if not self._calls:
                raise ModelError("truncated", "the model wanted to call a tool and sent no call")
            for call in self._calls:
                yield ToolCall(call.id, call.name, "".join(call.arguments))
        used = self._usage if self._cost is None else self._usage.costing(self._cost)
        yield ModelFinished(reason, used)

    def _take_call(self, piece: Mapping[str, Any], place: object) -> None:
        function = mapping(piece.get("function") or {})
        name, arguments = text(function.get("name")), function.get("arguments")
        call = self._call_for(piece, name, place)
        # Some providers repeat the name with every piece.
        if name and name != call.name:
            call.name += self._counted(name)
        if arguments is not None and arguments != "":
            written = arguments if isinstance(arguments, str) else json.dumps(arguments)
            call.arguments.append(self._counted(written))

    def _call_for(self, piece: Mapping[str, Any], name: str, place: object) -> _Call:
        """The call that the piece belongs to: indices have gaps, are reused, or are missing."""
        index = piece.get("index")
        if not isinstance(index, int | str):
            index = place
        known = text(piece.get("id"))
        if index is None:
            # Without an index a name begins a call, unless nothing of the last one has come yet.
            call = self._calls[-1] if self._calls else None
            begins = call is not None and name != "" and bool(call.arguments)
        else:
            call, begins = self._by_index.get(index), False
        if call is None or begins or (known and call.id and known != call.id):
            if len(self._calls) >= _MOST_CALLS:
                raise ModelError("unavailable", f"the model called over {_MOST_CALLS} tools")
            call = _Call()
            self._calls.append(call)
            self._by_index[index] = call
        call.id = call.id or known
        return call

    def _counted(self, piece: str) -> str:
        self._size += len(piece)
        if self._size > LONGEST_ANSWER:
            raise ModelError(
                "unavailable", f"the model's answer grew over {LONGEST_ANSWER:,} characters"
            )
        return piece


def _first(choices: Any) -> Mapping[str, Any] | None:
    """The choice that was asked for; a server may send more."""
    for choice in sequence(choices):
        found = mapping(choice)
        if not found.get("index"):
            return found
    return None


def _cost(told: Any) -> float | None:
    """US dollars, as an agent of ours tells another; None where they aren't told."""
    dollars = told.get("cost_usd") if isinstance(told, Mapping) else None
    if isinstance(dollars, bool) or not isinstance(dollars, int | float):
        return None
    return float(dollars) if 0 <= dollars < math.inf else None


def _usage(given: Mapping[str, Any]) -> Usage:
    prompt = given.get("prompt_tokens_details")
    completion = given.get("completion_tokens_details")
    inputs = count(given.get("prompt_tokens"))
    cached = _detail(prompt, "cached_tokens") or count(given.get("cache_read_input_tokens"))
    written = _detail(prompt, "cache_creation_tokens") or count(
        given.get("cache_creation_input_tokens")
    )
    # Anthropic counts what its cache is read or written beside the other input.
    if cached + written > inputs:
        inputs += cached + written
    return Usage(
        inputs,
        count(given.get("completion_tokens")),
        cached,
        _detail(completion, "reasoning_tokens"),
        written,
    )


def _detail(details: Any, name: str) -> int:
    return count(details.get(name)) if details and isinstance(details, Mapping) else 0
