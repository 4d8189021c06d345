"""A well-behaved server over stdio, or over HTTP with a port and a transport as its arguments."""

import asyncio
import os
import sys

from mcp.server import MCPServer
from mcp.server.mcpserver import Image
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("modern", log_level="CRITICAL")
cancelled = 0


@server.tool()
def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


@server.tool()
def table() -> dict[str, list[int]]:
    """Structured content."""
    return {"rows": [1, 2, 3]}


@server.tool()
async def slow(seconds: float) -> str:
    """Answer after a while."""
    global cancelled  # noqa: PLW0603 - the server's only state
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        cancelled += 1
        raise
    return "done"


@server.tool()
def times_cancelled() -> str:
    """How many slow calls were cancelled."""
    return str(cancelled)


@server.tool()
def huge(size: int) -> str:
    """A long text."""
    return "a" * (size // 2) + "z" * (size // 2)


@server.tool()
def picture() -> Image:
    """An image."""
    return Image(data=b"12345678", format="png")


@server.tool()
def repeat(text: str) -> str:
    """Say what it is given."""
    return text


@server.tool()
def refuse() -> str:
    """Fail with text for the model."""
    raise ToolError("the vault is closed")


@server.tool()
def crash() -> str:
    """End the process at once."""
    sys.stderr.write("out of cheese, key hunter2-hunter2\n")
    sys.stderr.flush()
    os._exit(3)


@server.tool()
def environment() -> str:
    """The names of the environment variables the server sees."""
    return " ".join(sorted(os.environ))


@server.resource("memo://today")
def today() -> str:
    """Today's memo."""
    return "rain"


@server.resource("memo://picture", mime_type="image/png")
def memo_picture() -> bytes:
    """A memo that is a picture."""
    return b"12345678"


@server.resource("memo://{day}")
def memo(day: str) -> str:
    """A day's memo."""
    return f"Memo of {day}."


@server.prompt()
def greeting(name: str) -> str:
    """Greet somebody."""
    return f"Say hello to {name}."


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run(sys.argv[2], host="127.0.0.1", port=int(sys.argv[1]))
    else:
        server.run("stdio")
