"""Rows of the log: once each, found by what they say, summed up, and forgotten in time."""

import pytest

from retinue.store.database import Database
from retinue.store.log_book import LogBook
from retinue.store.log_query import Which, first_id, new_id

MORNING = 1_770_000_000.0


def row(minute: int, **fields):
    return {
        "id": new_id(MORNING + 60 * minute),
        "request_id": f"req_{minute}",
        "created_at": MORNING + 60 * minute,
        "agent": "helper",
        "user": "ann",
        "session": "s1",
        "ms": 100.0 + minute,
        "tools": "[]",
        "input_tokens": 10,
        "output_tokens": 2,
        "cost_usd": 0.5,
        **fields,
    }


@pytest.fixture
async def book(address):
    book = LogBook(Database(address))
    yield book
    await book.database.aclose()


async def minutes(book, *, after=None, limit=100, newest_first=True, **which):
    found = await book.page(Which(**which), after=after, limit=limit, newest_first=newest_first)
    return [int((one["created_at"] - MORNING) / 60) for one in found]


async def test_a_row_is_one_however_often_it_comes(book):
    rows = [row(n) for n in range(3)]
    await book.add(rows)
    await book.add(rows[1:])
    await book.add([])
    assert await minutes(book) == [2, 1, 0]


async def test_rows_are_found_by_whom_where_and_when(book):
    await book.add(
        [
            row(0),
            row(1, user="bob"),
            row(2, session="s2"),
            row(3, agent="other"),
        ]
    )
    assert await minutes(book, user="bob") == [1]
    assert await minutes(book, session="s2") == [2]
    assert await minutes(book, agent="other", user="ann") == [3]
    assert await minutes(book, since=MORNING + 60, until=MORNING + 180) == [2, 1]
    assert await minutes(book, since=MORNING + 9999) == []


async def test_pages_follow_one_another_both_ways(book):
    rows = [row(n) for n in range(5)]
    await book.add(rows)
    assert await minutes(book, limit=2) == [4, 3]
    assert await minutes(book, limit=2, after=rows[3]["id"]) == [2, 1]
    assert await minutes(book, limit=2, after=rows[3]["id"], newest_first=False) == [4]


async def test_sums_are_by_agent_and_by_user(book):
    await book.add(
        [
            row(0),
            row(1, error="model_timeout"),
            row(2, agent="other", user="bob", cost_usd=None),
        ]
    )
    every, agents = await book.totals(Which())
    assert (every["requests"], every["errors"], every["cost_usd"]) == (3, 1, 1.0)
    assert (every["input_tokens"], every["max_ms"]) == (30, 102.0)
    assert [(one["agent"], one["requests"]) for one in agents] == [("helper", 2), ("other", 1)]
    users = await book.totals_by_user(Which(), after=None, limit=10)
    assert [(one["user"], one["requests"]) for one in users] == [("ann", 2), ("bob", 1)]
    (second,) = await book.totals_by_user(Which(), after="ann", limit=10)
    assert second["user"] == "bob"
    none, nobody = await book.totals(Which(user="eve"))
    assert (none["requests"], none["cost_usd"], nobody) == (0, 0.0, [])


def test_ids_sort_by_time():
    assert first_id(-5.0) <= first_id(MORNING) < new_id(MORNING) < first_id(MORNING + 1)
    assert len(new_id(1e18)) == len(new_id(0.0)) <= 40
