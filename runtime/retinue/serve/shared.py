"""What one run leaves for another → the store, where each process finds it."""

import asyncio
import secrets

from retinue.errors import RetinueError, StoreDownError
from retinue.run.approval import Paused
from retinue.run.approvals import Approvals
from retinue.run.sessions import LIFE, LONGEST, Sessions
from retinue.serve.state import State

_PATIENCE = 2.0
"""Seconds that a run waits for what it can do without."""
_MOST_UNSURE = 1_000
_UNTOLD = (
    "Whether this was answered before can't be found out now, so nothing was done. Please send "
    "your answer again in a moment."
)


class StoredApprovals:
    """What was answered is known to all who share the store; paused runs are where they were."""

    def __init__(self, state: State, here: Approvals) -> None:
        self._state = state
        self._here = here
        self._unsure: dict[str, str] = {}

    async def keep(self, key: str, paused: Paused, expires: int) -> None:
        """As `Approvals.keep`."""
        await self._here.keep(key, paused, expires)

    async def find(self, key: str) -> Paused | None:
        """As `Approvals.find`."""
        return await self._here.find(key)

    async def spend(self, key: str, expires: int) -> bool:
        """As `Approvals.spend`."""
        # Where the database's answer was lost, the key may be spent for a run that never was: who
        # asks again in the same name is the first still. Nobody else has that name.
        spender = self._unsure.pop(key, None) or secrets.token_hex(16)
        try:
            store = await self._state.store("approval")
            first = await store.spend(key, spender, expires)
        except BaseException as error:
            self._unsure[key] = spender
            while len(self._unsure) > _MOST_UNSURE:
                self._unsure.pop(next(iter(self._unsure)))
            if isinstance(error, StoreDownError):
                raise StoreDownError(_UNTOLD, retry_after=error.retry_after) from None
            raise
        # It forgets the paused run, too.
        return first and await self._here.spend(key, expires)


class StoredSessions:
    """Texts of sessions in the store; while that is away, in `here`."""

    def __init__(self, state: State, here: Sessions) -> None:
        self._state = state
        self._here = here

    async def take(self, session: str, name: str) -> str | None:
        """As `Sessions.take`."""
        left = await self._here.take(session, name)
        try:
            async with asyncio.timeout(_PATIENCE):
                store = await self._state.store("session")
                known = store.database.exists and await store.take_note(session, name)
        except (RetinueError, TimeoutError):
            return left
        return known or left

    async def put(self, session: str, name: str, text: str) -> None:
        """As `Sessions.put`."""
        if len(text) > LONGEST:
            return
        try:
            async with asyncio.timeout(_PATIENCE):
                store = await self._state.store("session")
                await store.put_note(session, name, text, LIFE)
        except (RetinueError, TimeoutError):
            await self._here.put(session, name, text)
