"""What counts once counts once for everybody, and a note is taken by one."""

import asyncio
import time

import pytest
from sqlalchemy import func, select, update

from retinue.store import answered, notes
from retinue.store.store import Store


@pytest.fixture
async def stores(address):
    both = Store(address), Store(address)
    yield both
    for store in both:
        await store.aclose()


async def count(store, table) -> int:
    async def work(connection):
        return (await connection.execute(select(func.count()).select_from(table))).scalar()

    return await store.database.read(work)


async def age(store, table, seconds: float) -> None:
    async def work(connection):
        await connection.execute(update(table).values(expires_at=table.c.expires_at - seconds))

    await store.database.write(work)


async def test_of_all_who_spend_a_key_one_is_the_first(stores):
    until = time.time() + 900
    tries = (stores[n % 2].spend("k", f"s{n}", until) for n in range(20))
    first = await asyncio.gather(*tries)
    assert first.count(True) == 1
    # It may ask again, and it alone.
    again = [await stores[0].spend("k", f"s{n}", until) for n in range(20)]
    assert again == first
    assert await stores[1].spend("other", "s0", until)


async def test_spent_keys_are_forgotten_well_after_they_are_worth_nothing(stores):
    store = stores[0]
    await store.spend("k", "s", time.time())
    assert await store.database.write(answered.forget) == 0
    await age(store, answered.answered, 3601)
    assert await store.database.write(answered.forget) == 1
    assert await count(store, answered.answered) == 0


async def test_a_note_is_taken_once_wherever_it_was_left(stores):
    await stores[0].put_note("s", "genie", "c1", 60)
    await stores[0].put_note("s", "genie", "c2", 60)
    await stores[0].put_note("s" * 100_000, "genie", "long", 60)
    taken = await asyncio.gather(*(store.take_note("s", "genie") for store in stores * 4))
    assert sorted(map(str, taken)) == ["None"] * 7 + ["c2"]
    assert await stores[1].take_note("s" * 100_000, "genie") == "long"


async def test_sessions_and_names_are_not_mistaken_for_others(stores):
    await stores[0].put_note("ab", "c", "text", 60)
    others = [("a", "bc"), ("abc", ""), ("", "abc"), ("ab", "C"), ("ab\udc80", "c")]
    assert [await stores[0].take_note(*other) for other in others] == [None] * 5


async def test_old_notes_are_known_no_more_and_are_swept(stores):
    store = stores[0]
    for name in ("old", "older"):
        await store.put_note("s", name, "text", 60)
    await age(store, notes.notes, 61)
    await store.put_note("s", "new", "text", 60)
    assert await store.take_note("s", "old") is None
    assert await store.database.write(notes.forget) == 1
    assert await count(store, notes.notes) == 1
    assert await store.take_note("s", "new") == "text"
