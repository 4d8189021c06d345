"""What is older than it may be is forgotten, by one process, and nothing else is."""

import asyncio
import time

import pytest
from sqlalchemy import func, insert, select, update

from retinue.storage import Keep
from retinue.store import sweep
from retinue.store.answered import answered
from retinue.store.conversations import conversations, items, turns
from retinue.store.log import request_log
from retinue.store.log_book import LogBook
from retinue.store.log_query import new_id
from retinue.store.notes import notes
from retinue.store.records import Conversation, Item, Response
from retinue.store.responses import responses
from retinue.store.store import Store

DAY = 86_400
FOREVER = Keep(responses=None, logs=None)


@pytest.fixture
async def store(address):
    opened = Store(address)
    yield opened
    await opened.aclose()


async def ids(store, table) -> set[str]:
    async def work(connection):
        return set((await connection.execute(select(table.c.id))).scalars())

    return await store.database.read(work)


async def count(store, table) -> int:
    async def work(connection):
        return (await connection.execute(select(func.count()).select_from(table))).scalar()

    return await store.database.read(work)


async def keep(store, name: str, days: float, status: str = "completed") -> None:
    made = Response(
        id=name,
        owner="me",
        agent="a",
        created_at=int(time.time() - days * DAY),
        status=status,
        body="{}",
        input="[]",
        messages="[]",
    )
    await store.keep(made)


async def talk(store, name: str, days: float) -> None:
    made = Conversation(name, int(time.time()), "{}")
    await store.create_conversation("me", made, [Item(f"{name}-{n}", "{}") for n in range(3)])
    await use(store, name, days)


async def use(store, name: str, days: float) -> None:
    async def work(connection):
        last = {"used_at": time.time() - days * DAY}
        await connection.execute(
            update(conversations).where(conversations.c.id == name).values(last)
        )

    await store.database.write(work)


async def test_responses_go_and_those_that_are_being_made_stay(store):
    await keep(store, "old", 3)
    await keep(store, "new", 1)
    for status in ("queued", "in_progress"):
        await keep(store, status, 3, status)
    await sweep.sweep(store.database, FOREVER)
    assert len(await ids(store, responses)) == 4
    await sweep.sweep(store.database, Keep(responses=2.0 * DAY))
    assert await ids(store, responses) == {"new", "queued", "in_progress"}


async def test_conversations_go_by_their_last_use_with_all_that_is_in_them(store):
    for name in ("old", "read", "described", "added", "held", "new"):
        await talk(store, name, 3 if name != "new" else 1)
    await store.conversation("read", "me")
    await store.describe("described", "me", "{}")
    await store.add_items("added", "me", [Item("more", "{}")])
    await store.hold("held", "me", "turn")
    # However long the turn takes.
    await use(store, "held", 3)
    await sweep.sweep(store.database, FOREVER)
    assert await count(store, conversations) == 6
    await sweep.sweep(store.database, Keep(conversations=2.0 * DAY))
    assert await ids(store, conversations) == {"described", "added", "held", "new"}
    assert await count(store, items) == 4 * 3 + 1
    assert await count(store, turns) == 0


async def test_a_turn_is_a_use(store):
    await talk(store, "c", 3)
    await store.hold("c", "me", "turn")
    await use(store, "c", 3)
    await store.keep(None, conversation_id="c", holder="turn", added=[Item("i", "{}")])
    await sweep.sweep(store.database, Keep(conversations=2.0 * DAY))
    assert await ids(store, conversations) == {"c"}


async def test_more_than_one_transaction_takes(store):
    now = time.time()

    async def work(connection):
        old = {"owner": "me", "metadata": "{}", "created_at": 0, "used_at": 0.0}
        made = [{"id": f"c{n}", **old} for n in range(50)]
        await connection.execute(insert(conversations), made)

    await store.database.write(work)
    row = {"request_id": "r", "created_at": now, "agent": "a", "user": "u", "tools": "[]"}
    book = LogBook(store.database)
    for age in (3, 1):
        made = [{**row, "id": new_id(now - age * DAY)} for n in range(2500)]
        await book.add(made)
    assert await count(store, request_log) == 5000
    await sweep.sweep(store.database, Keep(conversations=DAY, logs=2.0 * DAY))
    assert await count(store, conversations) == 0
    assert await count(store, request_log) == 2500


async def test_answers_and_notes_go_when_their_time_is_over(store):
    await store.spend("k", "s", time.time() - 3601)
    await store.spend("new", "s", time.time())
    await store.put_note("s", "old", "text", -1.0)
    await store.put_note("s", "new", "text", 60.0)
    await sweep.sweep(store.database, FOREVER)
    assert (await count(store, answered), await count(store, notes)) == (1, 1)


async def test_one_process_sweeps_and_the_next_one_in_an_hour(address):
    stores = [Store(address) for _ in range(4)]
    begun = await asyncio.gather(*(sweep.begin(store.database, 3600) for store in stores))
    assert begun.count(True) == 1
    assert [await sweep.begin(stores[0].database, 3600), await sweep.begin(stores[1].database, 0)]
    assert not await sweep.begin(stores[0].database, 3600)
    for store in stores:
        await store.aclose()
