"""A `Space` → its warehouse, built from the seed, and a matcher that knows the values in it."""

from collections.abc import Iterator

from retinue.errors import RetinueError
from retinue.offline.genie.match import Matcher, Refusal
from retinue.offline.genie.periods import Calendar
from retinue.offline.genie.space import Space
from retinue.offline.genie.sql import table
from retinue.offline.genie.warehouse import Warehouse


def open_space(space: Space) -> tuple[Matcher, Warehouse]:
    """Build the data and read from it what questions may name. Takes about a second.

    Raises ProjectError and ToolError where the seed or an expression doesn't run.
    """
    warehouse = Warehouse(space.folder / space.seed, catalog=space.catalog)
    values = {
        dimension.name: warehouse.distinct(dimension.key, table(space, dimension.table))
        for dimension in space.dimensions.values()
        if dimension.table and dimension.values and dimension.values.read
    }
    facts = space.tables[space.facts]
    calendar = Calendar(*warehouse.days(facts.time or "", table(space, space.facts)))
    return Matcher(space, values, calendar), warehouse


def problems(space: Space) -> Iterator[str]:
    """What in a space doesn't run: expressions, joins, trusted SQL, examples without an answer."""
    try:
        matcher, warehouse = open_space(space)
    except RetinueError as error:
        yield str(error)
        return
    for place, sql in _statements(space):
        try:
            warehouse.select(sql)
        except RetinueError as error:
            yield f"{place}: {error}"
    for question in space.questions:
        for phrase in (question.ask, *question.also):
            found = matcher.match(phrase)
            if isinstance(found, Refusal):
                yield f'questions: "{phrase}" has no answer: {found.reason}'


def _statements(space: Space) -> Iterator[tuple[str, str]]:
    """One small query per expression."""
    time = space.tables[space.facts].time or ""
    for metric in space.metrics.values():
        yield f"metrics.{metric.name}", f"SELECT {metric.sql} FROM {table(space, metric.table)}"  # noqa: S608 - from the space
    for dimension in space.dimensions.values():
        source = table(space, dimension.table or space.facts)
        for sql in (*dimension.columns.values(), dimension.order or "1"):
            expression = sql.replace("{time}", time)
            yield f"dimensions.{dimension.name}", f"SELECT {expression} FROM {source} LIMIT 1"  # noqa: S608 - from the space
    for name, entry in space.tables.items():
        for other, on in entry.joins.items():
            join = f"{table(space, name)} JOIN {table(space, other)} ON {on}"
            yield f"tables.{name}.joins.{other}", f"SELECT COUNT(*) FROM {join}"  # noqa: S608 - from the space
    for question in space.questions:
        if question.sql:
            yield f'questions: "{question.ask}"', question.sql
