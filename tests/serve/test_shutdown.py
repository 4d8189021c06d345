"""SIGTERM while many streams are under way: short ones finish, long ones end in a clean error."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

HERE = Path(__file__).parent
MANY = 100


@asynccontextmanager
async def server(tmp_path: Path) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "store_server.py"), str(tmp_path / "state.db"),
        "short=pauses", "long=begins",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip(), process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def stream(http: httpx.AsyncClient, agent: str, begun: asyncio.Semaphore) -> list[str]:
    """The data of a stream's events; `begun` is released with the first."""
    body = {"model": agent, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    told: list[str] = []
    async with http.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                if not told:
                    begun.release()
                told.append(line.removeprefix("data: "))
    return told


@pytest.mark.long
async def test_short_streams_finish_and_long_ones_end_cleanly_when_the_server_stops(tmp_path):
    begun = asyncio.Semaphore(0)
    limits = httpx.Limits(max_connections=None)
    async with server(tmp_path) as (url, process):
        async with httpx.AsyncClient(
            base_url=url, timeout=60, limits=limits, trust_env=False
        ) as http:
            long = [asyncio.create_task(stream(http, "long", begun)) for _ in range(MANY)]
            for _ in range(MANY):
                await begun.acquire()
            short = [asyncio.create_task(stream(http, "short", begun)) for _ in range(MANY)]
            for _ in range(MANY):
                await begun.acquire()
            assert not any(task.done() for task in short)
            process.send_signal(signal.SIGTERM)
            since = time.monotonic()
            finished = await asyncio.gather(*short)
            ended = await asyncio.gather(*long)
        code = await process.wait()
        took = time.monotonic() - since
    assert code == 0
    for told in finished:
        assert told[-1] == "[DONE]"
        choices = [json.loads(one)["choices"] for one in told[:-1]]
        assert [c[0]["finish_reason"] for c in choices if c][-1] == "stop"
    for told in ended:
        assert told[-1] == "[DONE]"
        assert json.loads(told[-2])["error"]["code"]
    # What platforms give an app before they kill it is 15 seconds.
    assert took < 15
