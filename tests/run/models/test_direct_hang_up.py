"""A caller who hangs up is hung up on at the provider, in every phase, through the whole server."""

import asyncio
import json
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from retinue.route import Timeouts
from retinue.run.messages import Message
from retinue.run.models.direct import DirectModel
from retinue.run.ports import ModelRequest
from retinue.run.references import environment
from retinue.run.runtime import Runtime
from retinue.serve.answers import Pace
from retinue.testing import agent, route
from run.models.fake_upstream import STREAM, Upstream, event, upstream
from run.models.upstream_plays import HEL, calls, one_call, resets
from serve.serving import running

PHASES = {
    "before the head": b"",
    "before the first token": STREAM,
    "amid an answer": STREAM + event(HEL),
    "amid an event": STREAM + event(HEL) + b"data: {",
}
# Seconds. It takes a few hundredths; only a hang should fail on a busy machine.
WITHIN = 2.0


@asynccontextmanager
async def silent(first: bytes) -> AsyncIterator[Upstream]:
    """An upstream that says so much and no more; a second question is met with silence too."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        await fake.until_left(reader)

    async with upstream(play) as fake:
        yield fake


async def asked(fake: Upstream, times: int = 1) -> None:
    for _ in range(1000):
        if len(fake.requests) >= times:
            break
        await asyncio.sleep(0.01)
    assert len(fake.requests) >= times
    # So that it waits for an answer, and not for the request to be sent.
    await asyncio.sleep(0.1)


@asynccontextmanager
async def caller(url: str, *, stream: bool) -> AsyncIterator[asyncio.StreamReader]:
    """A request; leaving the context is hanging up."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = json.dumps({"messages": [{"role": "user", "content": "hi"}], "stream": stream})
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
    try:
        yield reader
    finally:
        writer.close()


def served(url: str, **limits: float) -> Runtime:
    there = route(
        "openai/m", api_base=url, api_key="k", timeout=Timeouts(**({"total": 30.0} | limits))
    )
    return Runtime([agent("a", model=there)], lookup=environment({}))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("phase", PHASES)
async def test_hanging_up(phase: str, stream: bool) -> None:
    async with silent(PHASES[phase]) as fake:
        with running(served(fake.url)) as server:
            async with caller(server.url, stream=stream):
                await asked(fake)
                assert not fake.left.is_set()
            await asyncio.wait_for(fake.left.wait(), WITHIN)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_hanging_up_on_a_second_turn(stream: bool) -> None:
    """After a tool's result has gone back, and with a comment of ours sent meanwhile."""
    first = calls(one_call("{}"))

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(fake.requests) == 1:
            await first(reader, writer)
        else:
            await fake.until_left(reader)

    async with upstream(play) as fake:
        with running(served(fake.url), pace=Pace(hold=0.05, heartbeat=0.05)) as server:
            async with caller(server.url, stream=stream) as reader:
                await asked(fake, 2)
                if stream:
                    assert b": keep-alive" in await reader.readuntil(b"keep-alive")
            await asyncio.wait_for(fake.left.wait(), WITHIN)


async def test_hanging_up_between_attempts() -> None:
    """While the next try is waited for nothing is open, and none is made for someone gone."""
    async with upstream(resets(b"")) as fake:
        with running(served(fake.url)) as server:
            async with caller(server.url, stream=False):
                await asked(fake)
            seen = len(fake.requests)
            await asyncio.sleep(1)
        assert len(fake.requests) <= seen + 1


async def test_the_deadline_hangs_up_too() -> None:
    async with silent(STREAM) as fake:
        with running(served(fake.url, total=0.3)) as server:
            async with caller(server.url, stream=False) as reader:
                assert b" 504 " in await reader.readline()
                await asyncio.wait_for(fake.left.wait(), WITHIN)


@pytest.mark.parametrize("phase", PHASES)
async def test_closing_the_iterator(phase: str) -> None:
    async with silent(PHASES[phase]) as fake:
        there = route("openai/m", api_base=fake.url, api_key="k").deployments[0]
        model = DirectModel(there, environment({}))

        async def ask() -> None:
            async for _ in model.stream(ModelRequest(messages=(Message("user", "hi"),))):
                pass

        task = asyncio.create_task(ask())
        await asked(fake)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        await asyncio.wait_for(fake.left.wait(), WITHIN)
        await model.aclose()


def test_direct_routes_never_import_litellm() -> None:
    """A served app that answers over a direct route, in a process of its own."""
    script = textwrap.dedent("""
        import asyncio, sys
        import httpx
        from run.models.fake_upstream import plays, upstream
        from run.models.test_direct_hang_up import served
        from run.models.upstream_plays import GOOD
        from retinue.serve import app_for

        async def main():
            async with upstream(plays(*GOOD)) as fake:
                app = app_for(served(fake.url))
                async with app.router.lifespan_context(app):
                    client = httpx.AsyncClient(
                        transport=httpx.ASGITransport(app), base_url="http://app"
                    )
                    body = {"messages": [{"role": "user", "content": "hi"}]}
                    answer = await client.post("/v1/chat/completions", json=body)
            assert "Hello" in answer.text, answer.text
            heavy = {"litellm", "databricks", "boto3"} & set(sys.modules)
            assert not heavy, heavy

        asyncio.run(main())
        """)
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": ":".join(sys.path), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
