"""The log of requests: one row for each run that has ended, however it ended."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Integer,
    Select,
    String,
    Table,
    Text,
    case,
    delete,
    func,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from retinue.store.log_query import Which, first_id
from retinue.store.now import now
from retinue.store.tables import metadata

_MOST_AGENTS = 200
_AT_A_TIME = 1000

request_log = Table(
    "request_log",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("request_id", String(128), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("agent", String(64), nullable=False, index=True),
    Column("digest", String(128), nullable=False),
    Column("user", Text, nullable=False, index=True),
    Column("session", Text, nullable=False, index=True),
    Column("endpoint", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("finish_reason", String(32)),
    Column("error", String(64)),
    Column("ms", Double, nullable=False),
    Column("tools", Text, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost_usd", Double),
    Column("trace_id", String(64), nullable=False),
    Column("messages", Text),
)
_EMPTY: Mapping[str, Any] = {
    column.name: None if column.nullable else "" if isinstance(column.type, String) else 0
    for column in request_log.columns
}
_INSERT: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_DETAILS = [column for column in request_log.columns if column.name != "messages"]


def _chosen(statement: Select[Any], which: Which) -> Select[Any]:
    table = request_log.c
    for name in ("user", "session", "agent"):
        if (value := getattr(which, name)) is not None:
            statement = statement.where(table[name] == value)
    if which.since is not None:
        statement = statement.where(table.id >= first_id(which.since))
    if which.until is not None:
        statement = statement.where(table.id < first_id(which.until))
    return statement


async def add(connection: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows by their columns' names; those whose ids are there already are left out."""
    if not rows:
        return
    insert = _INSERT[connection.dialect.name](request_log)
    known = [{name: row.get(name, empty) for name, empty in _EMPTY.items()} for row in rows]
    await connection.execute(insert.on_conflict_do_nothing(index_elements=["id"]), known)


async def page(
    connection: AsyncConnection,
    which: Which,
    *,
    after: str | None,
    limit: int,
    newest_first: bool = True,
    messages: bool = False,
) -> list[Mapping[str, Any]]:
    """Up to `limit` rows that come after the one with the id `after`."""
    table = request_log.c
    columns = [*_DETAILS, table.messages] if messages else _DETAILS
    statement = _chosen(select(*columns), which).limit(limit)
    if after is not None:
        statement = statement.where(table.id < after if newest_first else table.id > after)
    order = table.id.desc() if newest_first else table.id
    return list((await connection.execute(statement.order_by(order))).mappings())


def _sums() -> list[Any]:
    table = request_log.c
    return [
        func.count().label("requests"),
        func.coalesce(func.sum(case((table.error.is_not(None), 1), else_=0)), 0).label("errors"),
        func.coalesce(func.sum(table.input_tokens), 0).label("input_tokens"),
        func.coalesce(func.sum(table.output_tokens), 0).label("output_tokens"),
        func.coalesce(func.sum(table.cost_usd), 0.0).label("cost_usd"),
        func.coalesce(func.avg(table.ms), 0.0).label("mean_ms"),
        func.coalesce(func.max(table.ms), 0.0).label("max_ms"),
    ]


async def totals(
    connection: AsyncConnection, which: Which
) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    """What the rows come to, all of them and those of each agent, the busiest first."""
    every = (await connection.execute(_chosen(select(*_sums()), which))).mappings().one()
    agent = request_log.c.agent
    statement = _chosen(select(agent, *_sums()), which).group_by(agent)
    statement = statement.order_by(func.count().desc(), agent).limit(_MOST_AGENTS)
    return every, list((await connection.execute(statement)).mappings())


async def totals_by_user(
    connection: AsyncConnection, which: Which, *, after: str | None, limit: int
) -> list[Mapping[str, Any]]:
    """What the rows of each user come to, by the users' names."""
    user = request_log.c.user
    statement = _chosen(select(user, *_sums()), which).group_by(user).order_by(user).limit(limit)
    if after is not None:
        statement = statement.where(user > after)
    return list((await connection.execute(statement)).mappings())


async def forget(connection: AsyncConnection, seconds: float) -> int:
    """Delete some of the rows that are older; how many they were."""
    table = request_log.c
    # Their ids sort by time.
    until = first_id(float((await connection.execute(select(now()))).scalar_one()) - seconds)
    old = select(table.id).where(table.id < until).order_by(table.id).limit(_AT_A_TIME)
    gone = await connection.execute(delete(request_log).where(table.id.in_(old)))
    return gone.rowcount
