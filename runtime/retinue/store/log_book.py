"""A database → the log of requests in it, each method one transaction."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from retinue.store import log
from retinue.store.database import Database
from retinue.store.log_query import Which


class LogBook:
    """Every method may raise StoreDownError and StoreError."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """As `log.add`."""
        await self.database.write(partial(log.add, rows=rows))

    async def page(self, which: Which, **how: Any) -> list[Mapping[str, Any]]:
        """As `log.page`."""
        return await self.database.read(partial(log.page, which=which, **how))

    async def totals(self, which: Which) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
        """As `log.totals`."""
        return await self.database.read(partial(log.totals, which=which))

    async def totals_by_user(
        self, which: Which, *, after: str | None, limit: int
    ) -> list[Mapping[str, Any]]:
        """As `log.totals_by_user`."""
        work = partial(log.totals_by_user, which=which, after=after, limit=limit)
        return await self.database.read(work)
