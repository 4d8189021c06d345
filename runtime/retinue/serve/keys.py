"""API keys in the clear → their digests, and what a caller presents → which key it is."""

import hmac
import re
from collections.abc import Iterable
from hashlib import sha256

from retinue.errors import ConfigurationError

_BETWEEN = re.compile(r"[\s,]+")
# What fits into a header as it is.
_KEY = re.compile(r"[!-+\--~]{1,512}")


class AccessError(ConfigurationError):
    """Callers can't be told apart as the agents ask for: no keys, or nothing that checks them."""


class KeyRing:
    """Keys that open the same doors, as SHA-256 digests alone."""

    def __init__(self, digests: Iterable[bytes]) -> None:
        self._digests = tuple(dict.fromkeys(digests))

    @classmethod
    def read(cls, text: str, origin: str) -> "KeyRing":
        """From keys with commas or white space between them; `origin` is what messages call it.

        Raises AccessError, which never holds a key.
        """
        keys = [key for key in _BETWEEN.split(text) if key]
        for number, key in enumerate(keys, 1):
            if not _KEY.fullmatch(key):
                message = f"key {number} in {origin} must be 1 to 512 printable ASCII characters"
                raise AccessError(message)
        if not keys:
            raise AccessError(f"{origin} holds no API key")
        return cls(sha256(key.encode()).digest() for key in keys)

    @classmethod
    def optional(cls, text: str, origin: str) -> "KeyRing":
        """As `read`, or an empty ring where the text is empty."""
        return cls.read(text, origin) if text.strip() else cls(())

    def __or__(self, other: "KeyRing") -> "KeyRing":
        return KeyRing((*self._digests, *other._digests))

    def find(self, presented: bytes) -> str | None:
        """The name of the key; every key is compared, so that time tells nothing."""
        digest = sha256(presented).digest()
        found = None
        for known in self._digests:
            if hmac.compare_digest(digest, known):
                found = known
        return None if found is None else _name(found)

    @property
    def names(self) -> frozenset[str]:
        """What the keys are called in logs: the start of each digest, of which no key follows."""
        return frozenset(map(_name, self._digests))


def _name(digest: bytes) -> str:
    return f"key_{digest.hex()[:16]}"
