"""An address → a database: reads and writes, each a transaction that ends in time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from sqlalchemy.exc import (
    DatabaseError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection

from retinue.errors import MissingReferenceError, StoreDownError, StoreError
from retinue.store.address import Address
from retinue.store.breaker import Breaker
from retinue.store.engine import WRITES, engine_for, make_file
from retinue.store.migrate import migrate

log = logging.getLogger("retinue.store")

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]
"""What is done in one transaction. It may be done twice, when the first one was lost."""

_DOWN = (
    OperationalError,
    InterfaceError,
    PoolTimeoutError,
    TimeoutError,
    OSError,
    MissingReferenceError,
)
_MARGIN = 1.0
_SINGLE = {"isolation_level": "AUTOCOMMIT"}
# Nobody sees a schema that they have no right to.
_NO_RIGHT = ("42501", "3F000")
_FOREIGN = (
    "the database doesn't let this identity use the store's tables, or make them: another identity "
    "has made them, or it lacks the right to create; give it a database or schema of its own"
)


class Database:
    """The store's database, for one event loop; nothing is opened before it is needed.

    A call takes `patience` seconds at most. Every call may raise StoreDownError; the first one
    brings the schema up to date, and may raise StoreError. `checked` is as `engine_for` has it:
    who finds a connection lost gets another one either way.
    """

    def __init__(self, address: Address, *, patience: float = 5.0, checked: bool = True) -> None:
        self.address = address
        self._engine = engine_for(address, checked=checked)
        self._patience = patience
        self._breaker = Breaker(patience + _MARGIN)
        # SQLite has one writer; those of this process wait in turn, and not by trying again.
        self._turn = asyncio.Lock() if address.file else None
        self._opening = asyncio.Lock()
        self._ready = False
        self._under_way: set[asyncio.Task[Any]] = set()
        self.writes = 0
        """How often anything was to be changed in it."""

    @property
    def down(self) -> bool:
        """Whether the last call found nobody."""
        return self._breaker.down

    @property
    def exists(self) -> bool:
        """Whether there may be anything in it yet."""
        return self._ready or self.address.file is None or self.address.file.exists()

    async def prepare(self) -> None:
        """Bring the schema up to date now, instead of with the first call."""
        await self.read(_nothing)

    async def read(self, work: Work[T]) -> T:
        """What `work` finds, all of it at one point in time."""
        return await self._bounded(self._transaction(work, {}))

    async def write(self, work: Work[T]) -> T:
        """What `work` gives, its changes made as a whole or not at all.

        Someone who stops waiting doesn't stop it.
        """
        self.writes += 1
        return await self._bounded(self._transaction(work, {WRITES: True}))

    async def single(self, work: Work[T]) -> T:
        """As `write`, for a single statement: PostgreSQL is spared what is around it."""
        how = {WRITES: True} if self.address.file else _SINGLE
        return await self._bounded(self._transaction(work, how))

    async def _bounded(self, call: Coroutine[Any, Any, T]) -> T:
        try:
            self._breaker.check()
        except StoreDownError:
            call.close()
            raise
        task = asyncio.create_task(call)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        # Its own deadline comes first; but a driver may take its time to give up.
        await asyncio.wait({task}, timeout=self._patience + _MARGIN)
        if not task.done():
            task.cancel()
            raise self._lost("no answer")
        try:
            found = task.result()
        except _DOWN as error:
            raise self._lost(type(error).__name__) from None
        except ProgrammingError as error:
            if getattr(error.orig, "sqlstate", None) not in _NO_RIGHT:
                raise
            raise StoreError(_FOREIGN) from None
        except DatabaseError as error:
            if type(error) is not DatabaseError:
                raise
            # SQLite's word for a file that isn't its own, or is broken.
            raise self._lost(str(error.orig)) from None
        self._breaker.succeeded()
        return found

    def _lost(self, why: str) -> StoreDownError:
        error = self._breaker.failed()
        log.warning(
            "%s can't be used (%s); tried again in %g s", self.address, why, error.retry_after
        )
        return error

    async def _transaction(self, work: Work[T], how: Mapping[str, Any]) -> T:
        async with asyncio.timeout(self._patience):
            await self._open()
            try:
                return await self._once(work, how)
            except DBAPIError as error:
                if not _passing(error):
                    raise
            return await self._once(work, how)

    async def _once(self, work: Work[T], how: Mapping[str, Any]) -> T:
        async with AsyncExitStack() as stack:
            if WRITES in how and self._turn:
                await stack.enter_async_context(self._turn)
            connection = await stack.enter_async_context(self._engine.connect())
            if how:
                await connection.execution_options(**how)
            async with connection.begin() as transaction:
                found = await work(connection)
                try:
                    await transaction.commit()
                except DBAPIError as error:
                    # It may have been done: nothing tells.
                    raise ConnectionError(type(error).__name__) from None
            return found

    async def _open(self) -> None:
        if self._ready:
            return
        async with self._opening:
            if not self._ready:
                if self.address.file:
                    await asyncio.to_thread(make_file, self.address.file)
                await migrate(self._engine, self.address.schema)
                self._ready = True

    async def aclose(self) -> None:
        """Let writes under way end, then close every connection."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=self._patience)
        await self._engine.dispose()


def _passing(error: DBAPIError) -> bool:
    """Whether the transaction was lost and would be as good as new if it is made again."""
    state = getattr(error.orig, "sqlstate", None) or ""
    return error.connection_invalidated or state.startswith("40")


async def _nothing(_: AsyncConnection) -> None:
    """What it takes to get a connection."""
