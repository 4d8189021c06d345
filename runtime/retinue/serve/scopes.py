"""A path → the scope that a key needs for it."""

import re

from retinue.store.api_key import ADMIN, CHAT, LOGS

_PREFIX = r"(?:/api/v1|/v1)?"
_LOGS = re.compile(rf"{_PREFIX}/logs(?:/.*)?|/metrics", re.DOTALL)
_ADMIN = re.compile(rf"{_PREFIX}/admin(?:/.*)?|/restart|/kill", re.DOTALL)
# What any key may ask: which agents there are, and how the server is.
_ANY = re.compile(
    rf"{_PREFIX}/(?:models|agents)(?:/.*)?|{_PREFIX}/(?:health(?:/.*)?|healthcheck|prompts)"
    r"|/|/status|/agent/info|/docs(?:/.*)?|/openapi\.json",
    re.DOTALL,
)


def scope_for(path: str) -> str | None:
    """None where any key will do. What isn't named runs agents, or keeps something for them."""
    if _LOGS.fullmatch(path):
        return LOGS
    if _ADMIN.fullmatch(path):
        return ADMIN
    return None if _ANY.fullmatch(path) else CHAT
