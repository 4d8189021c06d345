"""Sums that all processes count in: one row for a name, until its window is over."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import BigInteger, Column, Double, String, Table, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from retinue.store.database import Database
from retinue.store.tables import metadata

Row = tuple[str, int, float]
"""A name, how much more, and until when it is kept, in Unix seconds."""

counters = Table(
    "counters",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("amount", BigInteger, nullable=False),
    Column("until", Double, nullable=False, index=True),
)


def _upsert(dialect: Any, *more: Any) -> Any:
    insert = dialect.insert(counters)
    return insert.on_conflict_do_update(
        index_elements=["name"], set_={"amount": counters.c.amount + insert.excluded.amount}
    ).returning(counters.c.name, counters.c.amount, *more)


# For this transaction alone: a disk's milliseconds are too many for a count that a crash of the
# database may cost the last of.
_NO_SYNC = func.set_config("synchronous_commit", "off", True)
_UPSERTS: Mapping[str, Any] = {
    "sqlite": _upsert(sqlite),
    "postgresql": _upsert(postgresql, _NO_SYNC),
}


async def add(connection: AsyncConnection, rows: Sequence[Row]) -> Mapping[str, int]:
    """The sums, by name, with those that are added; a name comes once."""
    # In one order, or two that wait for each other's rows would wait for ever.
    told = [{"name": n, "amount": amount, "until": until} for n, amount, until in sorted(rows)]
    found = await connection.execute(_UPSERTS[connection.dialect.name], told)
    return {row.name: row.amount for row in found}


async def forget(connection: AsyncConnection, before: float, most: int = 1000) -> int:
    """Delete up to `most` rows whose windows were over at that time; how many they were."""
    old = select(counters.c.name).where(counters.c.until < before).limit(most)
    gone = await connection.execute(delete(counters).where(counters.c.name.in_(old)))
    return gone.rowcount


class StoredCounters:
    """The counters of a database. Every method may raise StoreDownError and StoreError."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def add(self, charges: Sequence[Row]) -> Sequence[int]:
        """The sums after these, in their order; a name comes once. One round trip in PostgreSQL."""
        sums = await self.database.single(partial(add, rows=charges))
        return [sums[name] for name, _, _ in charges]

    async def forget(self, before: float) -> None:
        """Delete those whose windows were over at that time."""
        while await self.database.write(partial(forget, before=before)) >= 1000:
            pass

    async def aclose(self) -> None:
        await self.database.aclose()
