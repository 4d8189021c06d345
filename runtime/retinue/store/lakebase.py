"""A Lakebase database → connections to it, each with a token that is good for an hour.

Lakebase looks at the token when somebody logs in, and never again. Inside a Databricks App that
has the database as a resource, `PGHOST`, `PGPORT`, `PGUSER` and `PGDATABASE` say where it is.
"""

import asyncio
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from retinue.errors import StoreDownError
from retinue.store.address import Lake

# Shares of a token's life: from the first on another is asked for, after the second it is dead.
_FRESH = 0.8
_VALID = 0.95
_UNKNOWN_LIFE = 600.0
_PAUSE = 2.0
_PATIENCE = 4.0


@dataclass(frozen=True, slots=True)
class Login:
    """How to log in; `life` is how long the token is good, in seconds."""

    host: str
    user: str
    token: str = field(repr=False)
    life: float
    port: int = 5432


Ask = Callable[[], Login]
"""Asks the workspace, and blocks until it has answered."""


class Tokens:
    """The port between connections and the workspace: a login that is good now.

    It is asked for ahead of its expiry, once for all who wait, in a thread. `clock` is in seconds.
    """

    def __init__(self, ask: Ask, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._login: Login | None = None
        self._fresh_until = self._valid_until = self._retry_at = 0.0
        self._flight: asyncio.Future[None] | None = None

    async def login(self) -> Login:
        """Raises StoreDownError where none can be had."""
        now = self._clock()
        if now >= self._fresh_until and self._flight is None and now >= self._retry_at:
            self._begin()
        if self._login is None or now >= self._valid_until:
            if self._flight:
                await asyncio.wait({self._flight}, timeout=_PATIENCE)
            if self._login is None or self._clock() >= self._valid_until:
                raise StoreDownError("Databricks gave no token for the store.")
        return self._login

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        flight = self._flight = loop.create_future()
        timer = loop.call_later(2 * _PATIENCE, self._settle, flight, None)
        flight.add_done_callback(lambda _: timer.cancel())

        def ask() -> None:
            login = None
            # The SDK's own errors quote the configuration.
            with suppress(Exception):
                login = self._ask()
            with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
                loop.call_soon_threadsafe(self._settle, flight, login)

        # Not one of a pool: a request that hangs must not keep the process from ending.
        threading.Thread(target=ask, name="store token", daemon=True).start()

    def _settle(self, flight: asyncio.Future[None], login: Login | None) -> None:
        if flight is not self._flight:
            return  # it was given up
        self._flight = None
        now = self._clock()
        if login is None:
            self._retry_at = now + _PAUSE
        else:
            self._login = login
            self._fresh_until = now + _FRESH * login.life
            self._valid_until = now + _VALID * login.life
        flight.set_result(None)


class Lakebase:
    """What opens connections to one database."""

    def __init__(self, lake: Lake, tokens: Tokens | None = None, **options: Any) -> None:
        """`options` are libpq's, over those that Lakebase needs."""
        env = surroundings(lake, os.environ)
        self._database = env.get("PGDATABASE") or lake.database
        self._tokens = tokens or Tokens(lambda: ask_workspace(lake, env))
        self._options = {"sslmode": "require", "connect_timeout": 4, **options}

    async def connect(self) -> Any:
        """A connection of psycopg's. Raises StoreDownError, and what psycopg does."""
        # The driver is an extra.
        from psycopg import AsyncConnection  # noqa: PLC0415

        login = await self._tokens.login()
        return await AsyncConnection.connect(
            host=login.host,
            port=login.port,
            user=login.user,
            password=login.token,
            dbname=self._database,
            application_name="retinue",
            prepare_threshold=None,
            **self._options,
        )


def surroundings(lake: Lake, env: Mapping[str, str]) -> Mapping[str, str]:
    """The environment, where its `PG*` tell of this database: an app that has several among its
    resources is told of one.
    """
    elsewhere = lake.made and env.get("PGDATABASE", lake.database) != lake.database
    return {} if elsewhere else env


def ask_workspace(lake: Lake, env: Mapping[str, str]) -> Login:
    """A login by databricks-sdk, whose exceptions it raises."""
    # Imported here: the SDK costs a second, and only Lakebase needs it.
    from databricks.sdk import WorkspaceClient  # noqa: PLC0415
    from databricks.sdk.config import Config  # noqa: PLC0415

    client = WorkspaceClient(config=Config(http_timeout_seconds=5, retry_timeout_seconds=3))
    user = env.get("PGUSER") or client.current_user.me().user_name or ""
    host = env.get("PGHOST") or ""
    port = int(env.get("PGPORT") or 5432)
    if lake.name.startswith("projects/"):
        if not host:
            status = client.postgres.get_endpoint(lake.name).status
            host = (status and status.hosts and status.hosts.host) or ""
        leased = client.postgres.generate_database_credential(lake.name)
        expiry: Any = leased.expire_time and leased.expire_time.ToDatetime(UTC)
        return Login(host, user, leased.token or "", _life(expiry), port)
    if not host:
        host = client.database.get_database_instance(lake.name).read_write_dns or ""
    given = client.database.generate_database_credential(
        instance_names=[lake.name], request_id=str(uuid.uuid4())
    )
    until = given.expiration_time
    expiry = datetime.fromisoformat(until) if until else None
    return Login(host, user, given.token or "", _life(expiry), port)


def _life(expiry: datetime | None) -> float:
    if expiry is None:
        return _UNKNOWN_LIFE
    return max(0.0, (expiry - datetime.now(UTC)).total_seconds())
