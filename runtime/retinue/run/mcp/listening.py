"""A session of the newer protocol → calls when the server says that its tools have changed.

Source: https://modelcontextprotocol.io/specification/2026-07-28/basic/utilities/subscriptions
"""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import AsyncExitStack

from mcp import Client, MCPError
from mcp.types import INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND
from mcp.types.version import MODERN_PROTOCOL_VERSIONS

from retinue.agent import ToolServer

log = logging.getLogger(__name__)

# What a server answers that doesn't tell of changes, whatever it says that it can.
_NEVER = (INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND)

# Seconds until it is asked again, once the stream has ended; and how long one is that has worked.
_FIRST_DELAY = 1.0
_LONGEST_DELAY = 120.0
_HEALTHY = 30.0


async def listen(client: Client, server: ToolServer, changed: Callable[[], None]) -> None:
    """Call `changed` after each change, for as long as the server tells of them.

    Nothing tells what has changed while no stream was open: so it is called once one is.
    """
    if client.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return
    tools = client.server_capabilities.tools
    if tools is None or not tools.list_changed:
        return
    clock = asyncio.get_running_loop().time
    delay = _FIRST_DELAY
    while True:
        began = clock()
        try:
            if not await _heard(client, server.timeout, changed):
                return
        except MCPError as error:
            log.debug("'%s' does not tell of changes (%d)", server.name, error.code)
            if error.code in _NEVER:
                return
        except Exception as error:  # noqa: BLE001 - whatever it is, the tools known stay
            log.debug("'%s' tells of changes no longer (%s)", server.name, type(error).__name__)
        if clock() - began > _HEALTHY:
            delay = _FIRST_DELAY
        await asyncio.sleep(delay * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
        delay = min(2 * delay, _LONGEST_DELAY)


async def _heard(client: Client, patience: float, changed: Callable[[], None]) -> bool:
    """One stream, to its end; False where the server won't tell of tools."""
    async with AsyncExitStack() as stack:
        async with asyncio.timeout(patience):
            changes = await stack.enter_async_context(client.listen(tools_list_changed=True))
        if not changes.honored.tools_list_changed:
            return False
        changed()
        async for _ in changes:
            changed()
    return True
