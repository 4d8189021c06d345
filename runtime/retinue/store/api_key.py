"""An API key: the text that its holder has, and what is kept of it.

The text is `rtn-` and 43 letters, digits, `-` and `_`: 256 random bits in URL-safe Base64 without
padding (RFC 4648, section 5). Secret scanners find it by `rtn-[A-Za-z0-9_-]{43}`. Of that text the
store has the SHA-256 alone; with so many bits nothing slower is needed against guessing.
"""

import re
import secrets
from dataclasses import dataclass
from hashlib import sha256

from retinue.errors import RetinueError

CHAT = "chat"
LOGS = "logs"
ADMIN = "admin"
SCOPES = (CHAT, LOGS, ADMIN)
"""What a key may do: ask agents and keep things, read the whole log of requests, operate the
server. The last one holds the others.
"""

MOST = 10_000
"""Keys that may be good at a time."""

_BYTES = 32
PREFIX = "rtn-"
FORM = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")


class TakenError(RetinueError):
    """Another key that wasn't revoked has the name."""


class TooManyKeysError(RetinueError):
    """There are as many keys as there may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is kept of a key; times are Unix seconds.

    `digest` is the SHA-256 of its text, in hex, and `id` is `key_` and the start of that. `agents`
    are the only ones that it may use, where there are any. The last three are as in
    `retinue.serve.limits`.
    """

    id: str
    digest: str
    name: str
    scopes: frozenset[str]
    agents: frozenset[str] = frozenset()
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    used_at: float | None = None
    rate: str | None = None
    tokens: str | None = None
    usd: str | None = None

    def good(self, at: float) -> bool:
        """Whether it opens anything at that moment."""
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)


def new_key() -> str:
    """A key's text."""
    return f"{PREFIX}{secrets.token_urlsafe(_BYTES)}"


def is_ours(presented: bytes) -> bool:
    """Whether it has the form of a key that is made here."""
    return FORM.fullmatch(presented.decode("latin-1")) is not None


def digest_of(presented: bytes) -> bytes:
    """What a key is known by."""
    return sha256(presented).digest()


def id_of(digest: bytes) -> str:
    """What a key is called in logs: no key follows from it."""
    return f"key_{digest.hex()[:16]}"
