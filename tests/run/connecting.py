"""Connections to tool servers, and what tests say of them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from retinue.agent import Http, ToolServer
from retinue.errors import ToolError
from retinue.run.events import ToolResult
from retinue.run.mcp import Connection
from retinue.run.references import environment

KEY = "hunter2-hunter2"
FINE = ToolResult("fine")


def at(url: Any, **changes: Any) -> ToolServer:
    headers = changes.pop("headers", ())
    fields = {"name": "s", "transport": Http(url=url, headers=headers), "timeout": 5.0, **changes}
    return ToolServer(**fields)


@asynccontextmanager
async def opened(wanted: ToolServer, **options: Any) -> AsyncIterator[Connection]:
    connection = Connection(wanted, environment({"THE_KEY": KEY}), **options)
    try:
        await connection.start()
        yield connection
    finally:
        await connection.aclose()


async def failure(connection: Connection, name: str = "good", **arguments: Any) -> str:
    with pytest.raises(ToolError) as caught:
        await connection.call(name, arguments)
    return str(caught.value)


async def eventually(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


def names(connection: Connection) -> list[str]:
    return [tool.name for tool in connection.tools]
