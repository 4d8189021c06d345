"""A `ToolServer` → an open connection that lists and calls its tools."""

from retinue.run.mcp.connection import Connection, ConnectionState
from retinue.run.mcp.users import UserConnection, UsersTools

__all__ = ["Connection", "ConnectionState", "UserConnection", "UsersTools"]
