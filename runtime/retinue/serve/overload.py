"""How many requests at once, and how often → a place for a request, or a quick refusal."""

import math
import time
from collections import Counter
from dataclasses import dataclass, field
from mmap import mmap

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter
from starlette.types import ASGIApp, Receive, Scope, Send

from retinue.errors import ConfigurationError
from retinue.serve.access import RequestRecord, record_of
from retinue.serve.answers import send_error
from retinue.serve.body import MAX_BODY
from retinue.serve.wire.errors import DRAINING, RefusedError, overloaded, too_many

MAX_CONCURRENCY = 512
Byte = bytearray | mmap


class CapacityError(ConfigurationError):
    """A limit that was asked for can't be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What one process takes on.

    `max_body` is in bytes; `max_concurrency` counts runs, of all callers together, and
    `caller_concurrency` those of one; `rate` is how often one caller may ask, such as "60/minute".
    `background` counts runs whose callers don't wait. None is without a limit. Raises
    CapacityError.
    """

    max_body: int = MAX_BODY
    max_concurrency: int = MAX_CONCURRENCY
    caller_concurrency: int | None = None
    rate: str | None = None
    background: int = 32

    def __post_init__(self) -> None:
        if self.rate is not None:
            _rate(self.rate)


def _rate(text: str) -> RateLimitItem:
    try:
        return parse(text)
    except ValueError:
        message = f"'{text[:100]}' is not a rate: write a number and a time, such as 60/minute"
        raise CapacityError(message) from None


class House:
    """Counts the requests that are inside, and those of them that run.

    A request that still sends its body has no place to run yet, so slow senders take none away;
    of them there are as many as may run at most, as each holds memory. `shut` is a byte that says
    whether the door is closed; workers share it.
    """

    def __init__(self, capacity: Capacity, shut: Byte | None = None) -> None:
        self._capacity = capacity
        self._inside = 0
        self._running = 0
        self._of_caller: Counter[str] = Counter()
        self._rate = _rate(capacity.rate) if capacity.rate else None
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._shut = shut or bytearray(1)

    @property
    def shut(self) -> bool:
        """Whether it takes no more: those inside end as ever."""
        return self._shut[0] != 0

    @shut.setter
    def shut(self, shut: bool) -> None:
        self._shut[0] = shut

    @property
    def running(self) -> int:
        """Runs under way."""
        return self._running

    async def enter(self, place: "Place", record: RequestRecord) -> None:
        """Raises RefusedError (503 or 429) where there is no room, or the caller asks too often."""
        self._take(place)
        if self._rate:
            await self._count(self._rate, record)

    def _take(self, place: "Place") -> None:
        if self.shut:
            raise RefusedError(DRAINING)
        most = self._capacity.max_concurrency
        if self._running >= most or self._inside >= 2 * most:
            raise RefusedError(overloaded())
        own = self._capacity.caller_concurrency
        if own is not None and self._of_caller[place.subject] >= own:
            raise RefusedError(too_many(f"At most {own} requests at a time are answered.", 1))
        self._inside += 1
        if own is not None:
            self._of_caller[place.subject] += 1
        place.inside = True

    def begin(self, place: "Place") -> None:
        """The body is there. Raises RefusedError (503) where others were faster."""
        if self._running >= self._capacity.max_concurrency:
            raise RefusedError(overloaded())
        self._running += 1
        place.runs = True

    def leave(self, place: "Place") -> None:
        """Idempotent."""
        if place.runs:
            self._running -= 1
        if place.inside:
            self._inside -= 1
            if self._capacity.caller_concurrency is not None:
                self._forget(place.subject)
        place.runs = place.inside = False

    def _forget(self, subject: str) -> None:
        self._of_caller[subject] -= 1
        if not self._of_caller[subject]:
            del self._of_caller[subject]

    async def _count(self, rate: RateLimitItem, record: RequestRecord) -> None:
        subject = record.identity.subject
        fits = await self._limiter.hit(rate, subject)
        window = await self._limiter.get_window_stats(rate, subject)
        wait = max(0.0, window.reset_time - time.time())
        record.headers += [
            (b"x-ratelimit-limit-requests", b"%d" % rate.amount),
            (b"x-ratelimit-remaining-requests", b"%d" % max(0, window.remaining)),
            (b"x-ratelimit-reset-requests", b"%ds" % math.ceil(wait)),
        ]
        if not fits:
            message = f"At most {rate.amount} requests per {_span(rate)} are answered."
            raise RefusedError(too_many(message, max(1, math.ceil(wait))))


class Door:
    """An endpoint behind the house's door, as an ASGI app."""

    def __init__(self, house: House, app: ASGIApp) -> None:
        self._house = house
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record = record_of(scope)
        place = Place(self._house, record.identity.subject)
        record.begin = place.begin
        try:
            await self._house.enter(place, record)
            await self._app(scope, receive, send)
        except RefusedError as error:
            record.fault = error.answer.code or ""
            await send_error(send, error.answer)
        finally:
            self._house.leave(place)


def _span(rate: RateLimitItem) -> str:
    name = rate.GRANULARITY.name
    return name if rate.multiples == 1 else f"{rate.multiples} {name}s"


@dataclass(slots=True)
class Place:
    """A request's place in the house."""

    house: House
    subject: str
    inside: bool = field(default=False, init=False)
    runs: bool = field(default=False, init=False)

    def begin(self) -> None:
        """From now on it runs. Raises RefusedError (503)."""
        self.house.begin(self)
