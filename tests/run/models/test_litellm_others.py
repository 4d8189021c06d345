"""Gemini and Ollama through LiteLLM's own code for them: answers, tools, cuts, refusals."""

from dataclasses import replace

import pytest

from retinue.errors import ModelError
from retinue.run.events import ModelEvent, ModelFinished
from retinue.run.messages import Message, ToolCall
from run.models.fake_providers import Said, refuses_with
from run.models.fake_providers.others import GEMINI, OLLAMA
from run.models.test_litellm_providers import ADD, CALL, HELLO, KEY, all_of, asked, shown

PROVIDERS = {one.name: one for one in (GEMINI, OLLAMA)}
TOOLS = replace(HELLO, tools=(ADD,))


@pytest.mark.parametrize("name", PROVIDERS)
async def test_an_answer_with_its_usage(name: str) -> None:
    provider = PROVIDERS[name]
    async with asked(provider, provider.plays(Said("Two, I think.", thinking=5))) as (model, fake):
        text, _, whole, finish = shown(await all_of(model))
        head = fake.requests[0][0]
    assert text == "Two, I think."
    assert whole == []
    assert (finish.usage.input_tokens, finish.usage.output_tokens) == (100, 20)
    assert finish.usage.reasoning_tokens == (5 if name == "gemini" else 0)
    assert provider.path in head.split(" ")[1]


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_tools_use_both_ways(name: str) -> None:
    provider = PROVIDERS[name]
    async with asked(provider, provider.plays(Said(calls=(CALL,)))) as (model, fake):
        _, _, (call,), finish = shown(await all_of(model, TOOLS))
        assert isinstance(call, ToolCall)
        assert (call.name, call.arguments.replace(" ", "")) == ("add", '{"a":1}')
        assert finish.reason == "tool_calls"
        messages = (
            *HELLO.messages,
            Message("assistant", tool_calls=(call,)),
            Message("tool", "forty-two", tool_call_id=call.id, name="add"),
        )
        await all_of(model, replace(TOOLS, messages=messages))
        body = fake.requests[1][1]
    assert "forty-two" in str(body.get("contents", body.get("messages")))


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_cut_answer_never_finishes(name: str) -> None:
    provider = PROVIDERS[name]
    said = Said("I'll add.", calls=(CALL,))
    *frames, last = provider.frames(said)
    at = 0
    for frame in [*frames, last]:
        for keep in (at, at + len(frame) // 2):
            async with asked(provider, provider.plays(said, keep)) as (model, _):
                seen: list[ModelEvent] = []
                with pytest.raises(ModelError) as caught:
                    async for item in model.stream(TOOLS):
                        seen.append(item)  # noqa: PERF401 - kept when it raises
            assert caught.value.kind in ("truncated", "unavailable"), keep
            assert not any(isinstance(e, ToolCall | ModelFinished) for e in seen), keep
        at += len(frame)


@pytest.mark.parametrize(
    ("status", "fault"),
    [(401, "auth"), (404, "not_found"), (429, "rate_limit"), (500, "unavailable")],
)
@pytest.mark.parametrize("name", PROVIDERS)
async def test_refusals(name: str, status: int, fault: str) -> None:
    provider = PROVIDERS[name]
    async with asked(provider, refuses_with(status, provider.refusal(status, ""))) as (model, _):
        with pytest.raises(ModelError) as caught:
            await all_of(model)
    assert caught.value.kind == fault
    assert KEY not in f"{caught.value} {caught.value.__cause__!r}"
