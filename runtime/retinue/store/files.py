"""Files that callers have stored: what is known of them. Their bytes are in `blobs`.

A row is there before the first of its bytes and until after the last: nothing is ever left over
that no row tells of.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Double,
    String,
    Table,
    Text,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from retinue.errors import RetinueError
from retinue.store.now import now
from retinue.store.tables import metadata

COMING_SECONDS = 3600
"""How long an upload may take before it counts as given up."""
_COMING, _READY, _GONE = "coming", "ready", "gone"

files = Table(
    "files",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("owner", Text, nullable=False, index=True),
    Column("state", String(16), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("size", BigInteger, nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("media_type", String(255), nullable=False),
    Column("name", Text, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """`size` is in bytes, the times are in Unix seconds; `name` is no path."""

    id: str
    created_at: float
    expires_at: float | None
    size: int
    purpose: str
    media_type: str
    name: str


@dataclass(frozen=True, slots=True)
class Quota:
    """What the files of one owner may come to."""

    files: int
    size: int


class QuotaError(RetinueError):
    """The owner's files come to more than they may."""


async def reserve(
    connection: AsyncConnection, file_id: str, owner: str, size: int, quota: Quota
) -> None:
    """A place for a file of up to `size` bytes. Raises QuotaError."""
    if connection.dialect.name == "postgresql":
        # SQLite has one writer anyway.
        lock = text("SELECT pg_advisory_xact_lock(hashtextextended(:owner, 7353846202))")
        await connection.execute(lock, {"owner": owner})
    held = select(func.count(), func.coalesce(func.sum(files.c.size), 0)).where(
        files.c.owner == owner, files.c.state != _GONE
    )
    count, used = (await connection.execute(held)).one()
    if count >= quota.files or used + size > quota.size:
        raise QuotaError("the owner's files come to more than they may")
    blank = {"purpose": "", "media_type": "", "name": "", "created_at": now()}
    row = insert(files).values(id=file_id, owner=owner, state=_COMING, size=size, **blank)
    await connection.execute(row)


async def finish(
    connection: AsyncConnection,
    file_id: str,
    *,
    size: int,
    purpose: str,
    media_type: str,
    name: str,
    seconds: int | None,
) -> StoredFile | None:
    """Its bytes are there: from now on it is a file, for as many `seconds`.

    None where it took so long that it was given up.
    """
    made = {"size": size, "purpose": purpose, "media_type": media_type, "name": name}
    until = None if seconds is None else now() + seconds
    row = update(files).where(files.c.id == file_id, files.c.state == _COMING)
    done = row.values(state=_READY, created_at=now(), expires_at=until, **made)
    await connection.execute(done)
    found = select(files).where(files.c.id == file_id, files.c.state == _READY)
    made_row = (await connection.execute(found)).one_or_none()
    return _file(made_row) if made_row else None


async def find(connection: AsyncConnection, file_id: str, owner: str) -> StoredFile | None:
    """The owner's file."""
    found = select(files).where(_kept(owner), files.c.id == file_id)
    row = (await connection.execute(found)).one_or_none()
    return _file(row) if row else None


async def page(
    connection: AsyncConnection,
    owner: str,
    *,
    purpose: str | None,
    after: str | None,
    limit: int,
    newest_first: bool,
) -> Sequence[StoredFile] | None:
    """Up to `limit` of the owner's files that come after the file `after`; None where that is no
    file of theirs.
    """
    wanted = select(files).where(_kept(owner))
    if purpose is not None:
        wanted = wanted.where(files.c.purpose == purpose)
    if after is not None:
        last = await find(connection, after, owner)
        if last is None:
            return None
        when, which = files.c.created_at, files.c.id
        older = or_(when < last.created_at, and_(when == last.created_at, which < last.id))
        newer = or_(when > last.created_at, and_(when == last.created_at, which > last.id))
        wanted = wanted.where(older if newest_first else newer)
    order = (files.c.created_at, files.c.id)
    ordered = wanted.order_by(*(column.desc() if newest_first else column for column in order))
    return [_file(row) for row in await connection.execute(ordered.limit(limit))]


async def remove(connection: AsyncConnection, file_id: str, owner: str) -> bool:
    """Whether there was one; its bytes may go now."""
    gone = update(files).where(_kept(owner), files.c.id == file_id).values(state=_GONE)
    return (await connection.execute(gone)).rowcount > 0


async def give_up(connection: AsyncConnection, file_id: str) -> None:
    """An upload that came to nothing."""
    row = update(files).where(files.c.id == file_id, files.c.state == _COMING)
    await connection.execute(row.values(state=_GONE))


async def left_over(
    connection: AsyncConnection, most: int, seconds: float | None = None
) -> Sequence[str]:
    """Ids whose bytes are to go: of files that are deleted, expired or older than so many seconds,
    and lost uploads.
    """
    lost = and_(files.c.state == _COMING, files.c.created_at < now() - COMING_SECONDS)
    past: ColumnElement[bool] = files.c.expires_at <= now()
    if seconds is not None:
        past = or_(past, files.c.created_at < now() - seconds)
    expired = and_(files.c.state == _READY, past)
    wanted = select(files.c.id).where(or_(files.c.state == _GONE, lost, expired))
    ids = list((await connection.execute(wanted.limit(most))).scalars())
    # An upload that is slower than any may be must not end in a file whose bytes are gone.
    await connection.execute(update(files).where(files.c.id.in_(ids)).values(state=_GONE))
    return ids


async def erase(connection: AsyncConnection, ids: Sequence[str]) -> None:
    """Their bytes are gone."""
    await connection.execute(delete(files).where(files.c.id.in_(ids), files.c.state == _GONE))


def _kept(owner: str) -> Any:
    lives = or_(files.c.expires_at.is_(None), files.c.expires_at > now())
    return and_(files.c.owner == owner, files.c.state == _READY, lives)


def _file(row: Any) -> StoredFile:
    return StoredFile(
        id=row.id,
        created_at=row.created_at,
        expires_at=row.expires_at,
        size=row.size,
        purpose=row.purpose,
        media_type=row.media_type,
        name=row.name,
    )
