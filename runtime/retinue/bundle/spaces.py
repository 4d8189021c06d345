"""A folder with a local Genie space → the space that a bundle makes in the workspace of it.

Format of the body: `serialized_space` of the Genie API, version 2. Its lists are sorted by id, or
by what they are lists of. Source: https://docs.databricks.com/aws/en/genie/conversation-api
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from retinue.agent import LocalSpace
from retinue.diagnostics import CompileError, Diagnostic
from retinue.project import Project

if TYPE_CHECKING:
    from retinue.offline.genie.space import Dimension, Space

MAX_TABLES = 30
"""Tables that a Genie space takes, by the platform's limit."""

_EVERYBODY_S = ("samples", "system")
"""Catalogs that nobody can be granted anything on: `samples` is open to all."""

_MANY_TO_ONE = "--rt=FROM_RELATIONSHIP_TYPE_MANY_TO_ONE--"
_COLUMN = re.compile(r"(\w+)\.(\w+)")
_PLAIN_COLUMN = re.compile(r"\w+\.(\w+)")

Body = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSpace:
    """A Genie space of the bundle's own. `file` is what it was made of, `variable` what its id is
    called in an app's environment, `tables` are full names, and `body` is JSON text.
    """

    key: str
    file: str
    variable: str
    title: str
    description: str
    warehouse: str
    tables: tuple[str, ...]
    body: str

    @property
    def id(self) -> str:
        """A bundle's reference to the id that the space will have."""
        return f"${{resources.genie_spaces.{self.key}.space_id}}"

    @property
    def grantable(self) -> tuple[str, ...]:
        """The tables that an app can be given the right to read."""
        return tuple(t for t in self.tables if t.partition(".")[0] not in _EVERYBODY_S)

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the workspace wouldn't take it."""
        if len(self.tables) <= MAX_TABLES:
            return ()
        return (f"{self.file} has {len(self.tables)} tables; a Genie space takes {MAX_TABLES}",)


def read_space(project: Project, local: LocalSpace) -> OwnSpace:
    """Raises CompileError with every mistake in the folder's space.yaml."""
    # Off the start-up path: few bundles have one.
    from retinue.offline.genie.space import SPACE_FILE, load_space  # noqa: PLC0415

    file = project.shown(local.path / SPACE_FILE)
    try:
        space = load_space(local.path)
    except CompileError as error:
        raise CompileError([_placed(found, file) for found in error.diagnostics]) from None
    return OwnSpace(
        # No agent has an underscore in its name: no two resources of a bundle may have one key.
        key=re.sub(r"[^a-z0-9]+", "_", f"{local.path.name.lower()}_space").strip("_"),
        file=file,
        variable=local.variable,
        title=space.title,
        description=space.description,
        warehouse=local.warehouse,
        tables=tuple(sorted(_full(space, table) for table in space.tables)),
        body=json.dumps(_body(space), indent=2, ensure_ascii=False) + "\n",
    )


def _placed(found: Diagnostic, file: str) -> Diagnostic:
    return replace(found, location=replace(found.location, file=file))


def _body(space: "Space") -> Body:
    trusted = [q for q in space.questions if q.sql]
    return {
        "version": 2,
        "config": {
            "sample_questions": _sorted(
                {"id": _id("sample", q.ask), "question": [q.ask]} for q in space.questions
            )
        },
        "data_sources": {
            "tables": sorted(_tables(space), key=lambda table: str(table["identifier"]))
        },
        "instructions": {
            "text_instructions": [{"id": _id("text", space.title), "content": [*_lines(space)]}],
            "example_question_sqls": _sorted(
                {"id": _id("example", q.ask), "question": [q.ask], "sql": _cut(q.sql or "")}
                for q in trusted
            ),
            "join_specs": _sorted(_joins(space)),
            "sql_snippets": {
                "measures": _sorted(_measures(space)),
                "expressions": _sorted(_expressions(space)),
            },
        },
    }


