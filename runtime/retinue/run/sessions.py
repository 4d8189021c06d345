"""What is worth knowing in a session's next run, such as a Genie conversation → kept until then."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

_MOST = 10_000
_LIFE = 24 * 3600.0
_LONGEST = 1_000


class Sessions(Protocol):
    """Short texts by session and name. A session is one user's alone: its name says whose."""

    async def get(self, session: str, name: str) -> str | None:
        """The text, as long as it is known."""

    async def put(self, session: str, name: str, text: str | None) -> None:
        """Keep the text instead of what was there; None forgets."""


class SessionsInMemory:
    """As long as this process lives: the `most` that were used last, each for `life` seconds."""

    def __init__(
        self,
        *,
        most: int = _MOST,
        life: float = _LIFE,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._most = most
        self._life = life
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._texts: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()

    async def get(self, session: str, name: str) -> str | None:
        """As `Sessions.get`."""
        text, until = self._texts.get((session, name), (None, 0.0))
        return text if self._clock() < until else None

    async def put(self, session: str, name: str, text: str | None) -> None:
        """As `Sessions.put`; what is longer than 1,000 characters isn't kept."""
        key = session, name
        self._texts.pop(key, None)
        if text is not None and len(text) <= _LONGEST:
            self._texts[key] = text, self._clock() + self._life
        while len(self._texts) > self._most:
            self._texts.popitem(last=False)
