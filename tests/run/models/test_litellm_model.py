"""The LiteLLM adapter against a real upstream on loopback, well-behaved and not."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from retinue.errors import ModelError
from retinue.route import Deployment, Timeouts
from retinue.run.events import ModelEvent, ModelFinished, ReasoningDelta, TextDelta, Usage
from retinue.run.messages import Message, ToolCall
from retinue.run.models import MODELS, open_model
from retinue.run.models.deployments import Deployments
from retinue.run.models.litellm import LiteLLMModel
from retinue.run.ports import Model, ModelRequest, Tool
from retinue.run.references import environment
from retinue.testing import route
from retinue.values import Ref, Template
from run.models.fake_upstream import (
    STREAM,
    Play,
    call_piece,
    chunk,
    event,
    plays,
    refuses,
    sends,
    then_reset,
    upstream,
)

KEY = "sk-secret"
HELLO = ModelRequest(messages=(Message("user", "hi"),))
ADD = Tool("add", "Add.", {"type": "object", "properties": {"a": {"type": "integer"}}})


def model_at(url: str, **changes: Any) -> Model:
    key = Template((Ref("env", "THE_KEY"),))
    fields = {
        "api_base": url, "api_key": key, "retries": 0, "adapter": "litellm", **changes
    }  # fmt: skip
    # Importing litellm is part of the first call.
    seconds = Timeouts(total=fields.pop("timeout", 30.0))
    there = route(fields.pop("model", "openai/m"), timeout=seconds, **fields)
    return open_model(there, MODELS, environment({"THE_KEY": KEY}))


def deployment(model: str) -> Deployment:
    return Deployment(model=model)


async def all_of(model: Model, request: ModelRequest) -> list[ModelEvent]:
    """The events, with the finish as the provider gave it."""
    found = [event async for event in model.stream(request)]
    *deltas, finish = found
    assert isinstance(finish, ModelFinished)
    return [*deltas, replace(finish, model="", usage=replace(finish.usage, cost_usd=0.0))]


async def events(play: Play, request: ModelRequest = HELLO, **changes: Any) -> list[ModelEvent]:
    async with upstream(play) as fake:
        return await all_of(model_at(fake.url, **changes), request)


async def error_of(play: Play, **changes: Any) -> tuple[list[ModelEvent], ModelError]:
    seen: list[ModelEvent] = []
    async with upstream(play) as fake:
        with pytest.raises(ModelError) as caught:
            async for item in model_at(fake.url, **changes).stream(HELLO):
                seen += [item]
    assert KEY not in str(caught.value)
    assert KEY not in repr(caught.value.__cause__)
    return seen, caught.value


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


SOME = chunk({"content": "Hel"})
HALF_CALL = chunk(call_piece(0, '{"x":', id="a", name="add"))
CHUNKED = STREAM.replace(b"connection: close", b"transfer-encoding: chunked")
CUTS: dict[str, Play] = {
    "end without a finish": plays(SOME, done=False),
    "done without a finish": plays(SOME),
    "done alone": plays(),
    "nothing at all": sends(STREAM),
    "an empty body": sends(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    "html": sends(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n<html>sk-secret</html>"),
    "half an event": plays(SOME, b'{"id":"c1","choices":[{"del', done=False),
    "half a line": sends(STREAM + event(SOME) + b"data: {"),
    "half a tool call": plays(HALF_CALL, done=False),
    "half a tool call, then done": plays(HALF_CALL),
    "half a tool call, then a reset": then_reset(HALF_CALL),
    "a reset": then_reset(SOME),
    "a reset before anything": then_reset(),
    "a cut chunk": sends(CHUNKED + b"%x\r\n" % len(event(SOME)) + event(SOME) + b"\r\n"),
    "an error event": plays(SOME, {"error": {"message": "sk-secret", "code": 500}}, done=False),
    "usage but no finish": plays(SOME, chunk(usage={"prompt_tokens": 1, "completion_tokens": 1})),
}


@pytest.mark.parametrize("cut", CUTS)
async def test_a_cut_answer_is_an_error(cut: str) -> None:
    seen, error = await error_of(CUTS[cut])
    assert error.kind in ("truncated", "unavailable")
    assert all(isinstance(item, TextDelta) for item in seen)
    if seen:
        assert error.kind == "truncated"


REFUSALS = {
    400: "bad_request",
    401: "auth",
    403: "auth",
    404: "not_found",
    408: "timeout",
    409: "unavailable",
    413: "context_window",
    422: "bad_request",
    429: "rate_limit",
    500: "unavailable",
    502: "unavailable",
    503: "unavailable",
    504: "timeout",
    529: "unavailable",
}


@pytest.mark.parametrize("status", REFUSALS)
async def test_refusals(status: int) -> None:
    async with upstream(refuses(status, retry_after="7")) as fake:
        with pytest.raises(ModelError) as caught:
            _ = [e async for e in model_at(fake.url).stream(HELLO)]
        assert len(fake.requests) == 1, "retries are not this layer's"
    assert caught.value.kind == REFUSALS[status]
    assert caught.value.retry_after == 7.0
    assert str(status) in str(caught.value)
    assert KEY not in str(caught.value)


async def test_context_window_and_content_filter() -> None:
    long = {"message": "maximum context length is 8192 tokens", "code": "context_length_exceeded"}
    _, error = await error_of(refuses(400, long))
    assert error.kind == "context_window"
    assert "8192" not in str(error)
    _, error = await error_of(refuses(400, {"message": "x", "code": "content_policy_violation"}))
    assert error.kind == "content_filter"


async def test_retry_after_may_be_a_date() -> None:
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 60))
    _, error = await error_of(refuses(429, retry_after=date))
    assert error.retry_after is not None
    assert 50 < error.retry_after <= 60
    _, error = await error_of(refuses(429, retry_after="soon"))
    assert error.retry_after is None


async def _drip(writer: asyncio.StreamWriter) -> None:
    for _ in range(100):
        writer.write(b": keep-alive\n\n")
        await writer.drain()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("manner", ["silent", "silent after the head", "midway", "dripping"])
async def test_the_deadline_holds(manner: str) -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if manner != "silent":
            writer.write(STREAM + (event(SOME) if manner == "midway" else b""))
        if manner == "dripping":
            await _drip(writer)
        await reader.read(1)

    began = time.monotonic()
    seen, error = await error_of(play, timeout=0.5)
    assert error.kind == "timeout"
    assert seen == ([TextDelta("Hel")] if manner == "midway" else [])
    assert time.monotonic() - began < 4


async def test_closing_the_stream_hangs_up() -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM + event(SOME))
        await fake.until_left(reader)

    async with upstream(play) as fake:
        async with aclosing(model_at(fake.url).stream(HELLO)) as stream:
            assert await anext(stream) == TextDelta("Hel")
        await asyncio.wait_for(fake.left.wait(), 0.5)


@pytest.mark.parametrize("head", [b"", STREAM, STREAM + event(SOME)])
async def test_cancelling_the_caller_hangs_up(head: bytes) -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        await fake.until_left(reader)

    async def ask() -> None:
        async for _ in model_at(fake.url).stream(HELLO):
            pass

    async with upstream(play) as fake:
        task = asyncio.create_task(ask())
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        await asyncio.wait_for(fake.left.wait(), 0.5)


async def test_an_endless_answer_is_stopped() -> None:
    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM)
        while True:
            writer.write(event(chunk({"content": "x" * 200_000})))
            await writer.drain()

    seen, error = await error_of(play)
    assert error.kind == "unavailable"
    assert len(seen) == 20


async def test_nobody_listens() -> None:
    model = model_at("http://127.0.0.1:9/v1")
    with pytest.raises(ModelError) as caught:
        _ = await all_of(model, HELLO)
    assert caught.value.kind == "unavailable"
    assert "no connection to its address" in str(caught.value)


@pytest.mark.parametrize("name", ["databrick/foo", "claude-something"])
async def test_an_unknown_provider_is_told(name: str) -> None:
    with pytest.raises(ModelError, match="names no provider") as caught:
        _ = [e async for e in model_at("", model=name, api_base=None, api_key=None).stream(HELLO)]
    assert caught.value.kind == "not_found"


async def test_a_missing_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    for name, variable in (("openai/m", "OPENAI_API_KEY"), ("anthropic/m", "ANTHROPIC_API_KEY")):
        with pytest.raises(ModelError, match=variable) as caught:
            _ = [
                e async for e in model_at("", model=name, api_base=None, api_key=None).stream(HELLO)
            ]
        assert caught.value.kind == "auth"


async def test_a_missing_reference_is_named() -> None:
    key = Template((Ref("secret", "scope/openai"),))
    with pytest.raises(ModelError, match="RETINUE_SECRET_SCOPE_OPENAI") as caught:
        _ = [e async for e in model_at("http://127.0.0.1:9", api_key=key).stream(HELLO)]
    assert caught.value.kind == "auth"


@pytest.fixture
def no_databricks(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> pytest.MonkeyPatch:
    for name in (
        "DATABRICKS_HOST",
        "DATABRICKS_TOKEN",
        "DATABRICKS_API_KEY",
        "DATABRICKS_API_BASE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path))
    return monkeypatch


@pytest.mark.usefixtures("no_databricks")
async def test_databricks_without_credentials() -> None:
    model = LiteLLMModel(deployment("databricks/claude"), environment({}))
    with pytest.raises(ModelError, match="DATABRICKS_HOST and DATABRICKS_TOKEN") as caught:
        _ = await all_of(model, HELLO)
    assert caught.value.kind == "auth"


@pytest.mark.usefixtures("no_databricks")
async def test_databricks_by_litellms_own_variables() -> None:
    async with upstream(plays(chunk({"content": "hi"}), chunk({}, "stop"))) as fake:
        given = {"DATABRICKS_API_KEY": "dapi-key", "DATABRICKS_API_BASE": f"{fake.url}/own"}
        model = LiteLLMModel(deployment("databricks/claude"), environment(given))
        assert await all_of(model, HELLO) == [TextDelta("hi"), ModelFinished("stop")]
        head, _ = fake.requests[-1]
    assert head.startswith("POST /v1/own/chat/completions ")
    assert "authorization: bearer dapi-key" in head.lower()


async def test_databricks_by_host_and_token(no_databricks: pytest.MonkeyPatch) -> None:
    async with upstream(plays(chunk({"content": "hi"}), chunk({}, "stop"))) as fake:
        host = fake.url.removesuffix("/v1")
        no_databricks.setenv("DATABRICKS_HOST", host)
        no_databricks.setenv("DATABRICKS_TOKEN", "dapi-token")
        model = LiteLLMModel(deployment("databricks/claude"), environment())
        found = await all_of(model, HELLO)
        head, body = fake.requests[-1]
    assert found == [TextDelta("hi"), ModelFinished("stop")]
    assert head.startswith("POST /serving-endpoints/chat/completions ")
    assert "authorization: bearer dapi-token" in head.lower()
    assert body["model"] == "claude"


async def test_many_calls_at_once() -> None:
    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        writer.write(STREAM + event(chunk({"content": "x"})) + event(chunk({}, "stop")))

    async with upstream(play) as fake:
        model = model_at(fake.url)

        async def ask() -> list[ModelEvent]:
            return await all_of(model, HELLO)

        began = time.monotonic()
        found = await asyncio.gather(*(ask() for _ in range(20)))
        # One by one: 4 s.
        assert time.monotonic() - began < 3.5
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
