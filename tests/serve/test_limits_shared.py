"""Limits that hold for all processes together, in a real database and a real Redis; and what is
left of them when these are gone.
"""

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from serving import QUESTION

from databases import Postgres
from redises import Redis

HERE = Path(__file__).parent
BODY = {"model": "tester", "messages": QUESTION}
LONG = "30"
"""Seconds to wait for a count where nothing may be counted twice."""


@asynccontextmanager
async def server(
    where: str, env: dict[str, str], patience: str = LONG, **limits
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "limit_server.py"), json.dumps(limits), where, patience,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **env, "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parent}"},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            url = (await process.stdout.readline()).decode().strip()
        assert url, "the server did not start"
        async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
            yield client
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ask(http: httpx.AsyncClient) -> int:
    return (await http.post("/v1/chat/completions", json=BODY)).status_code


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def shared(request, tmp_path) -> tuple[str, dict[str, str]]:
    """What two processes share: a store's address, and the environment."""
    if request.param == "sqlite":
        return str(tmp_path / "state.db"), {}
    if request.param == "postgresql":
        return request.getfixturevalue("postgres").new_database(), {}
    return "off", {"REDIS_URL": request.getfixturevalue("redis").url}


async def test_two_processes_let_in_as_many_as_one_would(shared):
    async with AsyncExitStack() as stack:
        two = [await stack.enter_async_context(server(*shared, rate="50/day")) for _ in range(2)]
        told = Counter(await asyncio.gather(*(ask(http) for http in two * 40)))
    assert told == {200: 50, 429: 30}


async def test_what_was_used_in_one_process_is_known_in_the_other(shared):
    async with AsyncExitStack() as stack:
        here, there = [
            await stack.enter_async_context(server(*shared, tokens="25/day")) for _ in range(2)
        ]
        assert [await ask(here) for _ in range(4)] == [200, 200, 200, 429]
        assert await ask(there) == 429


class Load:
    """Clients that ask until they are told to stop."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.statuses: Counter[int] = Counter()
        self.slowest = 0.0

    @asynccontextmanager
    async def on(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._ask()) for _ in range(4)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in done)

    async def _ask(self) -> None:
        while True:
            start = time.monotonic()
            self.statuses[await ask(self.http)] += 1
            self.slowest = max(self.slowest, time.monotonic() - start)
            await asyncio.sleep(0.005)

    async def more(self, number: int = 40) -> None:
        """Until so many more were answered."""
        goal = self.statuses.total() + number
        async with asyncio.timeout(60):
            while self.statuses.total() < goal:  # noqa: ASYNC110 - others count
                await asyncio.sleep(0.01)


async def alone(http: httpx.AsyncClient) -> float:
    """How many requests the process counted by itself, as /metrics has it."""
    text = (await http.get("/metrics")).text
    lines = [line for line in text.splitlines() if line.startswith("retinue_limits_alone_total ")]
    return float(lines[0].split()[1])


async def until_together(http: httpx.AsyncClient) -> None:
    """Until requests are counted for all again."""
    async with asyncio.timeout(60):
        while True:
            before = await alone(http)
            await ask(http)
            await ask(http)
            if await alone(http) == before:
                return
            await asyncio.sleep(0.1)


async def test_a_redis_that_is_killed_costs_no_answer(redis: Redis):
    env = {"REDIS_URL": redis.url}
    async with server("off", env, "0.25", rate="1000000/day", tokens="1000000000/day") as http:
        load = Load(http)
        await until_together(http)
        async with load.on():
            await load.more()
            redis.kill()
            await load.more()
            redis.start()
            await load.more()
            await until_together(http)
            redis.freeze()
            await load.more()
            redis.thaw()
            await until_together(http)
        assert load.statuses == {200: load.statuses.total()}
        assert load.slowest < 20
        assert await alone(http) > 0


async def test_a_database_that_stops_costs_no_answer(postgres: Postgres):
    where = postgres.new_database()
    async with server(where, {}, "0.25", rate="1000000/day", tokens="1000000000/day") as http:
        load = Load(http)
        await until_together(http)
        async with load.on():
            await load.more()
            postgres.crash()
            try:
                await load.more()
            finally:
                postgres.start()
            await until_together(http)
        assert load.statuses == {200: load.statuses.total()}
        assert load.slowest < 20
        assert await alone(http) > 0


async def test_a_limit_goes_on_in_each_process_without_what_they_share(redis: Redis):
    async with server("off", {"REDIS_URL": redis.url}, "0.25", rate="10/day") as http:
        await until_together(http)
        redis.kill()
        told = Counter([await ask(http) for _ in range(20)])
        assert told[200] + told[429] == 20
        assert told[429] >= 10
