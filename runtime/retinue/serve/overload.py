"""How many requests at once → a place for a request, or a quick refusal."""

from collections import Counter
from dataclasses import dataclass, field
from mmap import mmap

from starlette.types import ASGIApp, Receive, Scope, Send

from retinue.serve.access import record_of
from retinue.serve.answers import send_error
from retinue.serve.body import MAX_BODY
from retinue.serve.meter import Meter
from retinue.serve.tally import Tally
from retinue.serve.wire.errors import DRAINING, RefusedError, overloaded, too_many

MAX_CONCURRENCY = 512
Byte = bytearray | mmap


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What one process takes on.

    `max_body` is in bytes; `max_concurrency` counts runs, of all callers together, and
    `caller_concurrency` those of one. `background` counts runs whose callers don't wait. None is
    without a limit.
    """

    max_body: int = MAX_BODY
    max_concurrency: int = MAX_CONCURRENCY
    caller_concurrency: int | None = None
    background: int = 32


class House:
    """Counts the requests that are inside, and those of them that run.

    A request that still sends its body has no place to run yet, so slow senders take none away;
    of them there are as many as may run at most, as each holds memory. `shut` is a byte that says
    whether the door is closed; workers share it. `tally` has what this process has counted of its
    callers, where nothing else has it.
    """

    def __init__(self, capacity: Capacity, shut: Byte | None = None) -> None:
        self._capacity = capacity
        self._inside = 0
        self._running = 0
        self._of_caller: Counter[str] = Counter()
        self._shut = shut or bytearray(1)
        self.tally = Tally()

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

    def enter(self, place: "Place") -> None:
        """Raises RefusedError (503, or 429 for a caller who has many inside) where there is no
        room.
        """
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


class Door:
    """An endpoint behind the house's door, as an ASGI app: `meter` counts who comes in."""

    def __init__(self, house: House, meter: Meter, app: ASGIApp) -> None:
        self._house = house
        self._meter = meter
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record = record_of(scope)
        place = Place(self._house, record.identity.subject)
        record.begin = place.begin
        try:
            self._house.enter(place)
            await self._meter.admit(record)
            await self._app(scope, receive, send)
        except RefusedError as error:
            record.fault = error.answer.code or ""
            await send_error(send, error.answer)
        finally:
            self._house.leave(place)


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
