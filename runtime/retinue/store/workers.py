"""Processes that live, as they last said themselves: until they fall silent they hold things."""

from sqlalchemy import Column, Double, Select, String, Table, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from retinue.store.now import now
from retinue.store.tables import metadata

LEASE = 15.0
"""Seconds that a process counts as alive after it said so."""

_FORGOTTEN = 3600.0

workers = Table(
    "workers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("seen_until", Double, nullable=False),
)


async def say_alive(connection: AsyncConnection, worker: str) -> None:
    """`worker` lives; those that haven't said so for an hour are forgotten."""
    until = now() + LEASE
    found = await connection.execute(
        update(workers).where(workers.c.id == worker).values(seen_until=until)
    )
    if not found.rowcount:
        await connection.execute(insert(workers).values(id=worker, seen_until=until))
        await connection.execute(delete(workers).where(workers.c.seen_until < now() - _FORGOTTEN))


async def leave(connection: AsyncConnection, worker: str) -> None:
    """What `worker` holds is free at once."""
    await connection.execute(delete(workers).where(workers.c.id == worker))


def alive() -> Select[tuple[str]]:
    """The ids of those that live, for use in a statement."""
    return select(workers.c.id).where(workers.c.seen_until > now())
