"""Conversations: their items, their turns, and who is at work on one."""

from collections.abc import Sequence
from itertools import groupby

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from retinue.store.now import now
from retinue.store.records import (
    BusyError,
    Conversation,
    FullError,
    Item,
    MissingError,
    MissingItemError,
    Passage,
)
from retinue.store.tables import metadata
from retinue.store.workers import alive

MAX_ITEMS = 10_000
"""In one conversation."""
# Each has many items.
_AT_A_TIME = 20

conversations = Table(
    "conversations",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False, index=True),
    Column("metadata", Text, nullable=False),
    Column("used_at", Double, nullable=False, server_default="0", index=True),
    # Which turn is at work on it, in which process.
    Column("holder", String(64)),
    Column("worker", String(64)),
)


def _conversation_id(*, primary_key: bool = False) -> Column[str]:
    key = ForeignKey("conversations.id", ondelete="CASCADE")
    return Column(
        "conversation_id",
        String(64),
        key,
        primary_key=primary_key,
        nullable=False,
        index=not primary_key,
    )


turns = Table(
    "turns",
    metadata,
    Column("id", String(64), primary_key=True),
    _conversation_id(),
    Column("size", Integer, nullable=False),
    Column("messages", Text, nullable=False),
)
items = Table(
    "items",
    metadata,
    _conversation_id(primary_key=True),
    Column("position", BigInteger, primary_key=True),
    Column("id", String(64), nullable=False),
    Column("turn_id", String(64)),
    Column("body", Text, nullable=False),
    UniqueConstraint("conversation_id", "id"),
)


async def create(connection: AsyncConnection, owner: str, conversation: Conversation) -> None:
    """Keep a new one."""
    await connection.execute(
        insert(conversations).values(
            id=conversation.id,
            owner=owner,
            created_at=conversation.created_at,
            metadata=conversation.metadata,
            used_at=now(),
        )
    )


async def find(connection: AsyncConnection, conversation_id: str, owner: str) -> Conversation:
    """The owner's conversation of that id. Raises MissingError."""
    c = conversations.c
    found = await connection.execute(
        select(c.id, c.created_at, c.metadata).where(c.id == conversation_id, c.owner == owner)
    )
    row = found.one_or_none()
    if row is None:
        raise MissingError
    return Conversation(*row)


async def describe(
    connection: AsyncConnection, conversation_id: str, owner: str, described: str
) -> None:
    """Give the owner's conversation other metadata. Raises MissingError."""
    c = conversations.c
    mine = (c.id == conversation_id) & (c.owner == owner)
    found = await connection.execute(
        update(conversations).where(mine).values(metadata=described, used_at=now())
    )
    if not found.rowcount:
        raise MissingError


async def remove(connection: AsyncConnection, conversation_id: str, owner: str) -> bool:
    """Forget the owner's conversation and all that is in it; whether there was one."""
    c = conversations.c
    mine = (c.id == conversation_id) & (c.owner == owner)
    return bool((await connection.execute(delete(conversations).where(mine))).rowcount)


async def forget(connection: AsyncConnection, seconds: float) -> int:
    """Delete some of the conversations that were used last before so many seconds, but for those
    that a turn is at work on; how many they were.
    """
    c = conversations.c
    idle = or_(c.holder.is_(None), c.worker.not_in(alive()))
    old = select(c.id).where(c.used_at < now() - seconds, idle).limit(_AT_A_TIME)
    return (await connection.execute(delete(conversations).where(c.id.in_(old)))).rowcount


async def hold(
    connection: AsyncConnection, conversation_id: str, owner: str, holder: str | None, worker: str
) -> None:
    """Begin to work on the owner's conversation, as `holder`; None is for the transaction alone.

    Raises MissingError and BusyError. A process that lives no more holds nothing.
    """
    c = conversations.c
    free = or_(c.holder.is_(None), c.holder == holder, c.worker.not_in(alive()))
    found = await connection.execute(
        update(conversations)
        .where(c.id == conversation_id, c.owner == owner, free)
        .values(holder=holder, worker=worker if holder else None, used_at=now())
    )
    if not found.rowcount:
        await find(connection, conversation_id, owner)
        raise BusyError


