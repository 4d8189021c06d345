"""API keys in the clear → their digests, and what a caller presents → which key it is."""

import re
from collections.abc import Iterable

from retinue.errors import ConfigurationError
from retinue.store.api_key import digest_of, id_of

_BETWEEN = re.compile(r"[\s,]+")
# What fits into a header as it is.
_KEY = re.compile(r"[!-+\--~]{1,512}")


class AccessError(ConfigurationError):
    """Callers can't be told apart as the agents ask for: no keys, or nothing that checks them."""


class KeyRing:
    """Keys that open the same doors, as SHA-256 digests alone."""

    def __init__(self, digests: Iterable[bytes]) -> None:
        self._names = {digest: id_of(digest) for digest in digests}

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
        return cls(digest_of(key.encode()) for key in keys)

    @classmethod
    def optional(cls, text: str, origin: str) -> "KeyRing":
        """As `read`, or an empty ring where the text is empty."""
        return cls.read(text, origin) if text.strip() else cls(())

    def __or__(self, other: "KeyRing") -> "KeyRing":
        return KeyRing((*self._names, *other._names))

    def find(self, presented: bytes) -> str | None:
        """The name of the key."""
        return self.named(digest_of(presented))

    def named(self, digest: bytes) -> str | None:
        """As `find`, by its digest. How long that takes tells of digests alone, and nobody can
        choose a key by what its digest begins with.
        """
        return self._names.get(digest)

    @property
    def names(self) -> frozenset[str]:
        """What the keys are called in logs: the start of each digest, of which no key follows."""
        return frozenset(self._names.values())
