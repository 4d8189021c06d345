"""What is kept too long already → forgotten, by one process at a time and not for its own sake."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Self

from retinue.agent import Agent
from retinue.errors import RetinueError
from retinue.serve.files_kept import KeptFiles
from retinue.serve.state import State
from retinue.storage import Keep

log = logging.getLogger("retinue.serve")

_EVERY = 3600.0
_AT_LEAST = 86_400.0
_SPARE = 60.0


def keep_of(agents: Iterable[Agent]) -> Keep:
    """What the project says, which all its agents have."""
    store = next((agent.store for agent in agents), None)
    return store.keep if store else Keep()


class Sweeper:
    """Sweeps at the start and then each hour: `async with Sweeper(…)`.

    Where nothing else was written to the database meanwhile it may sleep, and is woken once a day.
    """

    def __init__(self, state: State, files: KeptFiles, keep: Keep) -> None:
        self._state = state
        self._files = files
        self._keep = keep
        self._sweeping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._state.on:
            self._sweeping = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._sweeping:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        writes, swept = -1, float("-inf")
        while True:
            try:
                database = (await self._state.store("store")).database
                idle = database.writes == writes
                if database.exists and not (idle and loop.time() < swept + _AT_LEAST):
                    await self.sweep()
                    writes, swept = database.writes, loop.time()
            except RetinueError as error:
                log.warning("what is old was not cleared away: %s", error)
            except Exception:
                log.exception("what is old was not cleared away")
            await asyncio.sleep(_EVERY)

    async def sweep(self, every: float = _EVERY - _SPARE) -> None:
        """Forget what is old, unless another process has done so in the last `every` seconds."""
        from retinue.store import sweep  # noqa: PLC0415 - SQLAlchemy is loaded beside the start

        database = (await self._state.store("store")).database
        if await sweep.begin(database, every):
            await sweep.sweep(database, self._keep)
            await self._files.sweep(self._keep.files)
