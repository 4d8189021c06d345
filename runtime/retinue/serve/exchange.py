"""A request's bytes → a run → its answer, streamed or whole, in whatever wire format it is.

A bare ASGI endpoint, as every token takes this path.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from retinue.run.events import Event, ModelRetried, RunFinished
from retinue.serve.access import HUNG_UP, RequestRecord, record_of
from retinue.serve.answers import EventStream, Pace, send_error, send_json
from retinue.serve.body import MAX_BODY, HungUpError, read_json_body
from retinue.serve.hang_up import HangUp
from retinue.serve.wire.errors import STOPPING, ErrorAnswer, answer
from retinue.serve.wire.hops import hops_header

log = logging.getLogger("retinue.serve")


class StreamWire(Protocol):
    """The frames of a streamed answer."""

    @property
    def finish(self) -> RunFinished | None:
        """The run's last event, once it came."""

    def frames(self, event: Event) -> bytes:
        """Zero or more whole server-sent events."""

    def failure(self, error: ErrorAnswer) -> bytes:
        """Those that end a stream which has failed."""


class WholeWire(Protocol):
    """A fold over the events of a run."""

    @property
    def finish(self) -> RunFinished | None:
        """The run's last event, once it came."""

    def add(self, event: Event) -> None:
        """Take the next event."""

    def body(self) -> bytes:
        """The whole answer as JSON, when the run has finished."""


Told = Callable[[ErrorAnswer], ErrorAnswer]
"""Puts an error of the run into the wire's own terms."""


def as_it_is(error: ErrorAnswer) -> ErrorAnswer:
    """The terms of chat completions, which a run's are."""
    return error


Settle = Callable[[], Awaitable[bytes]]
"""Keeps what a run that has finished leaves behind; then the end of its answer."""


Fail = Callable[[ErrorAnswer], Awaitable[None]]
"""Keeps what a run that has failed leaves behind, once its caller knows of it."""


@dataclass(frozen=True, slots=True)
class Streamed:
    """A run that is to be answered as it goes; the last frames are what `settle` gives."""

    run: AsyncGenerator[Event, None]
    wire: StreamWire
    told: Told = as_it_is
    settle: Settle | None = None
    fail: Fail | None = None


@dataclass(frozen=True, slots=True)
class Whole:
    """A run that is to be answered when it is over; the body is what `settle` gives."""

    run: AsyncGenerator[Event, None]
    wire: WholeWire
    told: Told = as_it_is
    settle: Settle | None = None


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What is answered without a run of this request's own: `answer` gives the response."""

    answer: Callable[[], Awaitable[ASGIApp]]
    told: Told = as_it_is


Prepare = Callable[[bytes, Scope], Streamed | Whole | Elsewhere]
"""A request's body → what is to be run. Raises RequestError. It fills in the request's record."""


def header(scope: Scope, name: str) -> str | None:
    """The last header of that name, which is in lower case."""
    return record_of(scope).header(name.encode())


class Exchange:
    """The endpoint. `max_body` is in bytes."""

    def __init__(
        self, prepare: Prepare, *, pace: Pace | None = None, max_body: int = MAX_BODY
    ) -> None:
        self._prepare = prepare
        self._pace = pace or Pace()
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record = record_of(scope)
        stream = EventStream(send, self._pace)
        hang_up = HangUp(scope, receive)
        asked: Streamed | Whole | Elsewhere | None = None
        try:
            asked = self._prepare(await read_json_body(scope, receive, self._max_body), scope)
            if isinstance(asked, Streamed):
                async with hang_up, stream:
                    await _stream(asked, stream, record)
                    _note(record, asked)
                await stream.end()
            elif isinstance(asked, Elsewhere):
                async with hang_up:
                    response = await asked.answer()
                await response(scope, receive, send)
            else:
                async with hang_up:
                    body, hops = await _fold(asked)
                _note(record, asked)
                await send_json(send, body, headers=hops)
        except HungUpError:
            record.status = HUNG_UP
        except asyncio.CancelledError:
            # Cancelled by the caller's going away or not reading, or by a server that stops: each
            # is answered here, and with that the request is over.
            if hang_up.noticed or stream.stalled:
                record.status = HUNG_UP
            else:
                await _fail(STOPPING, record, stream, asked, send)
        except Exception as error:
            told = answer(error)
            if told.unexpected:
                known = {"request_id": record.id}
                log.error("request_id=%s failed", record.id, exc_info=error, extra=known)
            await _fail(asked.told(told) if asked else told, record, stream, asked, send)


async def _stream(asked: Streamed, stream: EventStream, record: RequestRecord) -> None:
    hops = []
    async with aclosing(asked.run) as events:
        async for event in events:
            frames = asked.wire.frames(event)
            if asked.wire.finish:
                _note(record, asked)
                if asked.settle:
                    frames += await asked.settle()
                # The caller may take these frames for the end, and not wait for the rest.
                record.over()
            if frames:
                await stream.write(frames)
            elif isinstance(event, ModelRetried):
                hops.append(event)
                stream.headers = hops_header(hops)


async def _fold(asked: Whole) -> tuple[bytes, Mapping[str, str]]:
    """The run's answer, and the headers that tell of it."""
    hops = []
    body = None
    async with aclosing(asked.run) as events:
        async for event in events:
            asked.wire.add(event)
            if isinstance(event, ModelRetried):
                hops.append(event)
            if asked.settle and asked.wire.finish:
                body = await asked.settle()
    return asked.wire.body() if body is None else body, hops_header(hops)


def _note(record: RequestRecord, asked: Streamed | Whole) -> None:
    finish = asked.wire.finish
    if finish is None:
        raise RuntimeError("the run ended without saying so")
    record.finish, record.usage = finish, finish.usage


async def _fail(
    error: ErrorAnswer,
    record: RequestRecord,
    stream: EventStream,
    asked: Streamed | Whole | Elsewhere | None,
    send: Send,
) -> None:
    record.fault = error.code or error.type
    if stream.opened and isinstance(asked, Streamed):
        frames = asked.wire.failure(error)
        if asked.fail:
            await asked.fail(error)
        await stream.end(frames)
    else:
        await send_error(send, error)
