"""Failures of a database → whether it is asked at all, so that its absence costs no waiting."""

import time
from collections.abc import Callable

from retinue.errors import StoreDownError

_FIRST = 1.0
_MOST = 30.0


class Breaker:
    """After a failure nobody waits for the database: one call at a time finds out if it is back.

    The pause between those calls doubles from one second to thirty. `patience` is how long such a
    call may take, in seconds, and `clock` gives seconds.
    """

    def __init__(self, patience: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience = patience
        self._clock = clock
        self._pause = 0.0
        self._open_until = 0.0

    @property
    def down(self) -> bool:
        """Whether the last call failed."""
        return self._pause > 0

    def check(self) -> None:
        """Raises StoreDownError where the database isn't to be asked now."""
        if not self._pause:
            return
        left = self._open_until - self._clock()
        if left > 0:
            raise _down(left)
        # This call finds out; others don't wait for it.
        self._open_until = self._clock() + self._patience

    def succeeded(self) -> None:
        """A call was answered."""
        self._pause = 0.0

    def failed(self) -> StoreDownError:
        """A call was not: what to raise."""
        self._pause = min(_MOST, self._pause * 2 or _FIRST)
        self._open_until = self._clock() + self._pause
        return _down(self._pause)


def _down(seconds: float) -> StoreDownError:
    return StoreDownError(
        "What is stored can't be reached now. Please ask again in a moment.", retry_after=seconds
    )
