"""A server of the newer protocol whose tools change: `python growing.py PORT [TOOL…]`."""

import sys

from mcp.server import MCPServer
from mcp.server.mcpserver import Context

server = MCPServer("growing", log_level="CRITICAL")


@server.tool()
async def learn(name: str, context: Context) -> str:
    """Have another tool from now on."""
    _add(name)
    await context.notify_tools_changed()
    return "learnt"


def _add(name: str) -> None:
    server.add_tool(lambda: f"did {name}", name=name, description="Do it.")


if __name__ == "__main__":
    for given in sys.argv[2:]:
        _add(given)
    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