async def release(connection: AsyncConnection, conversation_id: str, holder: str) -> bool:
    """Stop to work on it; whether it was still held."""
    c = conversations.c
    held = (c.id == conversation_id) & (c.holder == holder)
    found = await connection.execute(
        update(conversations).where(held).values(holder=None, worker=None, used_at=now())
    )
    return bool(found.rowcount)


async def add_turn(
    connection: AsyncConnection,
    conversation_id: str,
    turn_id: str,
    added: Sequence[Item],
    messages: str,
) -> None:
    """A turn with its items, by whom the conversation is held. Raises FullError."""
    await connection.execute(
        insert(turns).values(
            id=turn_id, conversation_id=conversation_id, size=len(added), messages=messages
        )
    )
    await add_items(connection, conversation_id, added, turn_id)


async def add_items(
    connection: AsyncConnection,
    conversation_id: str,
    added: Sequence[Item],
    turn_id: str | None = None,
) -> None:
    """Items at the end, by whom the conversation is held. Raises FullError."""
    mine = items.c.conversation_id == conversation_id
    found = await connection.execute(select(func.max(items.c.position), func.count()).where(mine))
    last, count = found.one()
    if count + len(added) > MAX_ITEMS:
        raise FullError
    rows = [
        {
            "conversation_id": conversation_id,
            "position": position,
            "id": item.id,
            "turn_id": turn_id,
            "body": item.body,
        }
        for position, item in enumerate(added, (last or 0) + 1)
    ]
    if rows:
        await connection.execute(insert(items), rows)


async def remove_item(connection: AsyncConnection, conversation_id: str, item_id: str) -> None:
    """By whom the conversation is held. Raises MissingItemError."""
    mine = (items.c.conversation_id == conversation_id) & (items.c.id == item_id)
    if not (await connection.execute(delete(items).where(mine))).rowcount:
        raise MissingItemError


async def find_item(connection: AsyncConnection, conversation_id: str, item_id: str) -> str:
    """Its JSON. Raises MissingItemError."""
    mine = (items.c.conversation_id == conversation_id) & (items.c.id == item_id)
    body = (await connection.execute(select(items.c.body).where(mine))).scalar()
    if body is None:
        raise MissingItemError
    return str(body)


async def page(
    connection: AsyncConnection,
    conversation_id: str,
    *,
    after: str | None,
    limit: int,
    newest_first: bool,
) -> list[str]:
    """Up to `limit` items' JSON. Raises MissingItemError where there is no item `after`."""
    c = items.c
    query = select(c.body).where(c.conversation_id == conversation_id)
    if after is not None:
        here = (c.conversation_id == conversation_id) & (c.id == after)
        position = (await connection.execute(select(c.position).where(here))).scalar()
        if position is None:
            raise MissingItemError
        query = query.where(c.position < position if newest_first else c.position > position)
    query = query.order_by(c.position.desc() if newest_first else c.position).limit(limit)
    return list((await connection.execute(query)).scalars())


async def named(connection: AsyncConnection, ids: Sequence[str], owner: str) -> list[str]:
    """The JSON of those items that are in one of the owner's conversations."""
    mine = items.c.id.in_(ids) & (conversations.c.owner == owner)
    joined = items.join(conversations, conversations.c.id == items.c.conversation_id)
    found = await connection.execute(select(items.c.body).select_from(joined).where(mine))
    return list(found.scalars())


async def passages(connection: AsyncConnection, conversation_id: str) -> list[Passage]:
    """All of a conversation, in order."""
    i = items.c
    found = await connection.execute(
        select(i.body, i.turn_id, turns.c.size, turns.c.messages)
        .select_from(items.outerjoin(turns, turns.c.id == i.turn_id))
        .where(i.conversation_id == conversation_id)
        .order_by(i.position)
    )
    told = []
    for _, rows in groupby(found, key=lambda row: row.turn_id):
        group = list(rows)
        whole = group[0].size == len(group)
        told.append(Passage(group[0].messages if whole else None, tuple(r.body for r in group)))
    return told
