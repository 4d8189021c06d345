"""Each provider's own wire format through LiteLLM's own code for it, over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from retinue.errors import ModelError
from retinue.route import Timeouts
from retinue.run.events import (
    ModelEvent,
    ModelFinished,
    ReasoningDelta,
    TextDelta,
    Usage,
)
from retinue.run.messages import Message, Thought, ToolCall
from retinue.run.models import open_model
from retinue.run.models.litellm import LiteLLMModel
from retinue.run.ports import Model, ModelRequest, Tool
from retinue.run.references import environment
from retinue.testing import route
from retinue.values import Ref, Template
from run.models.fake_providers import Provider, Said, refuses_with
from run.models.fake_providers.anthropic import ANTHROPIC
from run.models.fake_providers.bedrock import BEDROCK
from run.models.fake_providers.openai import AZURE, DATABRICKS, OPENAI
from run.models.fake_providers.others import GEMINI
from run.models.fake_upstream import Play, Upstream, upstream

KEY = "sk-secret"
PROVIDERS = {one.name: one for one in (ANTHROPIC, BEDROCK, AZURE, DATABRICKS, OPENAI)}
CLAUDES = {name: one for name, one in PROVIDERS.items() if one.thinks}
HELLO = ModelRequest(messages=(Message("system", "Be brief."), Message("user", "1+1?")))
ADD = Tool("add", "Add.", {"type": "object", "properties": {"a": {"type": "integer"}}})
CALL = ToolCall("toolu_1", "add", '{"a": 1}')
THOUGHTS = (Thought("Let me see.", "c2lnbmF0dXJl"), Thought(data="ZW5jcnlwdGVk"))


@asynccontextmanager
async def asked(
    provider: Provider, play: Play, **fields: Any
) -> AsyncIterator[tuple[Model, Upstream]]:
    async with upstream(play) as fake:
        base = fake.url.removesuffix("/v1") + provider.base
        given = {
            "api_base": base,
            "api_key": Template((Ref("env", "THE_KEY"),)),
            "retries": 0,
            "timeout": Timeouts(total=20.0),
            **provider.fields,
            **fields,
        }
        there = route(provider.model, **given)
        model = open_model(there, {"": LiteLLMModel}, environment({"THE_KEY": KEY}))
        try:
            yield model, fake
        finally:
            await model.aclose()


async def all_of(model: Model, request: ModelRequest = HELLO) -> list[ModelEvent]:
    return [e async for e in model.stream(request)]


def shown(events: list[ModelEvent]) -> tuple[str, str, list[Any], ModelFinished]:
    text = "".join(e.text for e in events if isinstance(e, TextDelta))
    thinking = "".join(e.text for e in events if isinstance(e, ReasoningDelta))
    whole = [e for e in events if isinstance(e, Thought | ToolCall)]
    finish = events[-1]
    assert isinstance(finish, ModelFinished)
    return text, thinking, whole, finish


@pytest.mark.parametrize("name", PROVIDERS)
async def test_an_answer_with_its_usage(name: str) -> None:
    provider = PROVIDERS[name]
    said = Said("Two, I think.", cached=60, written=30 if provider.thinks else 0)
    async with asked(provider, provider.plays(said)) as (model, fake):
        text, _, whole, finish = shown(await all_of(model))
        head = fake.requests[0][0]
    assert text == "Two, I think."
    assert whole == []
    assert finish.reason == "stop"
    expected = Usage(100, 20, 60, 0, said.written, None)
    assert replace(finish.usage, cost_usd=None) == expected
    assert head.split(" ")[1].startswith(provider.path)


@pytest.mark.parametrize("name", CLAUDES)
async def test_thoughts_and_calls_come_whole(name: str) -> None:
    provider = CLAUDES[name]
    # Databricks' redacted blocks are known from its documentation only.
    thoughts = THOUGHTS[:1] if provider is DATABRICKS else THOUGHTS
    said = Said("I'll add.", thoughts, (CALL, ToolCall("toolu_2", "add", "{}")))
    async with asked(provider, provider.plays(said)) as (model, _):
        events = await all_of(model, replace(HELLO, tools=(ADD,)))
    text, thinking, whole, finish = shown(events)
    assert (text, thinking) == ("I'll add.", "Let me see.")
    assert whole == [*thoughts, CALL, ToolCall("toolu_2", "add", "{}")]
    assert finish.reason == "tool_calls"


@pytest.mark.parametrize("name", ["azure", "openai"])
async def test_calls_come_whole(name: str) -> None:
    provider = PROVIDERS[name]
    play = provider.plays(Said(calls=(CALL,)))
    async with asked(provider, play) as (model, _):
        _, _, whole, finish = shown(await all_of(model, replace(HELLO, tools=(ADD,))))
    assert whole == [CALL]
    assert finish.reason == "tool_calls"


def cuts(provider: Provider) -> list[int]:
    """Within each frame that an answer needs, and between them."""
    said = Said("I'll add.", THOUGHTS[:1] if provider.thinks else (), (CALL,))
    frames = provider.frames(said)
    found, at = [], 0
    for frame in frames[: len(frames) - provider.ends]:
        found += [at, at + len(frame) // 2]
        at += len(frame)
    return found


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_cut_answer_never_finishes(name: str) -> None:
    provider = PROVIDERS[name]
    said = Said("I'll add.", THOUGHTS[:1] if provider.thinks else (), (CALL,))
    for keep in cuts(provider):
        async with asked(provider, provider.plays(said, keep)) as (model, _):
            seen: list[ModelEvent] = []
            with pytest.raises(ModelError) as caught:
                async for item in model.stream(replace(HELLO, tools=(ADD,))):
                    seen.append(item)  # noqa: PERF401 - kept when it raises
        assert caught.value.kind in ("truncated", "unavailable"), keep
        assert not any(isinstance(e, ToolCall | Thought | ModelFinished) for e in seen), keep
        if seen:
            assert caught.value.kind == "truncated", keep


@pytest.mark.parametrize("name", PROVIDERS)
async def test_trouble_midway_is_an_error(name: str) -> None:
    provider = PROVIDERS[name]
    frames = provider.frames(Said("Hello there."))
    at = sum(map(len, frames[: len(frames) // 2]))

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await provider.plays(Said("Hello there."), at)(reader, writer)
        writer.write(provider.overloaded)

    async with asked(provider, play) as (model, _):
        with pytest.raises(ModelError) as caught:
            await all_of(model)
    # Text that came in with the trouble isn't shown, so that the call may be made again.
    assert caught.value.kind in ("truncated", "rate_limit", "unavailable")
    assert KEY not in str(caught.value)


REFUSALS = [
    (401, "", "auth"),
    (403, "", "auth"),
    (404, "", "not_found"),
    (429, "", "rate_limit"),
    (500, "", "unavailable"),
    (400, "context", "context_window"),
]


@pytest.mark.parametrize(("status", "kind", "fault"), REFUSALS)
@pytest.mark.parametrize("name", PROVIDERS)
async def test_refusals(name: str, status: int, kind: str, fault: str) -> None:
    provider = PROVIDERS[name]
    play = refuses_with(status, provider.refusal(status, kind), retry_after="7")
    async with asked(provider, play) as (model, fake):
        with pytest.raises(ModelError) as caught:
            await all_of(model)
        assert len(fake.requests) == 1, "retries are not this layer's"
    assert caught.value.kind == fault
    assert caught.value.retry_after == 7.0
    assert KEY not in f"{caught.value} {caught.value.__cause__!r}"


@pytest.mark.parametrize("name", ["anthropic", "azure", "openai"])
async def test_a_filtered_request(name: str) -> None:
    provider = PROVIDERS[name]
    async with asked(provider, refuses_with(400, provider.refusal(400, "filter"))) as (model, _):
        with pytest.raises(ModelError) as caught:
            await all_of(model)
    assert caught.value.kind == "content_filter"


async def test_anthropic_is_overloaded() -> None:
    play = refuses_with(529, ANTHROPIC.refusal(529, ""))
    async with asked(ANTHROPIC, play) as (model, _):
        with pytest.raises(ModelError) as caught:
            await all_of(model)
    assert caught.value.kind == "unavailable"


REASONS = [
    ("anthropic", "max_tokens", "length"),
    ("anthropic", "model_context_window_exceeded", "length"),
    ("anthropic", "refusal", "content_filter"),
    ("anthropic", "stop_sequence", "stop"),
    ("azure", "content_filter", "content_filter"),
    ("bedrock", "max_tokens", "length"),
    ("bedrock", "model_context_window_exceeded", "length"),
    ("bedrock", "guardrail_intervened", "content_filter"),
    ("gemini", "MAX_TOKENS", "length"),
    ("gemini", "SAFETY", "content_filter"),
    ("openai", "length", "length"),
]


@pytest.mark.parametrize(("name", "reason", "expected"), REASONS)
async def test_reasons_for_an_end(name: str, reason: str, expected: str) -> None:
    provider = GEMINI if name == "gemini" else PROVIDERS[name]
    async with asked(provider, provider.plays(Said("Hello", reason=reason))) as (model, _):
        *_, finish = shown(await all_of(model))
    assert finish.reason == expected


@pytest.mark.parametrize(
    ("provider", "reason"),
    [
        (BEDROCK, "malformed_tool_use"),
        (BEDROCK, "malformed_model_output"),
        (GEMINI, "MALFORMED_FUNCTION_CALL"),
    ],
)
async def test_an_answer_that_its_provider_gave_up(provider: Provider, reason: str) -> None:
    async with asked(provider, provider.plays(Said("Hello", reason=reason))) as (model, _):
        with pytest.raises(ModelError) as caught:
            await all_of(model)
    assert caught.value.kind == "truncated"
