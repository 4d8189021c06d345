"""A process says that it lives while it holds something, and is silent else."""

import asyncio
import time

import pytest

from retinue.errors import StoreDownError
from retinue.store.address import Address
from retinue.store.database import Database
from retinue.store.presence import Presence
from retinue.store.records import Conversation
from retinue.store.store import Store
from retinue.store.workers import LEASE, workers

EVERY = 0.02


@pytest.fixture
async def database(address):
    opened = Database(address)
    yield opened
    await opened.aclose()


async def until(condition) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(EVERY)


async def known(database) -> dict[str, float]:
    async def work(connection):
        return dict(list(await connection.execute(workers.select())))

    return await database.read(work)


async def test_it_speaks_while_something_is_held(database):
    presence = Presence(EVERY)
    for name in ("a", "b"):
        await presence.begin(database, name)
    assert database.writes == 1
    presence.let_go("a")
    await until(lambda: database.writes > 4)
    presence.let_go("b")
    await asyncio.sleep(5 * EVERY)
    said = database.writes
    await asyncio.sleep(20 * EVERY)
    assert database.writes == said
    # What it holds next is held at once.
    await presence.begin(database, "c")
    assert database.writes == said + 1
    left = (await known(database))[presence.worker] - time.time()
    assert LEASE - 5 < left < LEASE + 5
    await presence.end(database)
    assert await known(database) == {}


async def test_what_can_not_be_held_is_not():
    database = Database(Address(url="postgresql://nobody@127.0.0.1:9/none"))
    presence = Presence(EVERY)
    with pytest.raises(StoreDownError):
        await presence.begin(database, "a")
    await asyncio.sleep(5 * EVERY)
    assert database.writes == 1
    await database.aclose()


async def test_a_turn_is_held_as_long_as_it_takes(address):
    store = Store(address)
    store.presence = Presence(EVERY)
    database = store.database
    await store.create_conversation("me", Conversation("c", 0, "{}"), [])
    ends = (
        lambda turn: store.release("c", turn),
        lambda turn: store.keep(None, conversation_id="c", holder=turn),
    )
    for turn, end in enumerate(ends):
        await store.hold("c", "me", str(turn))
        held = database.writes
        await until(lambda held=held: database.writes > held + 2)
        await end(str(turn))
        await asyncio.sleep(5 * EVERY)
        said = database.writes
        await asyncio.sleep(10 * EVERY)
        assert database.writes == said
    await store.aclose()
