"""A database → the API keys in it, each method one transaction."""

from collections.abc import Mapping
from functools import partial

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from retinue.store import keys
from retinue.store.api_key import ApiKey, TakenError
from retinue.store.database import Database

Marks = tuple[int, int]


class KeyBook:
    """Every method may raise StoreDownError and StoreError."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def add(self, key: ApiKey) -> None:
        """Raises TakenError and TooManyKeysError."""
        try:
            await self.database.write(partial(keys.add, key=key))
        except IntegrityError:
            raise TakenError(
                f"there is a key of the name '{key.name}' already: revoke that one, or choose "
                "another name"
            ) from None

    async def revoke(self, word: str) -> ApiKey | None:
        """As `keys.revoke`."""
        return await self.database.write(partial(keys.revoke, word=word))

    async def page(self, *, after: str | None, limit: int) -> list[ApiKey]:
        """As `keys.page`."""
        return await self.database.read(partial(keys.page, after=after, limit=limit))

    async def used(self, times: Mapping[str, float]) -> None:
        """As `keys.used`."""
        await self.database.write(partial(keys.used, times=times))

    async def changed(self, since: Marks | None) -> tuple[Marks, list[ApiKey] | None]:
        """The marks of now, and all keys that are good where these aren't those of `since`."""

        async def work(connection: AsyncConnection) -> tuple[Marks, list[ApiKey] | None]:
            marks = await keys.marks(connection)
            return marks, None if marks == since else await keys.good(connection)

        return await self.database.read(work)
