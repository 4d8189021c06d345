"""Server-sent events that somebody else makes → a response that passes them on."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from retinue.errors import RetinueError
from retinue.serve.access import HUNG_UP, record_of
from retinue.serve.answers import EventStream, Pace, send_error
from retinue.serve.hang_up import HangUp
from retinue.serve.wire.errors import STOPPING

log = logging.getLogger("retinue.serve")


class FrameResponse(Response):
    """A stream that may be asked for again: one that breaks is cut, and never ended.

    What `frames` raises before the first of them is the answer.
    """

    def __init__(self, frames: AsyncGenerator[bytes, None], pace: Pace | None = None) -> None:
        super().__init__()
        self._frames = frames
        self._pace = pace or Pace()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record = record_of(scope)
        hang_up = HangUp(scope, receive)
        stream = EventStream(send, self._pace)
        try:
            async with hang_up, stream, aclosing(self._frames) as frames:
                async for one in frames:
                    await stream.write(one)
        except asyncio.CancelledError:
            if hang_up.noticed or stream.stalled:
                record.status = HUNG_UP
                return
            if not stream.opened:
                await send_error(send, STOPPING)
                return
        except RetinueError as error:
            if not stream.opened:
                raise
            record.fault = type(error).__name__
            log.warning("request_id=%s a stream was cut: %s", record.id, error)
        await stream.end()
