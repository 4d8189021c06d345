"""Runs that go on without their callers: taken on, worked on, and told of by any process."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Self

import orjson
from starlette.responses import Response as HttpResponse

from retinue.errors import RequestError, RetinueError, StoreDownError
from retinue.run.runtime import Runtime
from retinue.serve.access import Observer, RequestRecord, new_id
from retinue.serve.frames import FrameResponse
from retinue.serve.identity import Identity
from retinue.serve.metrics import Metrics
from retinue.serve.state import State
from retinue.serve.turn import Turn, text
from retinue.serve.wire.errors import ErrorAnswer, RefusedError
from retinue.serve.wire.frames import DONE
from retinue.serve.wire.orders import Order
from retinue.serve.wire.responses import ResponseHead, cancelled
from retinue.serve.work import May, News, Work, anybody_may
from retinue.store.records import Claim, FullError, Response

if TYPE_CHECKING:
    from retinue.store.store import Store

_LOOK = 1.0
_POLL = 0.25
_PATIENCE = 60.0
_FULL_PAGE = 64


class Rhythm:
    """How long to wait before looking again, in seconds: one while there is reason to look and for
    `alert` seconds after that, then twice as long each time, up to `rarest`.

    A process that was killed is known to be gone after half of the usual `alert`.
    """

    def __init__(
        self,
        alert: float = 30.0,
        rarest: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._alert = alert
        self._rarest = rarest
        self._clock = clock
        self._until = clock() + alert
        self._pause = _LOOK

    def pause(self, *, busy: bool) -> float:
        """`busy`: there is reason to look."""
        now = self._clock()
        if busy:
            self._until = now + self._alert
        self._pause = _LOOK if busy or now < self._until else min(2 * self._pause, self._rarest)
        return self._pause


class Background:
    """The background runs of one process, `most` at a time: `async with Background(…)`.

    A run is this process's as long as the store says so. Somebody else cancels it there, and a
    process that is gone loses it there. A process looks every second while it works on runs or
    somebody asks for one, and for half a minute after that and after its start; then ever more
    rarely, so that a database nobody needs may sleep. `observers` and `metrics` are told of runs
    that are over; `may` is asked whether one that waited its turn still may begin.
    """

    def __init__(
        self,
        runtime: Runtime,
        state: State,
        most: int,
        observers: tuple[Observer, ...] = (),
        *,
        metrics: Metrics | None = None,
        rhythm: Rhythm | None = None,
        may: May = anybody_may,
    ) -> None:
        self.runtime = runtime
        self.state = state
        self._most = most
        self._observers = observers
        self._may = may
        self._metrics = metrics or Metrics(lambda: len(self._working))
        self._working: dict[str, asyncio.Task[None]] = {}
        self._news = News()
        self._strays: set[str] = set()
        self._looking: asyncio.Task[None] | None = None
        self._called = asyncio.Event()
        self._rhythm = rhythm or Rhythm()
        # Those that wait their turn: their conversations are held here until somebody begins.
        self._queued: set[str] = set()

    async def __aenter__(self) -> Self:
        if self.state.on:
            self._looking = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [*self._working.values(), *((self._looking,) if self._looking else ())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def quiet(self) -> None:
        """Begin no more runs, and wait for the end of those under way."""
        self._most = 0
        while self._working:
            await asyncio.wait(self._working.values())

    async def take_on(
        self, order: Order, head: ResponseHead, turn: Turn, identity: Identity, *, stream: bool
    ) -> HttpResponse:
        """Begin a run, or let it wait its turn; the response as it is now, or its stream.

        `turn` has been begun. Raises RefusedError where too many wait.
        """
        here = len(self._working) < self._most
        body = head.begun() | {"status": "queued"}
        response = Response(
            id=head.id,
            owner=turn.owner,
            agent=order.agent,
            created_at=head.created,
            status="in_progress" if here else "queued",
            previous_id=head.previous,
            body=text(body),
            input=turn.listed(),
            messages="[]",
        )
        store = await self.state.store("background")
        request = order.dumped()
        # Also where this caller goes away meanwhile.
        self.look()
        try:
            await store.submit(response, request, streamed=stream, here=here)
        except FullError:
            raise RefusedError(_full()) from None
        if not here:
            self._queued.add(head.id)
        if here:
            claim = Claim(
                response_id=head.id,
                owner=turn.owner,
                created_at=head.created,
                request=request,
                streamed=stream,
            )
            self._begin(store, claim, identity)
        if stream:
            return FrameResponse(self.stream(head.id, turn.owner))
        return HttpResponse(text(body), media_type="application/json")

    async def cancel(self, found: Response) -> None:
        """End a run for good, whoever works on it, unless it is over."""
        store = await self.state.store("response_id")
        if await store.cancel(found.id, partial(cancelled, orjson.loads(found.body))):
            record = RequestRecord(new_id(), agent=found.agent)
            self._metrics.run_ended(record, "cancelled")

    def look(self) -> None:
        """Somebody is waiting for a run: look soon whether all of them are worked on."""
        self._called.set()

    def _begin(self, store: "Store", claim: Claim, identity: Identity | None = None) -> None:
        """`identity` is None where only the order tells who asked."""
        ended = self._metrics.run_ended
        work = Work(
            self.runtime,
            self.state,
            claim,
            self._news,
            self._observers,
            ended=ended,
            may=self._may,
        )
        task = asyncio.create_task(work.do(identity))
        self._working[claim.response_id] = task
        self._metrics.run_begun()

        def over(_: asyncio.Task[None]) -> None:
            self._metrics.run_left()
            self._working.pop(claim.response_id, None)
            store.presence.let_go(claim.response_id)

        task.add_done_callback(over)

    async def _look(self) -> None:
        """Find runs to work on, and those that aren't this process's any more."""
        store = await self.state.store("background")
        while True:
            waiting = False
            if store.database.exists:
                with suppress(RetinueError):
                    waiting = await self._look_once(store)
            busy = bool(waiting or self._working or self._strays)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._rhythm.pause(busy=busy)):
                    await self._called.wait()
                # Once a second is enough, however many ask.
                await asyncio.sleep(self._rhythm.pause(busy=True))
            self._called.clear()

    async def _look_once(self, store: "Store") -> bool:
        """Whether there was something to claim."""
        before = set(self._working)
        waiting, mine = await store.look(tuple(self.runtime.agents))
        if not waiting:
            for response_id in self._queued - set(self._working):
                store.presence.let_go(response_id)
            self._queued.clear()
        for response_id in before - mine:
            if task := self._working.get(response_id):
                task.cancel()
        # Their callers went away before they were begun. Once alone, it may be about to be.
        strays = mine - set(self._working)
        if lost := strays & self._strays:
            await store.give_back(tuple(lost))
        self._strays = strays - lost
        free = self._most - len(self._working)
        if waiting and free > 0:
            for claim in await store.claim(free, tuple(self.runtime.agents)):
                # One of its own, which the store had taken for lost meanwhile, goes on as it was.
                if claim.response_id not in self._working:
                    self._begin(store, claim)
        return waiting

    async def stream(
        self, response_id: str, owner: str, after: int = -1
    ) -> AsyncGenerator[bytes, None]:
        """The frames of the owner's run after the event of that number, as they come.

        Raises RequestError where it has no stream.
        """
        store = await self.state.store("stream")
        begun = False
        left = _PATIENCE
        while True:
            news = self._news.of(response_id)
            try:
                tail = await store.tail(response_id, owner, after)
            except StoreDownError as down:
                left -= down.retry_after
                if not begun or left < 0:
                    raise
                await asyncio.sleep(down.retry_after)
                continue
            if tail is None or not tail.streamed:
                raise RequestError(
                    "Only a response that was created with background=true and stream=true can be "
                    "streamed.",
                    param="stream",
                    code="invalid_value",
                )
            begun, left = True, _PATIENCE
            for batch in tail.batches:
                yield batch.after(after)
                after = batch.last
            if tail.over and len(tail.batches) < _FULL_PAGE:
                yield DONE
                return
            if not tail.batches:
                self.look()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_POLL):
                        await news.wait()


def _full() -> ErrorAnswer:
    return ErrorAnswer(
        status=429,
        type="rate_limit_error",
        message="Too many background responses wait already. Please ask again later.",
        param="background",
        code="background_queue_full",
        headers={"retry-after": "30"},
    )
