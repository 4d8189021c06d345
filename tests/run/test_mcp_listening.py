"""Changes of a server's tools, told of on a request that is held open."""

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mcp import MCPError
from mcp.client.subscriptions import SubscriptionLost
from mcp.types import (
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    ServerCapabilities,
    SubscriptionFilter,
    ToolsCapability,
)

from retinue.agent import Http, ToolServer
from retinue.run.mcp.listening import listen
from run.connecting import at, eventually, names, opened
from run.launching import free_port, launch

GROWING = Path(__file__).parent / "servers" / "growing.py"


async def test_a_change_is_followed_and_one_that_was_missed_is_made_up_for():
    port = free_port()
    process = await launch(port, script=GROWING)
    try:
        async with opened(at(f"http://127.0.0.1:{port}/mcp")) as connection:
            assert connection.protocol == "2026-07-28"
            assert names(connection) == ["learn"]
            for name in ("cook", "bake"):
                await connection.call("learn", {"name": name})
                assert await eventually(lambda name=name: name in names(connection))
                assert (await connection.call(name, {})).text == f"did {name}"

            process.kill()
            await process.wait()
            process = await launch(port, "sing", script=GROWING)
            assert await eventually(lambda: names(connection) == ["learn", "sing"])
            await connection.call("learn", {"name": "dance"})
            assert await eventually(lambda: "dance" in names(connection))
            assert connection.state == "up"
        # Nothing is held open any more: it can stop by itself.
        process.terminate()
        await asyncio.wait_for(process.wait(), 10)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def refused(code: int) -> Exception:
    return MCPError(code, "no")


class Told:
    """A client whose streams end as the script says: an error, or changes and then the end."""

    protocol_version = "2026-07-28"
    server_capabilities = ServerCapabilities(tools=ToolsCapability(list_changed=True))

    def __init__(self, *script: Exception | int | None) -> None:
        self.script = list(script)

    @asynccontextmanager
    async def listen(self, *, tools_list_changed: bool):
        assert tools_list_changed
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        yield _Changes(step)


class _Changes:
    def __init__(self, count: int | None) -> None:
        self.left = count or 0
        self.honored = SubscriptionFilter(tools_list_changed=count is not None)

    def __aiter__(self):
        return self

    async def __anext__(self) -> object:
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        return object()


@pytest.mark.parametrize(
    ("script", "heard"),
    [
        ([refused(METHOD_NOT_FOUND)], 0),
        ([None], 0),
        # Each stream that is opened counts as a change, as some may have been missed.
        ([2, refused(INVALID_REQUEST)], 3),
        ([TimeoutError(), 0, refused(METHOD_NOT_FOUND)], 1),
        ([refused(-32603), SubscriptionLost("gone"), refused(METHOD_NOT_FOUND)], 0),
    ],
)
async def test_it_asks_again_until_the_server_says_that_it_never_tells(script, heard):
    client, changes = Told(*script), []
    server = ToolServer(name="s", transport=Http(url="http://x/mcp"), timeout=5.0)
    await asyncio.wait_for(listen(client, server, lambda: changes.append(1)), 60)
    assert (len(changes), client.script) == (heard, [])


async def test_it_does_not_ask_who_says_that_it_does_not_tell():
    server = ToolServer(name="s", transport=Http(url="http://x/mcp"), timeout=5.0)
    older, silent = Told(), Told()
    older.protocol_version = "2025-11-25"
    silent.server_capabilities = ServerCapabilities(tools=ToolsCapability())
    for client in (older, silent):
        await listen(client, server, lambda: None)
