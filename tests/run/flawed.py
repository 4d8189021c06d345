"""A fault put into a tool server, and what must hold of it: isolated, over, nothing left."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retinue.agent import Http, Stdio, ToolServer
from retinue.errors import ToolError
from retinue.run.events import ToolResult
from retinue.run.mcp import Connection
from retinue.run.references import environment

TESTS = Path(__file__).parents[1]
FINE = ToolResult("fine")
# Seconds: a call's own deadline here, and what may come on top of it on a busy machine.
TIMEOUT = 1.0
HANG = 15.0


@dataclass(slots=True)
class Fault:
    """A control file; what it says goes wrong, at this phase and no other."""

    path: Path

    def put(self, phase: str, fault: str) -> None:
        self.path.with_suffix(".new").write_text(f"{phase}/{fault}")
        self.path.with_suffix(".new").replace(self.path)

    def lift(self) -> None:
        self.put("", "")


def command(control: Path) -> ToolServer:
    args = ("-m", "run.servers.flawed_stdio", str(control))
    env = (("PYTHONPATH", str(TESTS)), ("CONTROL", str(control)))
    return _server(Stdio(command=sys.executable, args=args, env=env))


def address(url: str) -> ToolServer:
    return _server(Http(url=url))


def _server(transport: Any) -> ToolServer:
    return ToolServer(name="s", transport=transport, timeout=TIMEOUT)


@asynccontextmanager
async def serving(control: Path) -> AsyncIterator[str]:
    """A server at a port; its URL without a path."""
    args = ("-m", "run.servers.flawed_http", str(control))
    pipe = asyncio.subprocess.PIPE
    env = {**os.environ, "PYTHONPATH": str(TESTS)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *args, stdin=pipe, stdout=pipe, env=env
    )
    try:
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        process.kill()
        await process.wait()


async def outcome(connection: Connection, name: str = "good") -> ToolResult | str:
    """What comes of a call: a result, or the text of its ToolError; anything else is a failure."""
    try:
        async with asyncio.timeout(HANG):
            return await connection.call(name, {"text": "hi"})
    except ToolError as error:
        return str(error)


async def survived(wanted: ToolServer, fault: Fault, phase: str, name: str) -> ToolResult | str:
    """Put the fault in, call, lift it, call; what the call in between came to.

    Asserts that an ordinary call works before and after it, and that no task is left.
    """
    fault.lift()
    before = asyncio.all_tasks()
    connection = Connection(wanted, environment({}), connect_timeout=2.5)
    try:
        if phase in ("call", "stream late"):
            await asyncio.wait_for(connection.start(), HANG)
            assert await outcome(connection) == FINE, connection.problem
            fault.put(phase, name)
        else:
            fault.put(phase, name)
            await asyncio.wait_for(connection.start(), HANG)
        came = await outcome(connection)
        # Of a result's text the run shows a page; an error is told as it is.
        assert not isinstance(came, str) or len(came) < 3_000
        assert len(connection.problem or "") < 3_000
        fault.lift()
        assert await _recovered(connection), (came, connection.state, connection.problem)
    finally:
        await asyncio.wait_for(connection.aclose(), HANG)
    await asyncio.sleep(0)
    left = [t for t in asyncio.all_tasks() - before if not t.done()]
    assert not left, left
    return came


async def _recovered(connection: Connection) -> bool:
    deadline = time.monotonic() + HANG
    while time.monotonic() < deadline:
        if await outcome(connection) == FINE:
            return True
        await asyncio.sleep(0.05)
    return False


def left_over(marker: str) -> list[int]:
    """Processes that still have the marker in their command line, and are no zombies."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if marker.encode() in line and state != "Z":
            found.append(int(entry.name))
    return [pid for pid in found if pid != os.getpid()]
