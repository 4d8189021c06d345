"""An async iterator → the same items, none awaited past a deadline, which may be moved.

One timer for a whole stream: `asyncio.timeout_at` around each wait would cost more than the rest
of the loop.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Deadline:
    """A moment in the event loop's time; moving it costs next to nothing."""

    __slots__ = ("_loop", "_passed", "_task", "_timer", "moment")

    def __init__(self, moment: float) -> None:
        self.moment = moment
        self._passed = False
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[Any] | None = None
        self._timer = self._loop.call_at(moment, self._ring)

    def passed(self) -> bool:
        """Whether it was there when the timer rang."""
        return self._passed

    def move(self, moment: float) -> None:
        """Set another moment."""
        # A later one is noticed when the timer rings; only an earlier one needs another timer.
        if moment < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(moment, self._ring)
        self.moment = moment

    def off(self) -> None:
        """Stop the timer."""
        self._timer.cancel()

    def _ring(self) -> None:
        if self.moment > self._loop.time():
            self._timer = self._loop.call_at(self.moment, self._ring)
            return
        self._passed = True
        if self._task:
            self._task.cancel()

    async def within(
        self, items: AsyncIterator[T], late: Callable[[], Exception]
    ) -> AsyncGenerator[T, None]:
        """The same items. Raises `late()` at the deadline. Closes `items` and the deadline."""
        try:
            while True:
                # It may have rung while the consumer was busy and there was nothing to cancel.
                if self._passed:
                    raise late()
                task = asyncio.current_task(self._loop)
                if task is None:
                    raise RuntimeError("a deadline needs a task")
                # How many it already has to answer for.
                cancellations = task.cancelling()
                self._task = task
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    return
                except asyncio.CancelledError:
                    if self.passed() and task.uncancel() <= cancellations:
                        raise late() from None
                    raise
                finally:
                    self._task = None
                if self.passed():
                    while task.cancelling() > cancellations:
                        task.uncancel()
                    raise late()
                yield item
        finally:
            self.off()
            if isinstance(items, AsyncGenerator):
                await items.aclose()
