"""A folder's space.yaml → a frozen `Space`: tables, metrics, dimensions, trusted questions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import ConfigDict, StringConstraints, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from retinue.compile.document import Document, read_document
from retinue.compile.report import Report
from retinue.diagnostics import CompileError, Location, did_you_mean
from retinue.offline.genie.words import stems

SPACE_FILE = "space.yaml"

Order = Literal["asc", "desc"]
Grain = Literal["day", "week", "month", "quarter", "year"]
# Names become part of SQL without quotes, so that the same SQL runs on Databricks.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
Phrase = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Sql = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
SpaceId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """`time` is the column that periods apply to; `joins` lead to tables with one row per row."""

    __pydantic_config__ = _STRICT
    name: Name
    alias: Name
    description: str = ""
    time: str | None = None
    joins: Mapping[Name, Sql] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Metric:
    """An aggregate over `table`. `over` names the metric that is meant where `table` can't be cut
    by what a question asks for; `entity` the dimension that shares its words.
    """

    __pydantic_config__ = _STRICT
    name: Name
    table: Name
    sql: Sql
    words: tuple[Phrase, ...]
    additive: bool = False
    over: Name | None = None
    entity: Name | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """How a dimension's values are named in questions. `read` takes them from the data; with
    `partial`, one word of a value stands for every value that has it. `explicit` ones count only
    beside their entity's name ("suppliers in Europe") or where the dimension itself is asked for.
    """

    __pydantic_config__ = _STRICT
    read: bool = True
    partial: bool = False
    explicit: bool = False
    synonyms: Mapping[str, tuple[Phrase, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dimension:
    """What figures can be grouped by. The first of `columns` (name → SQL) identifies a group;
    `{time}` in it is the time column of the table that is asked. `time` says which periods the
    groups are, `order` sorts other groups. `instead` names the dimension that is meant where a
    table is asked that doesn't lead to this one.
    """

    __pydantic_config__ = _STRICT
    name: Name
    columns: Mapping[Name, Sql]
    words: tuple[Phrase, ...]
    table: Name | None = None
    values: Values | None = None
    time: Grain | None = None
    order: str | None = None
    instead: Mapping[Name, Name] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The SQL that identifies a group."""
        return next(iter(self.columns.values()))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reading:
    """Words that name no metric but are read as one. Words with an `order` rank by that metric;
    with `yields`, another metric named beside them takes its place.
    """

    __pydantic_config__ = _STRICT
    words: tuple[Phrase, ...]
    metric: Name
    order: Order | None = None
    yields: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A trusted question. Without `sql` it is an example that the templates must answer."""

    __pydantic_config__ = _STRICT
    ask: Phrase
    also: tuple[Phrase, ...] = ()
    sql: Sql | None = None
    reading: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """The semantic layer of one space; `folder` is where its seed lies."""

    __pydantic_config__ = _STRICT
    version: Literal[1]
    id: SpaceId
    title: Phrase
    description: str
    catalog: Name
    schema: Name
    seed: str
    tables: Mapping[Name, Table]
    facts: Name
    metrics: Mapping[Name, Metric]
    dimensions: Mapping[Name, Dimension]
    rank_by: Name
    sold_count: Name
    readings: tuple[Reading, ...] = ()
    questions: tuple[Question, ...] = ()
    folder: Path = Path()

    def reachable(self, table: str) -> Mapping[str, tuple[str, ...]]:
        """Every table that can be joined to `table` → the path to it, nearest first."""
        paths: dict[str, tuple[str, ...]] = {table: ()}
        queue = [table]
        for here in queue:
            for there in self.tables[here].joins:
                if there not in paths:
                    paths[there] = (*paths[here], there)
                    queue.append(there)
        return MappingProxyType(paths)


_SPACE = TypeAdapter(Space)
_NAMED = ("tables", "metrics", "dimensions")


def load_space(folder: str | Path) -> Space:
    """The space in `folder`. Raises CompileError with every mistake and its place."""
    root = Path(folder).resolve()
    report = Report()
    document = _document(root, str(Path(folder) / SPACE_FILE), report)
    space = _validated(document, root, report) if document else None
    if document and space:
        for path, message, hint in _mistakes(space):
            report.error(document.root.at(path), message, "bad-space", hint)
    if space is None or report.failed:
        raise CompileError(report.diagnostics())
    return space


def _document(root: Path, file: str, report: Report) -> Document | None:
    try:
        data = (root / SPACE_FILE).read_bytes()
    except OSError as error:
        reason = (error.strerror or "it can't be read").lower()
        report.error(Location(file), f"no space can be read here: {reason}", "unreadable")
        return None
    return read_document(file, data, report)


def _validated(document: Document, root: Path, report: Report) -> Space | None:
    plain = document.root.plain()
    if not isinstance(plain, dict):
        report.error(document.root.place, "a space is a mapping of keys to values", "bad-space")
        return None
    for part in _NAMED:
        entries = plain.get(part)
        if isinstance(entries, dict):
            plain[part] = {
                name: {"name": name, **entry} if isinstance(entry, dict) else entry
                for name, entry in entries.items()
            }
    if report.failed:
        return None
    try:
        return _SPACE.validate_python({**plain, "folder": root})
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            _explain(document, detail, report)
    return None


def _explain(document: Document, detail: ErrorDetails, report: Report) -> None:
    path = tuple(step for step in detail["loc"] if step != "[key]")
    shown = ".".join(str(step) for step in path) or "the file"
    kind = detail["type"]
    if kind == "unexpected_keyword_argument":
        report.error(document.root.key(path), f"'{shown}' is not a known key", "unknown-key")
    elif kind in ("missing_argument", "missing"):
        report.error(document.root.at(path[:-1]), f"'{shown}' is missing", "missing-key")
    else:
        sentence = detail["msg"][0].lower() + detail["msg"][1:]
        report.error(document.root.at(path), f"'{shown}': {sentence}", "bad-value")


Mistake = tuple[tuple[str | int, ...], str, str | None]


def _mistakes(space: Space) -> Iterator[Mistake]:
    """What the types can't tell: names that lead nowhere and words with two meanings."""
    yield from _bad_names(space)
    yield from _bad_tables(space)
    yield from _bad_words(space)
    seed = (space.folder / space.seed).resolve()
    if not seed.is_relative_to(space.folder):
        yield ("seed",), f"'{space.seed}' leads out of the space's folder", None
    elif not seed.is_file():
        yield ("seed",), f"there is no file '{space.seed}' beside {SPACE_FILE}", None


