"""A process that holds something in the store → its word, again and again, that it lives."""

import asyncio
import secrets
from contextlib import suppress
from functools import partial

from retinue.errors import StoreDownError
from retinue.store import workers
from retinue.store.database import Database


class Presence:
    """Who this process is to others that share its store.

    It says so while it holds something, and what it holds is free for others fifteen seconds after
    it was killed. A process that holds nothing is silent. It says so each `every` seconds.
    """

    def __init__(self, every: float = workers.LEASE / 3) -> None:
        self._every = every
        self.worker = f"w_{secrets.token_hex(16)}"
        self._held: set[str] = set()
        self._beating: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()

    async def begin(self, database: Database, name: str) -> None:
        """Be known before `name` is held. Raises what the database does, and holds nothing then."""
        self._held.add(name)
        try:
            async with self._turn:
                if self._beating is None:
                    await self._say(database)
                    self._beating = asyncio.create_task(self._beat(database))
        except BaseException:
            self.let_go(name)
            raise

    def let_go(self, name: str) -> None:
        """It is held no more, or not by this process."""
        self._held.discard(name)

    async def _say(self, database: Database) -> None:
        await database.write(partial(workers.say_alive, worker=self.worker))

    async def _beat(self, database: Database) -> None:
        while True:
            await asyncio.sleep(self._every)
            if not self._held:
                break
            with suppress(StoreDownError):
                await self._say(database)
        self._beating = None

    async def end(self, database: Database) -> None:
        """Hold nothing any more."""
        if self._beating:
            self._beating.cancel()
            with suppress(StoreDownError):
                await database.write(partial(workers.leave, worker=self.worker))
