"""Sums that several processes count in: whole, in any order, for as long as they are needed."""

import asyncio
import time

import pytest

from retinue.store.counters import StoredCounters
from retinue.store.database import Database

NOW = time.time()


@pytest.fixture
async def two(address):
    """Two processes' view of one database."""
    pair = [StoredCounters(Database(address, checked=False)) for _ in range(2)]
    yield pair
    for one in pair:
        await one.aclose()


async def test_each_hears_the_sum_of_all(two):
    here, there = two
    assert await here.add([("a", 1, NOW + 60)]) == [1]
    assert await there.add([("b", 5, NOW + 60), ("a", 2, NOW + 60)]) == [5, 3]
    assert await here.add([("a", 0, NOW + 60), ("b", 0, NOW + 60)]) == [3, 5]


async def test_a_sum_may_be_of_billions_of_dollars_in_billionths(two):
    assert await two[0].add([("usd", 10**18, NOW + 60)]) == [10**18]
    assert await two[1].add([("usd", 1, NOW + 60)]) == [10**18 + 1]


async def test_nothing_is_lost_between_those_who_add_at_once(two):
    async def ask(counters, names):
        for _ in range(20):
            await counters.add([(name, 1, NOW + 60) for name in names])

    await two[0].add([("a", 0, NOW + 60)])
    await asyncio.gather(ask(two[0], "abc"), ask(two[1], "cba"), ask(two[1], "bca"))
    assert await two[0].add([(name, 0, NOW + 60) for name in "abc"]) == [60, 60, 60]


async def test_what_is_over_is_forgotten_and_the_rest_is_not(two):
    await two[0].add([("old", 7, NOW - 10), ("new", 7, NOW + 60)])
    await two[0].add([(f"old {n}", 1, NOW - 10) for n in range(1100)])
    await two[1].forget(NOW)
    assert await two[0].add([("old", 0, NOW + 60), ("new", 0, NOW + 60)]) == [0, 7]


async def test_a_connection_that_the_database_closed_costs_no_count(postgres):
    from retinue.store.address import Address

    counters = StoredCounters(Database(Address(url=postgres.new_database()), checked=False))
    assert await counters.add([("a", 1, NOW + 60)]) == [1]
    postgres.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'retinue'"
    )
    assert await counters.add([("a", 1, NOW + 60)]) == [2]
    await counters.aclose()
