"""The LiteLLM adapter against a real upstream on loopback that behaves."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from retinue.route import Deployment
from retinue.run.events import ModelEvent, ModelFinished, ReasoningDelta, TextDelta, Usage
from retinue.run.messages import Message, ToolCall
from retinue.run.models import MODELS
from retinue.run.models.deployments import Deployments
from retinue.run.models.litellm import LiteLLMModel
from retinue.run.ports import ModelRequest
from retinue.run.references import environment
from retinue.testing import route
from run.models.fake_upstream import STREAM, call_piece, chunk, event, plays, upstream
from run.models.litellm_asked import ADD, HELLO, KEY, all_of, events, model_at


async def test_text_reasoning_and_usage() -> None:
    usage = {
        "prompt_tokens": 5,
        "completion_tokens": 4,
        "total_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    play = plays(
        chunk({"role": "assistant", "reasoning_content": "hm"}),
        chunk({"content": "Hel"}),
        chunk({"content": "lo"}),
        chunk({}, "stop"),
        chunk(usage=usage),
    )
    assert await events(play) == [
        ReasoningDelta("hm"),
        TextDelta("Hello"),
        ModelFinished("stop", Usage(5, 4, 3, 2)),
    ]


async def test_usage_is_not_invented() -> None:
    found = await events(plays(chunk({"content": "Hello there"}), chunk({}, "stop")))
    assert found[-1] == ModelFinished("stop", Usage())


async def test_what_is_sent() -> None:
    request = ModelRequest(
        messages=(
            Message("system", "Be brief."),
            Message("user", "1+1?"),
            Message("assistant", "", tool_calls=(ToolCall("c1", "add", '{"a":1}'),)),
            Message("tool", "2", tool_call_id="c1", name="add"),
        ),
        tools=(ADD, replace(ADD, name="sum", strict=True)),
        settings={"temperature": 0.5, "mock_response": "no", "base_url": "http://127.0.0.1:9"},
    )
    async with upstream(plays(chunk({"content": "2"}), chunk({}, "stop"))) as fake:
        model = model_at(fake.url, settings={"temperature": 0.1, "max_tokens": 7})
        found = await all_of(model, request)
        head, body = fake.requests[0]
    assert found == [TextDelta("2"), ModelFinished("stop")]
    assert f"authorization: bearer {KEY}" in head.lower()
    assert body["temperature"] == 0.5
    assert body["max_tokens"] == 7
    assert body["stream_options"] == {"include_usage": True}
    functions = [tool["function"] for tool in body["tools"]]
    assert [(f["name"], f.get("strict")) for f in functions] == [("add", None), ("sum", True)]
    assert body["messages"][2]["tool_calls"][0]["function"] == {
        "name": "add",
        "arguments": '{"a":1}',
    }
    assert body["messages"][3]["tool_call_id"] == "c1"
    assert set(body) <= {
        "model", "messages", "stream", "stream_options", "temperature", "max_tokens", "tools",
        "tool_choice",
    }  # fmt: skip


async def test_tool_calls_are_put_together() -> None:
    """Pieces, a gap between the indices, an index used twice, a missing id, finish `stop`."""
    play = plays(
        chunk({"content": "Let me see."}),
        chunk(call_piece(0, "", id="a", name="add")),
        chunk(call_piece(0, '{"x":')),
        chunk(call_piece(0, "1}")),
        chunk(call_piece(3, "{}", name="sub")),
        chunk(call_piece(3, "{}", id="c", name="mul")),
        chunk(call_piece(3, '{"y":2}', id="d", name="div")),
        chunk({}, "stop"),
    )
    assert await events(play) == [
        TextDelta("Let me see."),
        ToolCall("a", "add", '{"x":1}'),
        ToolCall("c", "submul", "{}{}"),
        ToolCall("d", "div", '{"y":2}'),
        ModelFinished("tool_calls"),
    ]


async def test_a_call_beside_length_is_not_yielded() -> None:
    play = plays(chunk(call_piece(0, '{"x":', id="a", name="add")), chunk({}, "length"))
    assert await events(play) == [ModelFinished("length")]


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
async def test_finish_reasons(reason: str) -> None:
    found = await events(plays(chunk({"content": "x"}), chunk({}, reason)))
    assert found[-1] == ModelFinished(reason)  # type: ignore[arg-type]


async def test_repeating_itself_is_legal() -> None:
    found = await events(plays(*[chunk({"content": "ha! "})] * 300, chunk({}, "stop")))
    assert "".join(e.text for e in found if isinstance(e, TextDelta)) == "ha! " * 300
    assert found[-1] == ModelFinished("stop")


async def test_many_calls_at_once() -> None:
    all_there = asyncio.Barrier(20)

    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # One by one, none would be answered.
        await all_there.wait()
        writer.write(STREAM + event(chunk({"content": "x"})) + event(chunk({}, "stop")))

    async with upstream(play) as fake:
        model = model_at(fake.url)

        async def ask() -> list[ModelEvent]:
            return await all_of(model, HELLO)

        found = await asyncio.gather(*(ask() for _ in range(20)))
    assert found == [[TextDelta("x"), ModelFinished("stop")]] * 20


async def test_adapters_are_picked_by_provider() -> None:
    class Other:
        def __init__(self, deployment: Deployment, _: Any) -> None:
            self.deployment = deployment

        async def stream(self, _: ModelRequest) -> AsyncIterator[ModelEvent]:
            yield TextDelta(self.deployment.model)

        async def aclose(self) -> None:
            return

    models = {**MODELS, "other": Other}
    for model, adapter in (("other/x", Other), ("cohere/x", LiteLLMModel), ("x", LiteLLMModel)):
        opened = Deployments(route(model), models, environment({}))
        assert isinstance(opened.places[0].model, adapter)
