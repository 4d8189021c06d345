"""An address → the server's store, loaded beside its start and opened when it is needed."""

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from retinue.errors import RequestError, StoreDownError, StoreError
from retinue.store.address import Address

if TYPE_CHECKING:
    from retinue.store.store import Store

log = logging.getLogger("retinue.serve")

_HOW = "set `store` in retinue.yaml, or start the server with --store"

# Clients know this one, and send the whole conversation then.
_CODES = {"previous_response_id": "previous_response_not_found"}


class State:
    """What a server keeps, and nothing where `address` is None: `async with State(address)`."""

    def __init__(self, address: Address | None) -> None:
        self.address = address
        self._opening: asyncio.Task[Store] | None = None

    @property
    def on(self) -> bool:
        """Whether anything is kept."""
        return self.address is not None

    async def __aenter__(self) -> Self:
        if self.address:
            self._opening = asyncio.create_task(_opened(self.address))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._opening:
            with suppress(StoreError):
                await (await self._opening).aclose()

    @property
    def health(self) -> str:
        """`off`, `ok`, or `down` where the last that was asked of it got no answer."""
        if self._opening is None:
            return "off"
        if not self._opening.done():
            return "ok"
        return "down" if self._opening.exception() or self._opening.result().down else "ok"

    def check(self, param: str) -> None:
        """Raises RequestError for a request whose `param` needs a store, where there is none."""
        if self.address is None:
            message = f"'{param}' needs a store, and this server keeps nothing: {_HOW}."
            code = _CODES.get(param, "unsupported_parameter")
            raise RequestError(message, param=param, code=code)

    async def store(self, param: str) -> "Store":
        """The store, for a request whose `param` needs it.

        Raises RequestError where there is none, and StoreError where it can't be used.
        """
        self.check(param)
        if self._opening is None:
            raise RuntimeError("the server has not started")
        return await asyncio.shield(self._opening)


async def _opened(address: Address) -> "Store":
    # SQLAlchemy takes a quarter of a second to load: no request waits for it that keeps nothing.
    store = await asyncio.to_thread(_store, address)
    if store.database.exists:
        try:
            await store.database.prepare()
        except (StoreDownError, StoreError) as error:
            log.warning("the store can't be used: %s", error)
    return store


def _store(address: Address) -> "Store":
    from retinue.store.store import Store  # noqa: PLC0415

    return Store(address)
