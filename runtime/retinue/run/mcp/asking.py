"""A server's error → whether it is that the server wants to ask the user, and nobody can answer.

That a session can be asked is declared nowhere, so a server is not to ask. One that does is refused
at once, in either protocol, and no call waits for it.
"""

from mcp import MCPError
from mcp.types import MISSING_REQUIRED_CLIENT_CAPABILITY

# mcp's own answer to one that asks all the same.
_OURS = "Elicitation not supported"


def asks_user(error: MCPError) -> bool:
    """Whether the call needed an answer of the user's ("elicitation")."""
    if error.code != MISSING_REQUIRED_CLIENT_CAPABILITY:
        return error.message == _OURS
    data = error.error.data
    needed = data.get("requiredCapabilities") if isinstance(data, dict) else None
    return not isinstance(needed, dict) or "elicitation" in needed
