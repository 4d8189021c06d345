"""Which rows of the log of requests are meant, and the ids that they sort by."""

import secrets
from dataclasses import dataclass

_PREFIX = "log_"
_MOST = 16**14 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Those that have all that is given. `since` and `until` are Unix seconds; `until` itself is
    left out.
    """

    user: str | None = None
    session: str | None = None
    agent: str | None = None
    since: float | None = None
    until: float | None = None


def first_id(seconds: float) -> str:
    """What the ids of that moment, in Unix seconds, begin with: they sort by time."""
    return f"{_PREFIX}{min(max(0, int(seconds * 1e6)), _MOST):014x}"


def new_id(seconds: float) -> str:
    """An id for a row of that moment."""
    return first_id(seconds) + secrets.token_hex(8)
