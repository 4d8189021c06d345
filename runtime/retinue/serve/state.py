"""An address → the server's store, loaded beside its start and opened when it is needed."""

import asyncio
import logging
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from retinue.errors import RequestError, StoreDownError, StoreError
from retinue.store.address import Address

if TYPE_CHECKING:
    from retinue.store.database import Database

log = logging.getLogger("retinue.serve")

_HOW = "set `store` in retinue.yaml, or start the server with --store"


class State:
    """What a server keeps, and nothing where `address` is None: `async with State(address)`."""

    def __init__(self, address: Address | None) -> None:
        self.address = address
        self._opening: asyncio.Task[Database] | None = None

    @property
    def on(self) -> bool:
        """Whether anything is kept."""
        return self.address is not None

    async def __aenter__(self) -> Self:
        if self.address:
            self._opening = asyncio.create_task(_opened(self.address))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._opening:
            with suppress(StoreError):
                await (await self._opening).aclose()

    @property
    def health(self) -> str:
        """`off`, `ok`, or `down` where the last that was asked of it got no answer."""
        if self._opening is None:
            return "off"
        opened = self._opening.done() and not self._opening.cancelled()
        return "down" if opened and self._opening.result().down else "ok"

    async def database(self, param: str) -> "Database":
        """The database, for a request whose `param` needs it.

        Raises RequestError where there is none, and StoreError where it can't be used.
        """
        if self._opening is None:
            message = f"'{param}' needs a store, and this server keeps nothing: {_HOW}."
            raise RequestError(message, param=param, code="store_required")
        return await asyncio.shield(self._opening)


async def _opened(address: Address) -> "Database":
    # SQLAlchemy takes a quarter of a second to load: no request waits for it that keeps nothing.
    database = await asyncio.to_thread(_database, address)
    if database.exists:
        try:
            await database.prepare()
        except (StoreDownError, StoreError) as error:
            log.warning("the store can't be used: %s", error)
    return database


def _database(address: Address) -> "Database":
    from retinue.store.database import Database  # noqa: PLC0415

    return Database(address)
