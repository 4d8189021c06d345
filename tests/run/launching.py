"""The well-behaved server, in a process of its own at a port."""

import asyncio
import socket
import sys
from pathlib import Path

MODERN = Path(__file__).parent / "servers" / "modern.py"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def launch(port: int, transport: str = "streamable-http") -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(MODERN), str(port), transport
    )
    for _ in range(400):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.025)
        else:
            writer.close()
            return process
    raise AssertionError("the server did not start")
