"""Lines that tools under way tell → events of their run, as they come."""

import asyncio
from collections.abc import Callable, Iterator
from contextvars import ContextVar

from retinue.run.events import ToolProgressed
from retinue.run.messages import ToolCall

tell: ContextVar[Callable[[str], None]] = ContextVar("tell")
"""Tells a line of the call that is being made in this context. Only set within one."""


class Telling:
    """What the calls of one turn tell. `told` is resolved once there is something to `take`."""

    def __init__(self) -> None:
        self.told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines: list[ToolProgressed] = []

    def begin(self, call: ToolCall) -> None:
        """From here on this task makes the call."""
        tell.set(lambda line: self._add(ToolProgressed(call, line)))

    def take(self) -> Iterator[ToolProgressed]:
        """What was told since the last time."""
        if self.told.done():
            lines, self._lines = self._lines, []
            self.told = asyncio.get_running_loop().create_future()
            yield from lines

    def _add(self, line: ToolProgressed) -> None:
        self._lines.append(line)
        if not self.told.done():
            self.told.set_result(None)
