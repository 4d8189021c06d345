"""An address → SQLAlchemy's engine for it."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from retinue.errors import StoreError
from retinue.store.address import Address, AddressError
from retinue.store.lakebase import Lakebase

WRITES = "retinue_writes"
"""The execution option of a transaction that writes."""

_BUSY = 4000
_AGAIN = 0.02
_DRIVER = "postgresql+psycopg"
# Seconds and milliseconds. A dead network is noticed, whatever was being waited for.
_CONNECT: dict[str, Any] = {
    "connect_timeout": 4,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 30,
    "application_name": "retinue",
    # Poolers between us and the database lose statements that were prepared.
    "prepare_threshold": None,
}
_POOL: dict[str, Any] = {
    "pool_size": 5,
    "max_overflow": 5,
    "pool_timeout": 4,
    # A database that was restarted, or slept, costs no call.
    "pool_pre_ping": True,
    # Lakebase ends connections, and a token is good for an hour.
    "pool_recycle": 45 * 60,
}


def engine_for(address: Address, *, checked: bool = True) -> AsyncEngine:
    """The engine, without a connection yet. Where it isn't `checked`, a connection is used without
    asking first whether it still holds. Raises StoreError.
    """
    if address.file:
        return _sqlite(address.file)
    engine = _postgres(address, checked=checked)
    if address.schema:
        _stay_in(engine, address.schema)
    return engine


def _postgres(address: Address, *, checked: bool) -> AsyncEngine:
    pool = {**_POOL, "pool_pre_ping": checked}
    try:
        if address.lake:
            creator = Lakebase(address.lake).connect
            return create_async_engine(
                URL.create(_DRIVER), async_creator=creator, hide_parameters=True, **pool
            )
        url = make_url(address.url or "").set(drivername=_DRIVER)
        return create_async_engine(url, connect_args=_CONNECT, hide_parameters=True, **pool)
    except ArgumentError:
        raise AddressError("the store's URL can't be read") from None


def _stay_in(engine: AsyncEngine, schema: str) -> None:
    """Every connection finds the tables of that schema alone."""
    name = schema.replace('"', '""')

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        # Within a transaction it would be undone with that.
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(f'SET search_path TO "{name}"')
        cursor.close()
        connection.autocommit = False


def _sqlite(file: Path) -> AsyncEngine:
    url = URL.create("sqlite+aiosqlite", database=str(file))
    engine = create_async_engine(url, pool_size=4, max_overflow=0, hide_parameters=True)

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        # The driver begins no transactions by itself then: `begin` does.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout = {_BUSY}",
            "journal_mode = WAL",
            "synchronous = NORMAL",
            "foreign_keys = ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that reads first and writes then could fail in between otherwise.
        writes = connection.get_execution_options().get(WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def make_file(file: Path) -> None:
    """A file that only this user reads, in a folder that git leaves alone. Blocks for a moment.

    Raises StoreError.
    """
    try:
        if not file.parent.exists():
            file.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
            (file.parent / ".gitignore").write_text("*\n", encoding="utf-8")
        file.touch(mode=0o600)
    except OSError as error:
        raise StoreError(f"the store {file} can't be written: {error.strerror}") from None
    _log_ahead(file)


def _log_ahead(file: Path) -> None:
    """Have the file in WAL mode before it is used: of connections that switch to that at the same
    time SQLite lets one, and fails the others at once, whatever `busy_timeout` says.
    """
    end = time.monotonic() + _BUSY / 1000
    while time.monotonic() < end:
        try:
            with closing(sqlite3.connect(file, isolation_level=None)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            time.sleep(_AGAIN)
        except sqlite3.DatabaseError:
            return  # whoever uses it is told
        else:
            return
