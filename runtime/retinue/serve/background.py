"""Runs that go on without their callers: taken on, worked on, and told of by any process."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from types import TracebackType
from typing import Self

from starlette.responses import Response as HttpResponse

from retinue.errors import RequestError, RetinueError, StoreDownError
from retinue.run.runtime import Runtime
from retinue.serve.access import Observer
from retinue.serve.frames import FrameResponse
from retinue.serve.identity import Identity
from retinue.serve.state import State
from retinue.serve.turn import Turn, text
from retinue.serve.wire.errors import ErrorAnswer, RefusedError
from retinue.serve.wire.frames import DONE
from retinue.serve.wire.orders import Order
from retinue.serve.wire.responses import ResponseHead
from retinue.serve.work import News, Work
from retinue.store.records import Claim, FullError, Response

_LOOK = 1.0
_POLL = 0.25
_PATIENCE = 60.0
_FULL_PAGE = 64


class Background:
    """The background runs of one process, `most` at a time: `async with Background(…)`.

    A run is this process's as long as the store says so. Somebody else cancels it there, and a
    process that is gone loses it there; each process looks every second. `observers` are told of
    runs that are over.
    """

    def __init__(
        self, runtime: Runtime, state: State, most: int, observers: tuple[Observer, ...] = ()
    ) -> None:
        self.runtime = runtime
        self.state = state
        self._most = most
        self._observers = observers
        self._working: dict[str, asyncio.Task[None]] = {}
        self._news = News()
        self._strays: set[str] = set()
        self._looking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self.state.on:
            self._looking = asyncio.create_task(self._look())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
        try:
            await store.submit(response, request, streamed=stream, here=here)
        except FullError:
            raise RefusedError(_full()) from None
        if here:
            claim = Claim(
                response_id=head.id,
                owner=turn.owner,
                created_at=head.created,
                request=request,
                streamed=stream,
            )
            self._begin(claim, identity)
        if stream:
            return FrameResponse(self.stream(head.id, turn.owner))
        return HttpResponse(text(body), media_type="application/json")

    def _begin(self, claim: Claim, identity: Identity | None = None) -> None:
        """`identity` is None where only the order tells who asked."""
        work = Work(self.runtime, self.state, claim, self._news, self._observers)
        task = asyncio.create_task(work.do(identity))
        self._working[claim.response_id] = task
        task.add_done_callback(lambda _: self._working.pop(claim.response_id, None))

    async def _look(self) -> None:
        """Find runs to work on, and those that aren't this process's any more."""
        store = await self.state.store("background")
        while True:
            if store.database.exists:
                with suppress(RetinueError):
                    await self._look_once()
            await asyncio.sleep(_LOOK)

    async def _look_once(self) -> None:
        store = await self.state.store("background")
        before = set(self._working)
        waiting, mine = await store.look()
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
            for claim in await store.claim(free):
                # One of its own, which the store had taken for lost meanwhile, goes on as it was.
                if claim.response_id not in self._working:
                    self._begin(claim)

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
