"""What Databricks' endpoints take otherwise than OpenAI's, above all those of Claude.

Sources: docs.databricks.com, "Foundation model REST API reference" and "Query reasoning models";
LiteLLM's `llms/databricks`, which a test compares this with.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

from retinue.run.messages import Message, Thought
from retinue.run.models.thinking import must_not_think
from retinue.run.ports import ModelRequest
from retinue.values import JsonValue

# OpenAI's parameters that its endpoints refuse.
_NOT_TAKEN = frozenset(
    {
        "frequency_penalty", "logit_bias", "logprobs", "modalities", "parallel_tool_calls",
        "prediction", "presence_penalty", "prompt_cache_key", "safety_identifier", "seed",
        "service_tier", "store", "top_logprobs", "user", "verbosity",
    }
)  # fmt: skip

# Tokens. Anthropic takes no budget below the first.
_BUDGETS = {"minimal": 1024, "low": 1024, "medium": 2048, "high": 4096, "xhigh": 8192, "max": 16384}
_EFFORTS = {"high": 4096, "medium": 2048, "low": 0}
_LEAST_BUDGET = 1024
_ANSWER_BESIDE_THINKING = 4096
_THINKING = frozenset({"reasoning_effort", "thinking"})
_VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")
_FIRST_ADAPTIVE = (4, 7)
_CACHED = {"type": "ephemeral"}


def is_claude(model: str) -> bool:
    """Whether an endpoint's name says that Claude answers there."""
    return "claude" in model.lower()


def settings(
    model: str, request: ModelRequest, given: dict[str, JsonValue]
) -> dict[str, JsonValue]:
    """The settings as the endpoint takes them."""
    made = {key: value for key, value in given.items() if key not in _NOT_TAKEN}
    if not is_claude(model):
        return made
    if must_not_think(request):
        return {key: value for key, value in made.items() if key not in _THINKING}
    return _thinking(model, made)


def _thinking(model: str, made: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """How long to think as Claude is told of it: newer ones weigh it themselves, by an effort;
    others get a budget of tokens, which is part of the limit of the answer.
    """
    effort, given = made.pop("reasoning_effort", None), made.get("thinking")
    budget = given.get("budget_tokens") if isinstance(given, dict) else None
    if given is None and isinstance(effort, str):
        budget = _BUDGETS.get(effort)
    if not isinstance(budget, int):
        return made
    found = _VERSION.search(model.lower())
    if found and (int(found[1]), int(found[2] or 0)) >= _FIRST_ADAPTIVE:
        if given is None:
            told = "low" if effort == "minimal" else effort
            thinking: JsonValue = {"type": "adaptive", "display": "summarized"}
            return {**made, "thinking": thinking, "output_config": {"effort": told}}
        told = next(name for name in ("high", "medium", "low") if budget >= _EFFORTS[name])
        return {**made, "thinking": {"type": "adaptive"}, "output_config": {"effort": told}}
    most = made.setdefault("max_tokens", budget + _ANSWER_BESIDE_THINKING)
    # The limit has to leave some for the answer.
    if isinstance(most, int) and most <= budget:
        budget = most - 1
    if budget < _LEAST_BUDGET:
        made.pop("thinking", None)
    elif given is None or most == budget + 1:
        made["thinking"] = {"type": "enabled", "budget_tokens": budget}
    return made


def messages(
    model: str, request: ModelRequest, plain: Callable[[Message], dict[str, Any]]
) -> list[dict[str, Any]]:
    """The messages; `plain` writes one in OpenAI's shape."""
    if not is_claude(model):
        made = [plain(one) for one in _one_call_at_a_time(request.messages)]
        return [_without_name(one) for one in _one_system(made) if _says_something(one)]
    made = [_with_thoughts(plain(one), one.thoughts) for one in request.messages]
    made = [_without_name(one) for one in made if _says_something(one)]
    if request.prompt_caching and made:
        systems = [index for index, one in enumerate(made) if one["role"] == "system"]
        # What comes before a mark is cached: the tools and the prompt, and the conversation.
        for index in {*systems[-1:], len(made) - 1}:
            made[index] = _cached(made[index])
    return made


def _with_thoughts(made: dict[str, Any], thoughts: Sequence[Thought]) -> dict[str, Any]:
    if not thoughts:
        return made
    content = made.get("content") or []
    text = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return {**made, "content": [*map(_thought, thoughts), *text]}


def _thought(thought: Thought) -> dict[str, Any]:
    summary: dict[str, JsonValue]
    if thought.data is not None:
        summary = {"type": "summary_encrypted_text", "data": thought.data}
    else:
        summary = {"type": "summary_text", "text": thought.text, "signature": thought.signature}
    return {"type": "reasoning", "summary": [summary]}


def _cached(made: dict[str, Any]) -> dict[str, Any]:
    content = made.get("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not content:
        return made
    return {**made, "content": [*content[:-1], {**content[-1], "cache_control": _CACHED}]}


def _says_something(made: dict[str, Any]) -> bool:
    """Whether anything is left of it without empty text, which is refused."""
    content = made.get("content")
    if isinstance(content, str) and not content.strip():
        made.pop("content")
    return made["role"] != "assistant" or bool(made.get("content") or made.get("tool_calls"))


def _without_name(made: dict[str, Any]) -> dict[str, Any]:
    made.pop("name", None)
    return made


def _one_system(made: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Texts of system messages that follow one another, as one message."""
    last: dict[str, Any] | None = None
    for one in made:
        if last and last["role"] == one["role"] == "system":
            last["content"] = "\n\n".join(t for t in (last["content"], one["content"]) if t)
            continue
        last = one
        yield one


def _one_call_at_a_time(given: Sequence[Message]) -> Iterator[Message]:
    """Calls made together as if made one after the other.

    A tool's message has to follow the one that called it, so a second result would be refused.
    """
    index = 0
    while index < len(given):
        one = given[index]
        index += 1
        results = {}
        for result in takewhile(lambda following: following.role == "tool", given[index:]):
            results[result.tool_call_id] = result
        if len(one.tool_calls) < 2 or results.keys() != {call.id for call in one.tool_calls}:
            yield one
            continue
        index += len(results)
        for place, call in enumerate(one.tool_calls):
            yield replace(one, content="" if place else one.content, tool_calls=(call,))
            yield results[call.id]
