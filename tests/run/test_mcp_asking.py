"""Servers that ask the user for input, in both protocols: nobody is asked, and nothing hangs."""

import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mcp import MCPError
from mcp.types import MISSING_REQUIRED_CLIENT_CAPABILITY

from retinue.agent import Http, Stdio, ToolServer
from retinue.errors import ToolError
from retinue.run.mcp import Connection
from retinue.run.mcp.asking import asks_user
from retinue.run.references import environment
from run.launching import free_port, launch

ASKING = Path(__file__).parent / "servers" / "asking.py"


@asynccontextmanager
async def opened(transport):
    server = ToolServer(name="s", transport=transport, timeout=60.0)
    connection = Connection(server, environment({}))
    try:
        await connection.start()
        yield connection
    finally:
        await connection.aclose()


async def check_refused(connection: Connection, *tools: str) -> None:
    for tool in tools:
        with pytest.raises(ToolError, match="nobody can answer that here"):
            # Far less than the server's own timeout.
            await asyncio.wait_for(connection.call(tool, {}), 20)
    assert (await connection.call("fine", {})).text == "fine"


async def test_one_that_asks_within_the_older_protocol_is_refused_at_once() -> None:
    async with opened(Stdio(command=sys.executable, args=(str(ASKING),))) as connection:
        assert connection.protocol == "2025-11-25"
        await check_refused(connection, "ask", "need")


async def test_one_that_asks_within_the_newer_protocol_is_refused_at_once() -> None:
    port = free_port()
    process = await launch(port, script=ASKING)
    try:
        async with opened(Http(url=f"http://127.0.0.1:{port}/mcp")) as connection:
            assert connection.protocol == "2026-07-28"
            await check_refused(connection, "need", "insist")
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize(
    ("data", "asks"),
    [
        ({"requiredCapabilities": {"elicitation": {"form": {}}}}, True),
        ({"requiredCapabilities": {"sampling": {}}}, False),
        ("what?", True),
    ],
)
def test_what_a_server_says_that_it_needs_is_read(data, asks) -> None:
    assert asks_user(MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "no", data)) is asks
