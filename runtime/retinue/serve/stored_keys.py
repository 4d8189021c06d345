"""The store's API keys → which of them a request has brought, without asking the database.

A task looks at the database every few seconds, and reads the keys where any was made or revoked.
Where nobody has brought one for a while it rests, so that a database may sleep; the first who does
waits for a look. While the database is away those that are known stay what they were.
"""

import asyncio
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from retinue.errors import RetinueError, StoreDownError, StoreError
from retinue.serve.key_snapshot import Snapshot
from retinue.serve.state import State
from retinue.serve.wire.errors import RefusedError, overloaded
from retinue.store.api_key import ApiKey

if TYPE_CHECKING:
    from retinue.store.key_book import KeyBook, Marks

log = logging.getLogger("retinue.serve")

EVERY = 3.0
"""Seconds between two looks: a key that was revoked opens nothing more after as long."""

_PAUSE = 0.5
_IDLE = 30.0
_RENEWAL = 1.0
_STRANGERS = 4096
_STRANGE = 30.0
_WAITING = 256
_USED = 300.0
_TOUCH = 60.0
_FAREWELL = 1.0
_STOPPING = StoreDownError("The server is stopping. Please ask again in a moment.")
_UNREADABLE = StoreDownError("The API keys can't be read now. Please ask again in a moment.")

Asking = asyncio.Future[RetinueError | None]


class StoredKeys:
    """The keys of one server: `async with StoredKeys(state)` keeps them up to date.

    `snapshot` is where they are kept for a start while the database is away. The times are in
    seconds: between two looks, at least between two that unknown keys bring about, between two
    times that the database is told which keys were used, and without a key before it rests.
    """

    def __init__(
        self,
        state: State,
        snapshot: Snapshot | None = None,
        *,
        every: float = EVERY,
        pause: float = _PAUSE,
        used: float = _USED,
        idle: float = _IDLE,
    ) -> None:
        self._state = state
        self._snapshot = snapshot
        self._every = every
        self._pause = pause
        self._tell_used = used
        self._idle = idle
        self._known: dict[bytes, ApiKey] = {}
        self._marks: Marks | None = None
        self._strangers: dict[bytes, float] = {}
        self._used: dict[str, float] = {}
        self._told_at = self._touched_at = self._asked_at = time.monotonic()
        self.resting = False
        """Whether what is known may be old, as nobody has brought a key for a while."""
        self._failing = False
        self._wanted = asyncio.Event()
        self._asking: Asking | None = None
        self._waiting = 0
        self._task: asyncio.Task[None] | None = None

    def find(self, digest: bytes) -> ApiKey | None:
        """The key with that digest, if it is good now."""
        key = self._known.get(digest)
        if key is None:
            return None
        now = time.time()
        if not key.good(now):
            return None
        self._asked_at = time.monotonic()
        self._used[key.id] = now
        return key

    async def look_for(self, *digests: bytes) -> None:
        """Find out about keys that aren't known, which may have been made a moment ago.

        Whoever asks at the same time waits for the same look, and what wasn't there is remembered
        for a while: guesses cost the database two small questions a second at most. Raises
        StoreDownError and StoreError, and RefusedError where too many wait.
        """
        now = time.monotonic()
        unknown = [d for d in digests if d not in self._known and self._strangers.get(d, 0.0) < now]
        if not unknown:
            return
        if self._waiting >= _WAITING:
            raise RefusedError(overloaded())
        self._waiting += 1
        try:
            await self.refresh()
        finally:
            self._waiting -= 1
        for digest in unknown:
            if digest not in self._known:
                self._remember(digest)

    async def renew(self) -> None:
        """Look again after a rest, or wait a second for it: then what was known has to do."""
        with suppress(TimeoutError, StoreDownError, StoreError):
            async with asyncio.timeout(_RENEWAL):
                await self.refresh()

    def _remember(self, stranger: bytes) -> None:
        self._strangers.pop(stranger, None)
        while len(self._strangers) >= _STRANGERS:
            del self._strangers[next(iter(self._strangers))]
        self._strangers[stranger] = time.monotonic() + _STRANGE

    async def refresh(self) -> None:
        """Know what the database knows now. Raises StoreDownError and StoreError."""
        self._asked_at = time.monotonic()
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_future()
        self._wanted.set()
        error = await asyncio.shield(self._asking)
        if error:
            raise error

    async def __aenter__(self) -> Self:
        if self._snapshot:
            self._know(await asyncio.to_thread(self._snapshot.read))
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})
        _answer(self._asking, _STOPPING)
        with suppress(TimeoutError, RetinueError):
            async with asyncio.timeout(_FAREWELL):
                await self._tell()

    async def _run(self) -> None:
        pause = 0.0
        while True:
            self._wanted.clear()
            # Who comes while a look is under way may have a key that it doesn't see.
            asking, self._asking = self._asking, None
            error: RetinueError | None = _STOPPING
            try:
                error = await self._attempt()
            finally:
                _answer(asking, error)
            self.resting = time.monotonic() >= self._asked_at + self._idle
            # Those who came during the first look, which may have taken its time, needn't wait.
            await asyncio.sleep(pause)
            pause = self._pause
            with suppress(TimeoutError):
                every = None if self.resting else max(0.0, self._every - pause)
                async with asyncio.timeout(every):
                    await self._wanted.wait()

    async def _attempt(self) -> RetinueError | None:
        try:
            await self._look()
            now = time.monotonic()
            if now >= min(self._told_at + self._tell_used, self._asked_at + self._idle):
                await self._tell()
        except Exception as error:
            if not self._failing:
                bug = not isinstance(error, RetinueError)
                log.warning("the keys in the store can't be read: %s", error, exc_info=bug)
            self._failing = True
            return error if isinstance(error, StoreDownError | StoreError) else _UNREADABLE
        self._failing = False
        return None

    async def _look(self) -> None:
        book = await self._book()
        if not book.database.exists:
            return
        marks, found = await book.changed(self._marks)
        if found is not None:
            self._know(found)
            self._strangers.clear()
        self._marks = marks
        if self._snapshot and (found is not None or time.monotonic() >= self._touched_at + _TOUCH):
            await asyncio.to_thread(self._snapshot.keep, found)
            self._touched_at = time.monotonic()

    def _know(self, keys: list[ApiKey]) -> None:
        self._known = {bytes.fromhex(key.digest): key for key in keys}

    async def _tell(self) -> None:
        """Have the database know when keys were last used."""
        self._told_at = time.monotonic()
        if not self._used:
            return
        times, self._used = self._used, {}
        try:
            await (await self._book()).used(times)
        except BaseException:
            self._used = {**times, **self._used}
            raise

    async def _book(self) -> "KeyBook":
        store = await self._state.store("auth")
        # It brings in SQLAlchemy, which the store has loaded by now.
        from retinue.store.key_book import KeyBook  # noqa: PLC0415

        return KeyBook(store.database)


def _answer(asking: Asking | None, error: RetinueError | None) -> None:
    if asking and not asking.done():
        asking.set_result(error)
