"""Responses that are kept: each is a turn, and knows the one before it."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import (
    BigInteger,
    Column,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    literal,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from retinue.store.now import now
from retinue.store.records import Response, TooLongError
from retinue.store.tables import metadata

MAX_TURNS = 1000
MAX_HISTORY = 32 * 1024 * 1024
"""Of what lies before a turn, as many turns and characters are read."""

_AT_A_TIME = 500
_CONTINUABLE = ("completed", "incomplete")

responses = Table(
    "responses",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("agent", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False, index=True),
    Column("status", String(16), nullable=False),
    Column("previous_id", String(64)),
    Column("body", Text, nullable=False),
    Column("input", Text, nullable=False),
    Column("messages", Text, nullable=False),
)


async def add(connection: AsyncConnection, response: Response) -> None:
    """Keep it."""
    await connection.execute(insert(responses).values(**asdict(response)))


async def find(connection: AsyncConnection, response_id: str, owner: str) -> Response | None:
    """The owner's response of that id."""
    mine = (responses.c.id == response_id) & (responses.c.owner == owner)
    row = (await connection.execute(select(responses).where(mine))).mappings().one_or_none()
    return Response(**row) if row else None


async def bodies(
    connection: AsyncConnection, ids: Sequence[str], owner: str
) -> list[tuple[str, str]]:
    """`input` and `body` of those of the owner's responses that are there."""
    mine = responses.c.id.in_(ids) & (responses.c.owner == owner)
    found = await connection.execute(select(responses.c.input, responses.c.body).where(mine))
    return [(given, body) for given, body in found]


async def remove(connection: AsyncConnection, response_id: str, owner: str) -> bool:
    """Forget the owner's response; whether there was one."""
    mine = (responses.c.id == response_id) & (responses.c.owner == owner)
    return bool((await connection.execute(delete(responses).where(mine))).rowcount)


async def forget(connection: AsyncConnection, seconds: float) -> int:
    """Delete some of the responses that are older, but for those that are still being made; how
    many they were.
    """
    going = ("queued", "in_progress")
    old = (
        select(responses.c.id)
        .where(responses.c.created_at < now() - seconds, responses.c.status.not_in(going))
        .limit(_AT_A_TIME)
    )
    return (await connection.execute(delete(responses).where(responses.c.id.in_(old)))).rowcount


async def history(connection: AsyncConnection, response_id: str, owner: str) -> list[str]:
    """`messages` of the response and of all that lie before it, the oldest first.

    Empty where the owner has no such response, or it has no end yet. A turn that was deleted hides
    what lay before it. Raises TooLongError.
    """
    row = responses.c
    size = func.length(row.messages)
    columns = (row.id, row.previous_id, row.messages)
    begin = select(*columns, literal(1).label("turns"), size.label("size")).where(
        row.id == response_id, row.owner == owner, row.status.in_(_CONTINUABLE)
    )
    chain = begin.cte("chain", recursive=True)
    before = select(*columns, chain.c.turns + 1, chain.c.size + size).where(
        row.id == chain.c.previous_id,
        row.owner == owner,
        chain.c.turns < MAX_TURNS,
        chain.c.size < MAX_HISTORY,
    )
    chain = chain.union_all(before)
    found = await connection.execute(
        select(chain.c.messages, chain.c.turns, chain.c.size).order_by(chain.c.turns.desc())
    )
    turns = found.all()
    if turns and (turns[0].turns >= MAX_TURNS or turns[0].size >= MAX_HISTORY):
        raise TooLongError
    return [turn.messages for turn in turns]
