"""The LiteLLM adapter against an upstream on loopback that fails, and without what it needs."""

import asyncio
import time
from contextlib import aclosing

import pytest

from retinue.errors import ModelError
from retinue.run.events import TextDelta
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
from run.models.litellm_asked import HELLO, KEY, all_of, error_of, model_at

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
    assert time.monotonic() - began < 20


async def test_closing_the_stream_hangs_up() -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM + event(SOME))
        await fake.until_left(reader)

    async with upstream(play) as fake:
        async with aclosing(model_at(fake.url).stream(HELLO)) as stream:
            assert await anext(stream) == TextDelta("Hel")
        await asyncio.wait_for(fake.left.wait(), 10)


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
        await asyncio.wait_for(fake.left.wait(), 10)


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
