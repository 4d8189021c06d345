"""A caller's connection → the end of what runs for it, when it is lost."""

import asyncio
from typing import Self

from starlette.types import Receive, Scope

_EXTENSION = "retinue.line"


class Line:
    """A connection that tells when it is lost; `Protocol` puts it into the scope."""

    def __init__(self) -> None:
        self._lost = False
        self._watchers: set[HangUp] = set()

    def offer(self, scope: Scope) -> None:
        """Say in a request's scope that it came over this line."""
        scope["extensions"] = {_EXTENSION: self}

    def lose(self) -> None:
        """It is lost, now or since long."""
        self._lost = True
        for watcher in tuple(self._watchers):
            watcher.notice()

    def watch(self, watcher: "HangUp") -> None:
        """Tell `watcher` when it is lost."""
        self._watchers.add(watcher)
        if self._lost:
            watcher.notice()

    def forget(self, watcher: "HangUp") -> None:
        """Tell it no more."""
        self._watchers.discard(watcher)


class HangUp:
    """Cancels the task that entered it when the caller goes away; `noticed` tells that it did.

    Where the server has no line to offer, a task of its own waits for ASGI's message, which costs
    a request more than anything else that is done for it here.
    """

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._line: Line | None = scope.get("extensions", {}).get(_EXTENSION)
        self._receive = receive
        self._watch: asyncio.Task[None] | None = None
        self.noticed = False

    async def __aenter__(self) -> Self:
        self._task = asyncio.current_task()
        if self._line:
            self._line.watch(self)
        else:
            self._watch = asyncio.create_task(self._wait())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._line:
            self._line.forget(self)
        if self._watch:
            self._watch.cancel()

    def notice(self) -> None:
        """The caller is gone."""
        self.noticed = True
        if self._task:
            self._task.cancel()

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.notice()