def _tables(space: "Space") -> Iterator[Body]:
    for name, table in space.tables.items():
        described = {"description": [table.description]} if table.description else {}
        columns = sorted(_columns(space, name), key=lambda column: str(column["column_name"]))
        configured = {"column_configs": columns} if columns else {}
        yield {"identifier": _full(space, name), **described, **configured}


def _columns(space: "Space", table: str) -> Iterator[Body]:
    """The columns that figures are grouped by, and what people call them."""
    for dimension in space.dimensions.values():
        plain = _PLAIN_COLUMN.fullmatch(dimension.key)
        if dimension.table == table and plain:
            yield {
                "column_name": plain[1],
                "synonyms": _others(dimension.words, plain[1]),
                "enable_format_assistance": True,
                "enable_entity_matching": dimension.values is not None,
            }


def _joins(space: "Space") -> Iterator[Body]:
    """Joins of a local space lead to tables with one row for each of the joining one's."""
    for name, table in space.tables.items():
        for other, condition in table.joins.items():
            sql = _COLUMN.sub(r"`\1`.`\2`", _by_table(space, condition))
            yield {
                "id": _id("join", f"{name} {other}"),
                "left": {"identifier": _full(space, name), "alias": name},
                "right": {"identifier": _full(space, other), "alias": other},
                "sql": [sql, _MANY_TO_ONE],
            }


def _measures(space: "Space") -> Iterator[Body]:
    for name, metric in space.metrics.items():
        yield {
            "id": _id("measure", name),
            "alias": name,
            "display_name": _shown(name),
            "sql": _cut(_by_table(space, metric.sql)),
            "synonyms": _others(metric.words, _shown(name)),
        }


def _expressions(space: "Space") -> Iterator[Body]:
    """Groups that are no column of a table but come from one. Genie knows months and days."""
    for name, dimension in space.dimensions.items():
        if dimension.table and not _PLAIN_COLUMN.fullmatch(dimension.key):
            yield {
                "id": _id("expression", name),
                "alias": name,
                "display_name": _shown(name),
                "sql": _cut(_by_table(space, dimension.key)),
            }


def _lines(space: "Space") -> Iterator[str]:
    """What has no form of its own, in words; one line each."""
    yield f"{space.description.strip()}\n"
    for name, table in space.tables.items():
        if table.time:
            column = table.time.rpartition(".")[2]
            yield f"Periods of {name} are those of its column {column}.\n"
    yield f'Where only a rank is asked for, as in "top 5", rank by {_shown(space.rank_by)}.\n'
    for reading in space.readings:
        words = " or ".join(f'"{word}"' for word in reading.words)
        order = {"desc": "highest ", "asc": "lowest ", None: ""}[reading.order]
        yield f"Read {words} as {order}{_shown(reading.metric)}.\n"
    for dimension in space.dimensions.values():
        yield from _synonyms(dimension)


def _synonyms(dimension: "Dimension") -> Iterator[str]:
    for value, words in (dimension.values.synonyms if dimension.values else {}).items():
        called = " or ".join(f'"{word}"' for word in words)
        yield f"In {_shown(dimension.name)}, {called} is '{value}'.\n"


def _by_table(space: "Space", sql: str) -> str:
    """SQL with the tables' names in the place of their short ones."""
    names = {table.alias: name for name, table in space.tables.items()}
    pattern = rf"(?<![\w.])({'|'.join(map(re.escape, names))})\.(?=\w)"
    return re.sub(pattern, lambda match: f"{names[match[1]]}.", sql)


def _full(space: "Space", table: str) -> str:
    return f"{space.catalog}.{space.schema}.{table}"


def _shown(name: str) -> str:
    return name.replace("_", " ")


def _others(words: Iterable[str], name: str) -> list[str]:
    return [word for word in words if word != name]


def _cut(sql: str) -> list[str]:
    """As the API has a text of several lines."""
    return sql.splitlines(keepends=True)


def _id(kind: str, text: str) -> str:
    """The same for the same thing, whenever it is made."""
    return hashlib.sha256(f"{kind}\0{text}".encode()).hexdigest()[:32]


def _sorted(entries: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(entries, key=lambda entry: str(entry["id"]))
