"""A seed's SQL → a locked-down DuckDB that answers one SELECT at a time."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from retinue.errors import ProjectError, ToolError

if TYPE_CHECKING:
    import duckdb

MAX_ROWS = 1_000
MAX_SECONDS = 10.0

# The seed is trusted; after it, nothing may reach a file, an extension or a setting again.
_LOCK = """
SET enable_external_access = false;
SET autoinstall_known_extensions = false;
SET autoload_known_extensions = false;
SET allow_community_extensions = false;
SET memory_limit = '512MB';
SET threads = 2;
SET lock_configuration = true;
"""


@dataclass(frozen=True, slots=True)
class Rows:
    """A result. `columns` are (name, SQL type); `truncated` says that rows were left out."""

    columns: tuple[tuple[str, str], ...]
    values: tuple[tuple[object, ...], ...]
    truncated: bool = False

    def as_text(self) -> list[list[str | None]]:
        """The cells as a statement result carries them: text, or None for NULL."""
        return [[None if v is None else str(v) for v in row] for row in self.values]


class Warehouse:
    """A built database. Queries may come from several threads at once.

    `catalog` is the name the seed creates its schema in. Raises ProjectError when duckdb isn't
    installed or the seed is wrong.
    """

    def __init__(
        self,
        seed: Path,
        *,
        catalog: str,
        max_rows: int = MAX_ROWS,
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        self._duckdb = _import_duckdb()
        self._max_rows = max_rows
        self._max_seconds = max_seconds
        self._connection = self._build(seed, catalog)

    def _build(self, seed: Path, catalog: str) -> "duckdb.DuckDBPyConnection":
        connection: duckdb.DuckDBPyConnection = self._duckdb.connect(
            ":memory:", config={"threads": 2}
        )
        try:
            connection.execute(f"ATTACH ':memory:' AS {catalog}")
            connection.execute(seed.read_text("utf-8"))
            connection.execute(_LOCK)
        except self._duckdb.Error as error:
            raise ProjectError(f"{seed.name} doesn't run: {error}") from error
        return connection

    def select(self, sql: str) -> Rows:
        """The rows of one SELECT, at most `max_rows`.

        Raises ToolError for anything that isn't exactly one SELECT, for SQL that doesn't run and
        for a query that takes longer than `max_seconds`.
        """
        cursor = self._connection.cursor()
        stop = threading.Timer(self._max_seconds, cursor.interrupt)
        try:
            self._check(cursor, sql)
            # DuckDB's SELECT may hold a WITH that deletes; only the transaction forbids that.
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            stop.start()
            result = cursor.execute(sql)
            columns = tuple((str(c[0]), str(c[1])) for c in result.description or ())
            values = result.fetchmany(self._max_rows + 1)
        except self._duckdb.InterruptException as error:
            raise ToolError(f"the query was stopped after {self._max_seconds:g} s") from error
        except self._duckdb.Error as error:
            raise ToolError(f"the query doesn't run: {error}") from error
        finally:
            stop.cancel()
            cursor.close()
        return Rows(columns, tuple(values[: self._max_rows]), len(values) > self._max_rows)

    def _check(self, cursor: "duckdb.DuckDBPyConnection", sql: str) -> None:
        statements = cursor.extract_statements(sql)
        kinds = [statement.type for statement in statements]
        if kinds != [self._duckdb.StatementType.SELECT]:
            raise ToolError("only a single SELECT statement is run here")

    def distinct(self, sql: str, table: str) -> tuple[str, ...]:
        """The values of a text expression over a table, sorted, without NULL."""
        rows = self.select(f"SELECT DISTINCT {sql} AS v FROM {table} WHERE {sql} IS NOT NULL")  # noqa: S608 - from the space
        return tuple(sorted(str(row[0]) for row in rows.values))

    def days(self, column: str, table: str) -> tuple[date, date]:
        """The first and last day in a time column. Raises ToolError when the table is empty."""
        sql = f"SELECT CAST(MIN({column}) AS DATE), CAST(MAX({column}) AS DATE) FROM {table}"  # noqa: S608 - from the space
        first, last = self.select(sql).values[0]
        if not isinstance(first, date) or not isinstance(last, date):
            raise ToolError(f"{table} holds no dates")
        return first, last

    def checksum(self, tables: Sequence[str]) -> str:
        """A figure that differs when any cell of `tables` differs; row order doesn't count."""
        sums = [
            self.select(f"SELECT COUNT(*), SUM(CAST(hash(r) AS HUGEINT)) FROM {t} r").values[0]  # noqa: S608 - from the space
            for t in tables
        ]
        return ";".join(f"{count}:{total}" for count, total in sums)


def _import_duckdb() -> ModuleType:
    """Imported here: it costs 0.2 s and is an extra that most installs don't have."""
    try:
        import duckdb  # noqa: PLC0415
    except ImportError as error:
        raise ProjectError(
            "the offline space needs duckdb, which is not installed: pip install 'retinue[offline]'"
        ) from error
    return duckdb
