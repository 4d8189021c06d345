"""Apps made one after the other from a project's files → an ASGI app that goes on answering."""

import asyncio
import logging
from collections.abc import Callable

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

log = logging.getLogger("retinue.serve")

Make = Callable[[], FastAPI]
"""The app of the files as they are now. It may take its time, in a thread of its own."""


class Generations:
    """The first app, until `reload` puts another in its place.

    Requests end in the app that they began in. It is closed when it has no more of them.
    """

    def __init__(self, first: FastAPI) -> None:
        self._now = _Generation(first)
        self._retiring: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self.number = 1

    @property
    def app(self) -> FastAPI:
        """The app that answers now."""
        return self._now.app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await self._now.answer(scope, receive, send)

    async def reload(self, make: Make) -> list[str]:
        """Answer with what `make` gives; the agents' names. Where that, or opening it, raises or is
        cancelled, nothing has changed.
        """
        async with self._turn:
            new = _Generation(await asyncio.to_thread(make))
            await new.open()
            old, self._now = self._now, new
            self.number += 1
            log.info("reloaded: generation=%d", self.number)
            retiring = asyncio.create_task(old.retire())
            self._retiring.add(retiring)
            retiring.add_done_callback(self._retiring.discard)
        return list(new.app.state.runtime.agents)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._now.open()
        except Exception:
            log.exception("the app did not start")
            await send({"type": "lifespan.startup.failed", "message": ""})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for retiring in self._retiring:
            retiring.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await self._now.close()
        await send({"type": "lifespan.shutdown.complete"})


class _Generation:
    """An app, open between `open` and `close`."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self._inside = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._leave = asyncio.Event()
        self._life: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Raises what the app's start does. Cancelled, it leaves nothing open."""
        opened = asyncio.Event()
        # What the app opens is closed in the task that has opened it.
        self._life = asyncio.create_task(self._live(opened))
        waiting = asyncio.create_task(opened.wait())
        try:
            await asyncio.wait({self._life, waiting}, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            self._life.cancel()
            await asyncio.wait({self._life})
            raise
        finally:
            waiting.cancel()
        if not opened.is_set():
            await self._life

    async def _live(self, opened: asyncio.Event) -> None:
        async with self.app.router.lifespan_context(self.app):
            opened.set()
            await self._leave.wait()

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._inside += 1
        self._empty.clear()
        try:
            await self.app(scope, receive, send)
        finally:
            self._inside -= 1
            if not self._inside:
                self._empty.set()

    async def retire(self) -> None:
        """Close it when nobody is inside any more; at once when cancelled."""
        try:
            await self._empty.wait()
            # What runs without a request goes on to its end, too.
            await self.app.state.background.quiet()
        finally:
            await self.close()

    async def close(self) -> None:
        self._leave.set()
        if self._life:
            await asyncio.wait({self._life})
