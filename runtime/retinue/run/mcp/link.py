"""What a session needs of a transport, and the record of one exchange over it."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from mcp.client import Transport

from retinue.run.mcp.faults import LinkError, clip

_WORDS = {
    401: "not authorised: check its headers, or log in",
    403: "forbidden: this identity may not use it",
    404: "not found: check its URL",
    429: "too many requests",
}
_USERS_WORDS = {
    401: "the caller's Databricks token is not accepted, or no longer: sign in again",
    403: "forbidden: the caller may not use it, or has not agreed that this app may for them: "
    "ask for the permission, or sign out of the app and in again",
    404: "not found: it is not there, or the caller may not see it",
}


# mcp's read stream and write stream, whose types are not public.
Streams = tuple[Any, Any]


class Link(Transport, Protocol):
    """A way to a server that mcp's client can enter; single use."""

    def fault(self) -> LinkError | None:
        """Why the link broke, or None where it did not."""


@dataclass(slots=True)
class Exchange:
    """What HTTP said during one call: mcp hides it. `retry_after` is as the server wrote it.

    `as_user` tells a request with a caller's own token from one with this process's identity.
    """

    status: int | None = None
    retry_after: str | None = None
    fault: LinkError | None = None
    as_user: bool = False

    @property
    def refused(self) -> bool:
        return self.status is not None and self.status >= 300

    @property
    def wait(self) -> float | None:
        """The seconds to wait, where the server wants that and they are a number."""
        told = self.retry_after or ""
        return float(told) if told.isdecimal() and len(told) < 6 else None

    def words(self) -> str:
        """`answered 429 (too many requests; retry after 3 s)`."""
        known = _WORDS | _USERS_WORDS if self.as_user else _WORDS
        meaning = known.get(self.status or 0) or (
            "a redirect: is a login needed?" if (self.status or 0) < 400 else "an error"
        )
        if self.retry_after:
            meaning += f"; retry after {clip(self.retry_after, 40)}"
        return f"answered {self.status} ({meaning})"

    def forgotten(self, message: str) -> bool:
        """Servers of the older protocol answer so when they don't know the session (any more)."""
        return self.status == 404 or (self.status == 400 and "session" in message.lower())


# A request is posted in its sender's context, so each concurrent call has its own record.
exchange: ContextVar[Exchange | None] = ContextVar("exchange", default=None)
