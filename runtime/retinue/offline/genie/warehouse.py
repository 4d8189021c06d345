"""A seed's SQL → a locked-down DuckDB that answers one SELECT at a time."""

import re
import threading
import time
from collections.abc import Iterator, Sequence
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
MAX_COLUMNS = 200
MAX_CELL = 10_000
"""Characters of one cell; the same again for the bytes of a BLOB."""
MAX_SIZE = 8_000_000
"""Characters of a whole result."""
_CHUNK = 100
_NESTED = re.compile(r"[\[\](]")
_SIZED = re.compile(r"VARCHAR|BLOB|BIT|JSON|BIGNUM|VARINT")

# The seed is trusted; after it, nothing may reach a file, an extension or a setting again.
_LOCK = """
SET enable_external_access = false;
SET autoinstall_known_extensions = false;
SET autoload_known_extensions = false;
SET allow_community_extensions = false;
SET memory_limit = '512MB';
SET threads = 2;
-- These compute constants while planning: unbounded, and nothing can interrupt that.
SET disabled_optimizers = 'expression_rewriter,statistics_propagation';
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
        """The rows of one SELECT, at most `max_rows`; lists and structs come as text.

        Raises ToolError for anything that isn't exactly one SELECT, for SQL that doesn't run, for
        a query that takes longer than `max_seconds` and for a cell or result that is too large.
        """
        cursor = self._connection.cursor()
        stop = threading.Timer(self._max_seconds, cursor.interrupt)
        try:
            self._check(cursor, sql)
            # DuckDB's SELECT may hold a WITH that deletes; only the transaction forbids that.
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            stop.start()
            columns = self._columns(cursor, sql)
            values = tuple(self._fetched(cursor.execute(_bounded(sql, columns, self._max_rows))))
        except self._duckdb.InterruptException as error:
            raise self._stopped() from error
        except self._duckdb.Error as error:
            raise ToolError(f"the query doesn't run: {error}") from error
        finally:
            stop.cancel()
            cursor.close()
        return Rows(columns, values[: self._max_rows], len(values) > self._max_rows)

    def _stopped(self) -> ToolError:
        return ToolError(f"the query was stopped after {self._max_seconds:g} s")

    def _columns(
        self, cursor: "duckdb.DuckDBPyConnection", sql: str
    ) -> tuple[tuple[str, str], ...]:
        """The columns' names and types, found without running the query."""
        described = cursor.execute(f"DESCRIBE {sql}").fetchmany(MAX_COLUMNS + 1)
        if len(described) > MAX_COLUMNS:
            raise ToolError(f"the query gives more than {MAX_COLUMNS} columns")
        return tuple((str(row[0]), str(row[1])) for row in described)

    def _fetched(self, result: "duckdb.DuckDBPyConnection") -> Iterator[tuple[object, ...]]:
        """Rows in small pieces, so that neither time nor memory runs away between them."""
        end, size = time.monotonic() + self._max_seconds, 0
        while rows := result.fetchmany(_CHUNK):
            size += sum(len(cell) for row in rows for cell in row if isinstance(cell, str | bytes))
            if size > MAX_SIZE:
                raise ToolError(f"the result is larger than {MAX_SIZE:,} characters")
            if time.monotonic() > end:
                raise self._stopped()
            yield from rows

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


def _bounded(sql: str, columns: Sequence[tuple[str, str]], rows: int) -> str:
    """`sql` with a limit on its rows and on each cell, checked before Python sees a cell."""
    names = [f"c{n}" for n in range(len(columns))]
    cells = (_cell(name, *column) for name, column in zip(names, columns, strict=True))
    query = sql.rstrip().rstrip(";")
    return f"SELECT {', '.join(cells)} FROM (\n{query}\n) AS q({', '.join(names)}) LIMIT {rows + 1}"  # noqa: S608 - a checked SELECT


def _cell(name: str, column: str, kind: str) -> str:
    nested = _NESTED.search(kind) and not kind.startswith("DECIMAL")
    if not (nested or _SIZED.match(kind)):
        return name
    value = f"CAST({name} AS VARCHAR)" if nested or kind != "BLOB" else name
    size = f"octet_length({value})" if kind == "BLOB" else f"length({value})"
    message = f"the column {column[:80]} holds a cell of more than {MAX_CELL} characters"
    escaped = message.replace("'", "''")
    return f"CASE WHEN {size} > {MAX_CELL} THEN error('{escaped}') ELSE {value} END"


def _import_duckdb() -> ModuleType:
    """Imported here: it costs 0.2 s and is an extra that most installs don't have."""
    try:
        import duckdb  # noqa: PLC0415
    except ImportError as error:
        raise ProjectError(
            "the offline space needs duckdb, which is not installed: pip install 'retinue[offline]'"
        ) from error
    return duckdb
