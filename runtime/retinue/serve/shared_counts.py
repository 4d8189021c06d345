"""Charges of many requests → sums of all processes, a trip at a time; this one's own, if need be.

While a trip is under way those who come wait for the next, and go on it together. Nobody waits
longer than a fraction of a second: where the sums don't come, this process counts by itself until
they do, which a task finds out and no request.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Self

from retinue.serve.counters import Counters, CountersAt
from retinue.serve.tally import Charge, Tally

log = logging.getLogger("retinue.serve")

_TRIP = 10.0
_START = 2.0
_EVERY = 1.0
_MOST_PAUSE = 15.0
_TOLD_EVERY = 60.0
_TIDY = 60.0
_SWEEP = 300.0
_LEFT_OVER = 3600.0
_FAREWELL = 1.0
_PROBE = "probe"


class _Trip:
    """What goes together. `totals` is None where it did not arrive."""

    def __init__(self) -> None:
        self.asked = Tally()
        self.spent = Tally()
        self.totals: asyncio.Future[dict[str, int] | None] = asyncio.Future()

    @property
    def charges(self) -> tuple[Charge, ...]:
        """Both, one for each name."""
        both = Tally()
        for charge in (*self.asked.charges, *self.spent.charges):
            both.add(charge)
        return both.charges


class SharedCounts:
    """`async with SharedCounts(…)`: sums that every process adds to.

    `place` is where they are; without one `own` has all that there is, and it outlives this
    object. `clock` gives Unix seconds.
    """

    def __init__(
        self,
        own: Tally,
        place: CountersAt | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._own = own
        self._place = place
        self._clock = clock
        self._counters: Counters | None = None
        self._wanted = asyncio.Event()
        self._leaving = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._down = False
        self._told = False
        self._told_at = self._swept_at = self._tidy_at = float("-inf")
        self.alone = 0
        """Requests that this process counted by itself, as what is shared was away."""

    async def __aenter__(self) -> Self:
        if self._place:
            self._next = _Trip()
            self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        """What was spent and not yet told goes along now, if that goes in a second."""
        if self._task is None:
            return
        self._leaving.set()
        self._wanted.set()
        await asyncio.wait({self._task}, timeout=_FAREWELL)
        ending = {self._task, *((self._sweeping,) if self._sweeping else ())}
        for task in ending:
            task.cancel()
        await asyncio.wait(ending)
        if self._timer:
            self._timer.cancel()
        if self._counters:
            with suppress(Exception):
                async with asyncio.timeout(_FAREWELL):
                    await self._counters.aclose()

    async def ready(self) -> None:
        """Open what is shared, before anybody waits for it; in two seconds, or later."""
        if self._task:
            self._wanted.set()
            await asyncio.wait({self._next.totals}, timeout=_START)

    async def take(self, charges: Sequence[Charge]) -> Sequence[int]:
        """The sums with these charges, in their order; a charge of nothing asks what the sum is."""
        self._tidy()
        if self._place is None or self._task is None:
            return [self._own.add(charge) for charge in charges]
        if self._down:
            return self._alone(charges)
        trip = self._next
        places = [trip.asked.add(charge) for charge in charges]
        totals = await self._totals(trip, self._place.patience)
        if totals is None:
            return self._alone(charges)
        # Of those who went together, each has the sum as it was after its own charge.
        return [
            totals[charge.name] - trip.asked.sum(charge.name) + place
            for charge, place in zip(charges, places, strict=True)
        ]

    def _alone(self, charges: Sequence[Charge]) -> Sequence[int]:
        self.alone += 1
        return [self._own.add(charge) for charge in charges]

    def put(self, charges: Sequence[Charge]) -> None:
        """Add these some time soon: nobody waits for it."""
        for charge in charges:
            self._own.add(charge)
            if self._task:
                self._next.spent.add(charge)
        if self._task and not self._timer:
            self._timer = asyncio.get_running_loop().call_later(_EVERY, self._wanted.set)

    async def _totals(self, trip: _Trip, patience: float) -> dict[str, int] | None:
        self._wanted.set()
        try:
            async with asyncio.timeout(patience):
                return await asyncio.shield(trip.totals)
        except TimeoutError:
            self._lost("no answer in time")
            return None

    async def _run(self) -> None:
        pause = 0.0
        while not self._leaving.is_set():
            await self._wanted.wait()
            self._wanted.clear()
            if self._leaving.is_set():
                break
            if await self._go():
                pause = 0.0
                continue
            pause = min(_MOST_PAUSE, pause * 2 or _EVERY)
            # It is tried again whether or not anybody asks.
            self._wanted.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._leaving.wait()
        if self._next.charges and not self._down:
            await self._go()

    async def _go(self) -> bool:
        """One trip; whether it arrived."""
        trip, self._next = self._next, _Trip()
        if self._timer:
            self._timer.cancel()
            self._timer = None
        now = self._clock()
        charges = trip.charges or (Charge(_PROBE, 0, now + _LEFT_OVER),)
        try:
            async with asyncio.timeout(_TRIP):
                totals = await self._sums(charges)
        except Exception as error:  # noqa: BLE001 - whatever a driver raises: the request goes on
            self._lost(type(error).__name__)
            self._put_back(trip, now)
            trip.totals.set_result(None)
            return False
        for charge, total in zip(charges, totals, strict=True):
            self._own.learn(charge._replace(amount=total))
        trip.totals.set_result(
            {charge.name: total for charge, total in zip(charges, totals, strict=True)}
        )
        self._found()
        self._sweep(now)
        return True

    async def _sums(self, charges: Sequence[Charge]) -> Sequence[int]:
        if self._counters is None and self._place:
            self._counters = await self._place.open()
        return await self._counters.add(charges) if self._counters else ()

    def _put_back(self, trip: _Trip, now: float) -> None:
        """What was spent goes along next time; it may have arrived, and counts twice then."""
        for charge in trip.spent.charges:
            if charge.until > now:
                self._next.spent.add(charge)

    def _lost(self, why: str) -> None:
        if not self._down and time.monotonic() >= self._told_at + _TOLD_EVERY:
            self._told, self._told_at = True, time.monotonic()
            name = self._place and self._place.name
            log.warning(
                "limits are counted by this process alone, until %s answers (%s)", name, why
            )
        self._down = True

    def _found(self) -> None:
        if self._told:
            log.info("limits are counted for all processes again")
        self._down = self._told = False

    def _tidy(self) -> None:
        """Forget what is over, as often as that is worth its while."""
        now = self._clock()
        if now >= self._tidy_at:
            self._tidy_at = now + _TIDY
            self._own.forget(now)

    def _sweep(self, now: float) -> None:
        """The same where all count, beside the trips: nobody waits for it."""
        if self._counters and time.monotonic() >= self._swept_at + _SWEEP:
            self._swept_at = time.monotonic()
            self._sweeping = asyncio.create_task(self._forget(self._counters, now))

    async def _forget(self, counters: Counters, now: float) -> None:
        # Late, as another process's clock may be.
        with suppress(Exception):
            async with asyncio.timeout(_TRIP):
                await counters.forget(now - _LEFT_OVER)
