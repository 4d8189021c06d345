"""The well-behaved server, or another, in a process of its own at a port."""

import asyncio
import socket
import sys
from pathlib import Path
from typing import Any

from retinue.agent import Stdio, ToolServer

SERVERS = Path(__file__).parent / "servers"
MODERN = SERVERS / "modern.py"


def server(file: str, *args: str, **changes: Any) -> ToolServer:
    command = Stdio(
        command=sys.executable, args=(str(SERVERS / file), *args), env=changes.pop("env", ())
    )
    return ToolServer(**{"name": "s", "transport": command, "timeout": 5.0, **changes})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def launch(port: int, *arguments: str, script: Path = MODERN) -> asyncio.subprocess.Process:
    """The server at the port; of the well-behaved one the argument is its transport."""
    given = arguments or ("streamable-http",) if script == MODERN else arguments
    process = await asyncio.create_subprocess_exec(sys.executable, str(script), str(port), *given)
    for _ in range(400):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.025)
        else:
            writer.close()
            return process
    raise AssertionError("the server did not start")
