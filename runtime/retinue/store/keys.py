"""API keys as they are kept: none is ever deleted, or good again once it was revoked."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    Column,
    Double,
    Index,
    Select,
    String,
    Table,
    Text,
    and_,
    bindparam,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from retinue.store.api_key import MOST, ApiKey, TooManyKeysError
from retinue.store.now import now
from retinue.store.tables import metadata

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("name", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("agents", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
    Column("used_at", Double),
    Column("rate", Text),
    Column("tokens", Text),
    Column("usd", Text),
)
_NOT_REVOKED = api_keys.c.revoked_at.is_(None)
Index(
    "ix_api_keys_name",
    api_keys.c.name,
    unique=True,
    sqlite_where=_NOT_REVOKED,
    postgresql_where=_NOT_REVOKED,
)


def _good() -> Any:
    expires = api_keys.c.expires_at
    return and_(_NOT_REVOKED, or_(expires.is_(None), expires > now()))


async def add(connection: AsyncConnection, key: ApiKey) -> None:
    """A new one. Raises TooManyKeysError, and SQLAlchemy's IntegrityError for a name in use."""
    there = select(func.count()).select_from(api_keys).where(_good())
    if (await connection.execute(there)).scalar_one() >= MOST:
        raise TooManyKeysError(f"there are {MOST:,} keys, which is the most: revoke some")
    await connection.execute(
        insert(api_keys).values(
            id=key.id,
            digest=key.digest,
            name=key.name,
            scopes=" ".join(sorted(key.scopes)),
            agents=" ".join(sorted(key.agents)),
            created_at=key.created_at,
            expires_at=key.expires_at,
            rate=key.rate,
            tokens=key.tokens,
            usd=key.usd,
        )
    )


async def revoke(connection: AsyncConnection, word: str) -> ApiKey | None:
    """The key of that id or name, good for nothing from here on; None where there is none left to
    revoke.
    """
    table = api_keys.c
    named = or_(table.id == word, table.name == word)
    done = await connection.execute(
        update(api_keys)
        .where(named, _NOT_REVOKED)
        .values(revoked_at=now())
        .returning(*api_keys.columns)
    )
    row = done.mappings().one_or_none()
    return None if row is None else _key(row)


async def marks(connection: AsyncConnection) -> tuple[int, int]:
    """Two numbers that change whenever a key was made or revoked, which is all that ever is."""
    table = api_keys.c
    row = (await connection.execute(select(func.count(), func.count(table.revoked_at)))).one()
    return row[0], row[1]


async def good(connection: AsyncConnection) -> list[ApiKey]:
    """All that are good now."""
    statement = select(api_keys).where(_good()).order_by(api_keys.c.created_at.desc()).limit(MOST)
    return await _keys(connection, statement)


async def page(connection: AsyncConnection, *, after: str | None, limit: int) -> list[ApiKey]:
    """Up to `limit` of all keys, the newest first, that come after the one with the id `after`."""
    table = api_keys.c
    statement = select(api_keys).order_by(table.created_at.desc(), table.id.desc()).limit(limit)
    if after is not None:
        place = select(table.created_at, table.id).where(table.id == after).scalar_subquery()
        statement = statement.where(tuple_(table.created_at, table.id) < place)
    return await _keys(connection, statement)


async def used(connection: AsyncConnection, times: Mapping[str, float]) -> None:
    """When keys, by their ids, were last used; an older time than is known changes nothing."""
    table = api_keys.c
    earlier = or_(table.used_at.is_(None), table.used_at < bindparam("at"))
    statement = update(api_keys).where(table.id == bindparam("key"), earlier)
    # In one order everywhere: others write the same rows at the same time.
    rows = [{"key": key, "at": times[key]} for key in sorted(times)]
    if rows:
        await connection.execute(statement.values(used_at=bindparam("at")), rows)


async def _keys(connection: AsyncConnection, statement: Select[Any]) -> list[ApiKey]:
    return [_key(row) for row in (await connection.execute(statement)).mappings()]


def _key(row: Mapping[Any, Any]) -> ApiKey:
    lists = {name: frozenset(row[name].split()) for name in ("scopes", "agents")}
    return ApiKey(**{**row, **lists})
