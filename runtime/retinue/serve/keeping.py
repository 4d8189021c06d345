"""A store's address → what one app keeps: state, files, the log, runs, keys, accounts."""

from contextlib import AsyncExitStack
from typing import Self

from retinue.run.runtime import Runtime
from retinue.serve.background import Background
from retinue.serve.files_kept import KeptFiles
from retinue.serve.key_snapshot import Snapshot
from retinue.serve.meter import Meter
from retinue.serve.metrics import Metrics
from retinue.serve.options import ServeOptions
from retinue.serve.request_log import LogSettings, RequestLog, folder_of
from retinue.serve.shared import StoredApprovals, StoredSessions
from retinue.serve.state import State
from retinue.serve.stored_keys import StoredKeys
from retinue.serve.sweeper import Sweeper, keep_of
from retinue.store.address import Address


class Keeping:
    """All of it; `async with` opens it, and closes it when the runs have ended.

    Nothing is kept where there is no `store`; the log of requests needs `log`, too. `keys` says
    whether the store's API keys count. `observers` are told of runs that are over.
    """

    def __init__(
        self,
        runtime: Runtime,
        options: ServeOptions,
        store: Address | None,
        log: LogSettings | None,
        meter: Meter,
        *,
        metrics: Metrics,
        keys: bool,
    ) -> None:
        self.meter = meter
        self.state = State(store)
        self.keys = StoredKeys(self.state, _snapshot(store, log)) if keys else None
        self.files = KeptFiles(self.state)
        runtime.attachments.open_file = self.files.open
        if store:
            runtime.gate.approvals = StoredApprovals(self.state, runtime.gate.approvals)
            runtime.sessions = StoredSessions(self.state, runtime.sessions)
        self.requests = RequestLog(store, log, runtime.agents) if store and log else None
        self.observers = (meter.charge, *((self.requests.keep,) if self.requests else ()))
        most = options.capacity.background
        self.background = Background(
            runtime, self.state, most, self.observers, metrics=metrics, may=meter.still
        )
        self._sweeper = Sweeper(self.state, self.files, keep_of(runtime.agents.values()))
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.state)
            if self.keys:
                await stack.enter_async_context(self.keys)
            await stack.enter_async_context(self._sweeper)
            if self.requests:
                await stack.enter_async_context(self.requests)
            await stack.enter_async_context(self.meter)
            await stack.enter_async_context(self.background)
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()


def _snapshot(store: Address | None, log: LogSettings | None) -> Snapshot | None:
    """Beside what the log keeps while the database is away. SQLite's file is never away."""
    if store is None or store.file or log is None:
        return None
    return Snapshot(log.folder.with_name("keys") / f"{folder_of(store)}.json")
