"""A server whose tools ask the user for input: over stdio, or over HTTP with a port."""

import sys
from typing import Annotated

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.resolve import Elicit, Resolve
from mcp.types import ElicitRequest, ElicitRequestFormParams, InputRequiredResult
from pydantic import BaseModel

server = MCPServer("asking", log_level="CRITICAL")


class Size(BaseModel):
    """What is asked for."""

    size: int


@server.tool()
async def ask(context: Context) -> str:
    """Ask in the middle of the call, as the older protocol has it."""
    return str(await context.elicit("Which size?", Size))


def _wanted() -> Elicit[Size]:
    return Elicit("Which size?", Size)


@server.tool()
def need(size: Annotated[Size, Resolve(_wanted)]) -> str:
    """Ask before the call, as either protocol has it."""
    return f"size {size.size}"


@server.tool()
def insist() -> InputRequiredResult:
    """Ask who never said that it can be asked."""
    params = ElicitRequestFormParams(
        message="Which size?", requested_schema={"type": "object", "properties": {}}
    )
    return InputRequiredResult(input_requests={"size": ElicitRequest(params=params)})


@server.tool()
def fine() -> str:
    """Ask nothing."""
    return "fine"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
    else:
        server.run("stdio")
