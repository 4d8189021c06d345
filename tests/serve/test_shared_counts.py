"""Counting together: trips that many share, and what happens when nobody is at the other end."""

import asyncio
import time

import pytest

from retinue.serve.counters import CountersAt
from retinue.serve.shared_counts import SharedCounts
from retinue.serve.tally import Charge, Tally

LATER = time.time() + 3600
ONE = [Charge("a", 1, LATER)]
LONG = 20.0


class Ledger:
    """What several processes share, in this one: it can be shut, or fail."""

    def __init__(self, patience: float = 0.25) -> None:
        self.patience = patience
        self.sums = Tally()
        self.trips: list[list[Charge]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.broken = False
        self.forgotten: list[float] = []

    @property
    def place(self) -> CountersAt:
        return CountersAt("the ledger", self.opened, self.patience)

    async def opened(self):
        return self

    async def add(self, charges):
        self.trips.append(list(charges))
        await self.open.wait()
        if self.broken:
            raise ConnectionError("secret")
        return [self.sums.add(charge) for charge in charges]

    async def forget(self, before):
        self.forgotten.append(before)

    async def aclose(self):
        self.closed = True


def told(log) -> list[str]:
    """A record may come by two ways."""
    return list({id(record): record.getMessage() for record in log.records}.values())


async def until(condition) -> None:
    async with asyncio.timeout(LONG):
        while not condition():  # noqa: ASYNC110 - any condition
            await asyncio.sleep(0.005)


async def test_alone_it_has_all_there_is_and_what_it_knew_before():
    own = Tally()
    async with SharedCounts(own) as counts:
        assert await counts.take(ONE) == [1]
        counts.put(ONE)
    async with SharedCounts(own) as counts:
        assert await counts.take(ONE) == [3]
        assert counts.alone == 0


async def test_who_comes_while_a_trip_is_under_way_goes_with_the_next():
    ledger = Ledger(LONG)
    ledger.sums.add(Charge("a", 10, LATER))
    async with SharedCounts(Tally(), ledger.place) as counts:
        await counts.ready()
        ledger.open.clear()
        first = asyncio.create_task(counts.take(ONE))
        await until(lambda: len(ledger.trips) == 2)
        rest = [asyncio.create_task(counts.take([*ONE, Charge("b", 2, LATER)])) for _ in range(3)]
        await asyncio.sleep(0)
        ledger.open.set()
        assert await first == [11]
        # Each has the sum as it would be had they come one after the other.
        assert await asyncio.gather(*rest) == [[12, 2], [13, 4], [14, 6]]
        assert ledger.trips[2:] == [[Charge("a", 3, LATER), Charge("b", 6, LATER)]]
    assert ledger.closed


async def test_what_was_spent_goes_along_with_the_next_request():
    ledger = Ledger(LONG)
    async with SharedCounts(Tally(), ledger.place) as counts:
        counts.put([Charge("spent", 5, LATER)])
        counts.put([Charge("spent", 2, LATER), Charge("other", 1, LATER)])
        assert await counts.take([*ONE, Charge("spent", 0, LATER)]) == [1, 7]
        assert len(ledger.trips) == 1
        assert ledger.sums.sum("other") == 1


async def test_and_without_one_by_itself_soon_or_at_the_end():
    ledger = Ledger()
    async with SharedCounts(Tally(), ledger.place) as counts:
        counts.put(ONE)
        await until(lambda: ledger.sums.sum("a") == 1)
        counts.put(ONE)
    assert ledger.sums.sum("a") == 2


async def test_nothing_is_asked_where_nothing_is_counted():
    ledger = Ledger()
    async with SharedCounts(Tally(), ledger.place):
        await asyncio.sleep(0.05)
    assert ledger.trips == []


async def test_one_who_waits_in_vain_counts_alone_and_nobody_after_it_waits(log):
    log.set_level("INFO", "retinue")
    ledger = Ledger(0.1)
    async with SharedCounts(Tally(), ledger.place) as counts:
        assert await counts.take(ONE) == [1]
        ledger.open.clear()
        # Beyond what it knew of all, it knows of its own.
        assert await counts.take(ONE) == [2]
        waited = len(ledger.trips)
        assert [await counts.take(ONE) for _ in range(50)] == [[n] for n in range(3, 53)]
        assert (len(ledger.trips), counts.alone) == (waited, 51)
        ledger.open.set()
        await until(lambda: not counts._down)
        assert await counts.take(ONE) == [3]
        assert counts.alone == 51
    assert told(log) == [
        "limits are counted by this process alone, until the ledger answers (no answer in time)",
        "limits are counted for all processes again",
    ]


async def test_what_was_spent_meanwhile_is_told_when_it_is_back(log):
    log.set_level("INFO", "retinue")
    ledger = Ledger()
    async with SharedCounts(Tally(), ledger.place) as counts:
        ledger.broken = True
        counts.put([Charge("spent", 5, LATER), Charge("over", 5, time.time() - 1)])
        await until(lambda: counts._down)
        counts.put([Charge("spent", 2, LATER)])
        assert await counts.take([Charge("spent", 0, LATER)]) == [7]
        ledger.broken = False
        await until(lambda: ledger.sums.sum("spent") == 7)
        assert ledger.sums.sum("over") == 0
    assert "secret" not in log.text
    assert len(told(log)) == 2


async def test_a_caller_who_goes_away_takes_nobody_along():
    ledger = Ledger(LONG)
    async with SharedCounts(Tally(), ledger.place) as counts:
        await counts.ready()
        ledger.open.clear()
        gone, stays = (asyncio.create_task(counts.take(ONE)) for _ in range(2))
        await until(lambda: len(ledger.trips) == 2)
        gone.cancel()
        await asyncio.wait({gone})
        assert gone.cancelled()
        ledger.open.set()
        assert await stays == [2]


async def test_what_can_not_be_opened_is_tried_again():
    ledger = Ledger()
    tries = []

    async def opener():
        tries.append(1)
        if len(tries) == 1:
            raise OSError
        return ledger

    async with SharedCounts(Tally(), CountersAt("late", opener)) as counts:
        await counts.ready()
        assert await counts.take(ONE) == [1]
        assert counts.alone == 1
        await until(lambda: not counts._down)
        assert await counts.take(ONE) == [1]


@pytest.mark.parametrize("shut", [True, False])
async def test_it_ends_in_time_whatever_the_other_end_does(shut):
    ledger = Ledger()
    started = time.monotonic()
    async with SharedCounts(Tally(), ledger.place) as counts:
        if shut:
            ledger.open.clear()
        counts.put(ONE)
        await until(lambda: bool(ledger.trips))
    assert time.monotonic() - started < LONG


async def test_old_sums_are_swept_out():
    ledger = Ledger()
    own = Tally()
    own.add(Charge("over", 1, 1.0))
    async with SharedCounts(own, ledger.place) as counts:
        await counts.take(ONE)
        await until(lambda: bool(ledger.forgotten))
        assert own.sum("over") == 0


async def test_nobody_waits_for_the_sweeping():
    ledger = Ledger()
    sweeping = asyncio.Event()

    async def forget(_before):
        sweeping.set()
        await asyncio.sleep(3600)

    ledger.forget = forget
    async with SharedCounts(Tally(), ledger.place) as counts:
        await counts.ready()
        async with asyncio.timeout(LONG):
            await sweeping.wait()
        assert await counts.take(ONE) == [1]
        assert await counts.take(ONE) == [2]
        assert counts.alone == 0


async def test_old_sums_of_one_process_are_too():
    own, now = Tally(), 100.0
    async with SharedCounts(own, clock=lambda: now) as counts:
        await counts.take([Charge("day", 1, 86_400.0), Charge("minute", 1, 120.0)])
        now = 180.0
        await counts.take([Charge("day", 1, 86_400.0)])
    assert own.charges == (Charge("day", 2, 86_400.0),)
