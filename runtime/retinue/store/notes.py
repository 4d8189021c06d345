"""What a session's next run is to know: short texts, each for a time."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from sqlalchemy import Column, Double, String, Table, Text, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from retinue.store.now import now
from retinue.store.tables import metadata

_AT_A_TIME = 500

notes = Table(
    "notes",
    metadata,
    # Callers name their sessions, at any length.
    Column("key", String(64), primary_key=True),
    Column("text", Text, nullable=False),
    Column("expires_at", Double, nullable=False, index=True),
)
_INSERT: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def _key(session: str, name: str) -> str:
    return sha256(f"{len(session)} {session}{name}".encode("utf-8", "replace")).hexdigest()


async def take(connection: AsyncConnection, session: str, name: str) -> str | None:
    """The text, which is forgotten: of several who ask at the same time one gets it."""
    mine = notes.c.key == _key(session, name)
    gone = delete(notes).where(mine).returning(notes.c.text, notes.c.expires_at > now())
    row = (await connection.execute(gone)).one_or_none()
    return row[0] if row and row[1] else None


async def put(
    connection: AsyncConnection, session: str, name: str, text: str, seconds: float
) -> None:
    """Keep the text for so many seconds, instead of what was there."""
    told = {"text": text, "expires_at": now() + seconds}
    row = _INSERT[connection.dialect.name](notes).values(key=_key(session, name), **told)
    await connection.execute(row.on_conflict_do_update(index_elements=["key"], set_=told))


async def forget(connection: AsyncConnection) -> int:
    """Delete some of the texts whose time is over; how many they were."""
    old = select(notes.c.key).where(notes.c.expires_at <= now()).limit(_AT_A_TIME)
    return (await connection.execute(delete(notes).where(notes.c.key.in_(old)))).rowcount