def _bad_names(space: Space) -> Iterator[Mistake]:
    for path, name, known in _references(space):
        if name is not None and name not in known:
            shown = ".".join(map(str, path))
            hint = did_you_mean(name, list(known))
            yield path, f"'{shown}' names '{name}', which is not defined", hint


def _references(
    space: Space,
) -> Iterator[tuple[tuple[str | int, ...], str | None, Mapping[str, object]]]:
    """Every place that names something else, the name, and what there is."""
    yield ("facts",), space.facts, space.tables
    yield ("rank_by",), space.rank_by, space.metrics
    yield ("sold_count",), space.sold_count, space.metrics
    for name, metric in space.metrics.items():
        yield ("metrics", name, "table"), metric.table, space.tables
        yield ("metrics", name, "over"), metric.over, space.metrics
        yield ("metrics", name, "entity"), metric.entity, space.dimensions
    for name, dimension in space.dimensions.items():
        yield ("dimensions", name, "table"), dimension.table, space.tables
        for table, other in dimension.instead.items():
            yield ("dimensions", name, "instead", table), table, space.tables
            yield ("dimensions", name, "instead", table), other, space.dimensions
    for index, reading in enumerate(space.readings):
        yield ("readings", index, "metric"), reading.metric, space.metrics
    for name, joined in space.tables.items():
        for other in joined.joins:
            yield ("tables", name, "joins", other), other, space.tables


def _bad_tables(space: Space) -> Iterator[Mistake]:
    aliases: dict[str, str] = {}
    for name, table in space.tables.items():
        other = aliases.setdefault(table.alias, name)
        if other != name:
            yield ("tables", name), f"'{name}' and '{other}' have the same alias", None
    facts = space.tables.get(space.facts)
    if facts and facts.time is None:
        yield ("facts",), f"the table '{space.facts}' has no time column", "give it `time`"
    for name, dimension in space.dimensions.items():
        if not dimension.columns:
            yield ("dimensions", name, "columns"), f"'{name}' has no columns", None
        elif dimension.table is None and "{time}" not in dimension.key:
            yield ("dimensions", name), f"'{name}' has neither a table nor {{time}}", None


def _bad_words(space: Space) -> Iterator[Mistake]:
    """One phrase may name a metric and that metric's entity; any other pair is ambiguous."""
    for part, entries in (("metrics", space.metrics), ("dimensions", space.dimensions)):
        owners: dict[tuple[str, ...], str] = {}
        for name, entry in entries.items():
            for index, phrase in enumerate(entry.words):
                other = owners.setdefault(stems(phrase), name)
                if other != name:
                    yield (
                        (part, name, "words", index),
                        f"'{phrase}' means both '{other}' and '{name}'",
                        "leave it to one of them",
                    )
    yield from _metric_or_dimension(space)


def _metric_or_dimension(space: Space) -> Iterator[Mistake]:
    named = {stems(phrase): name for name, d in space.dimensions.items() for phrase in d.words}
    for name, metric in space.metrics.items():
        for index, phrase in enumerate(metric.words):
            dimension = named.get(stems(phrase))
            if dimension not in (None, metric.entity):
                yield (
                    ("metrics", name, "words", index),
                    f"'{phrase}' means both the metric '{name}' and the dimension '{dimension}'",
                    f"leave it to one of them, or give the metric `entity: {dimension}`",
                )
