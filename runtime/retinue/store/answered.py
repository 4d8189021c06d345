"""Answers to a run's questions: each counts once, whichever process is told it."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, Double, String, Table, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from retinue.store.now import now
from retinue.store.tables import metadata

_SPARE = 3600.0
_AT_A_TIME = 500

answered = Table(
    "answered",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("spender", String(64), nullable=False),
    Column("expires_at", Double, nullable=False, index=True),
)
_INSERT: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


async def spend(connection: AsyncConnection, key: str, spender: str, expires: float) -> bool:
    """Whether `spender` is the first to spend the key, also when it asks again.

    `expires` is in Unix seconds: later the key is worth nothing anyway.
    """
    row = _INSERT[connection.dialect.name](answered).values(
        key=key, spender=spender, expires_at=expires
    )
    await connection.execute(row.on_conflict_do_nothing(index_elements=["key"]))
    found = select(answered.c.spender).where(answered.c.key == key)
    return (await connection.execute(found)).scalar() == spender


async def forget(connection: AsyncConnection) -> int:
    """Delete some of the keys that expired an hour ago, as clocks differ; how many they were."""
    old = select(answered.c.key).where(answered.c.expires_at < now() - _SPARE).limit(_AT_A_TIME)
    return (await connection.execute(delete(answered).where(answered.c.key.in_(old)))).rowcount
