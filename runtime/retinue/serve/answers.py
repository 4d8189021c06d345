"""Bytes of an answer → ASGI messages: a whole JSON answer, or a stream of server-sent events."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from starlette.types import Send

from retinue.serve.wire.errors import ErrorAnswer

_JSON = (b"content-type", b"application/json")
_EVENT_STREAM = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    # nginx and its like would hold back the frames otherwise.
    (b"x-accel-buffering", b"no"),
]

_HEARTBEAT = b": keep-alive\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long a stream may be silent, in seconds.

    `hold` is how long the head waits for the first frame, so that an early failure still gets a
    status of its own; `heartbeat` how long after a frame a comment is sent; `stall` how long a
    caller may take nothing of what is sent before it counts as gone.
    """

    hold: float = 10.0
    heartbeat: float = 10.0
    stall: float = 30.0


async def send_json(
    send: Send, body: bytes, status: int = 200, headers: Mapping[str, str] | None = None
) -> None:
    """One complete answer."""
    head = [_JSON, (b"content-length", b"%d" % len(body)), *_encoded(headers or {})]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


async def send_error(send: Send, error: ErrorAnswer) -> None:
    """OpenAI's error object with its status."""
    await send_json(send, error.body, error.status, error.headers)


class EventStream:
    """A response of server-sent events: `async with EventStream(send, pace) as stream`.

    Comments go out while there is nothing to say. A caller who stays connected but reads nothing
    would hold the run for ever: the task inside the context is cancelled, and `stalled` tells.
    The response is completed by `end`, outside of the context. `headers` are further ones, for as
    long as the head hasn't gone out (`opened`).
    """

    def __init__(self, send: Send, pace: Pace) -> None:
        self._send = send
        self._pace = pace
        self._now = asyncio.get_running_loop().time
        self._due = self._now() + pace.hold
        self._turn = asyncio.Lock()
        self.headers: Mapping[str, str] = {}
        self.opened = False
        self.stalled = False

    async def __aenter__(self) -> Self:
        self._task = asyncio.current_task()
        self._beating = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._beating.cancel()

    async def write(self, frames: bytes) -> None:
        """Send whole events at once: some clients forget an event that is cut in two."""
        self._due = self._now() + self._pace.heartbeat
        async with self._turn:
            if not self.opened:
                await self._open()
            await self._send({"type": "http.response.body", "body": frames, "more_body": True})

    async def end(self, frames: bytes = b"") -> None:
        """Complete the response, with what is left to say."""
        last = {"type": "http.response.body", "body": frames, "more_body": False}
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pace.stall):
                await self._send(last)

    async def _open(self) -> None:
        headers = [*_EVENT_STREAM, *_encoded(self.headers)]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        self.opened = True

    async def _beat(self) -> None:
        while not self.stalled:
            await asyncio.sleep(self._due - self._now())
            if self._now() < self._due:
                continue
            self.stalled = not (
                await self._moves() if self._turn.locked() else await self._heartbeat()
            )
        if self._task:
            self._task.cancel()

    async def _moves(self) -> bool:
        """Whether the write under way ends, or another one has begun, before it is too late."""
        due = self._due
        await asyncio.sleep(self._pace.stall - self._pace.heartbeat)
        return due != self._due or not self._turn.locked()

    async def _heartbeat(self) -> bool:
        try:
            async with asyncio.timeout(self._pace.stall):
                await self.write(_HEARTBEAT)
        except TimeoutError:
            return False
        return True
