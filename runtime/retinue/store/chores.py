"""What is done now and then, by one of the processes that share a store."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, Double, String, Table, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from retinue.store.now import now
from retinue.store.tables import metadata

chores = Table(
    "chores",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("begun_at", Double, nullable=False),
)
_INSERT: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


async def begin(connection: AsyncConnection, name: str, every: float) -> bool:
    """Whether it is to be done now: nobody has begun with it for `every` seconds."""
    row = _INSERT[connection.dialect.name](chores).values(name=name, begun_at=0.0)
    await connection.execute(row.on_conflict_do_nothing(index_elements=["name"]))
    due = (chores.c.name == name) & (chores.c.begun_at <= now() - every)
    mine = await connection.execute(update(chores).where(due).values(begun_at=now()))
    return bool(mine.rowcount)
