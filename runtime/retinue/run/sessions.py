"""What is worth knowing in a session's next run, such as a Genie conversation → kept until then."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

_MOST = 10_000
LIFE = 24 * 3600.0
"""Seconds that a text is known."""
LONGEST = 1_000
"""Characters of a text; what is longer isn't kept."""


class Sessions(Protocol):
    """Short texts by session and name. A session is one user's alone: its name says whose."""

    async def take(self, session: str, name: str) -> str | None:
        """The text, if it is known, which it isn't any more then. Atomic."""

    async def put(self, session: str, name: str, text: str) -> None:
        """Keep the text instead of what was there."""


class SessionsInMemory:
    """As long as this process lives: the `most` that were used last, each for `life` seconds."""

    def __init__(
        self,
        *,
        most: int = _MOST,
        life: float = LIFE,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._most = most
        self._life = life
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._texts: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()

    async def take(self, session: str, name: str) -> str | None:
        """As `Sessions.take`."""
        text, until = self._texts.pop((session, name), (None, 0.0))
        return text if self._clock() < until else None

    async def put(self, session: str, name: str, text: str) -> None:
        """As `Sessions.put`."""
        key = session, name
        self._texts.pop(key, None)
        if len(text) <= LONGEST:
            self._texts[key] = text, self._clock() + self._life
        while len(self._texts) > self._most:
            self._texts.popitem(last=False)
