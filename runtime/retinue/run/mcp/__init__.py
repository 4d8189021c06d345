"""A `ToolServer` → an open connection that lists and calls its tools."""

from retinue.run.mcp.connection import Connection, ConnectionState

__all__ = ["Connection", "ConnectionState"]
