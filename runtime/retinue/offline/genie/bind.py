"""An `Ask` → the table that all of it can be asked of, with the metrics and filters there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from retinue.offline.genie.ask import Ask, Condition, Figure, RefusedError, label, listed
from retinue.offline.genie.lexicon import Choice
from retinue.offline.genie.space import Dimension, Metric, Space


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition tied to one dimension; `note` says which reading was taken."""

    choice: Choice
    exclude: bool
    note: str | None


@dataclass(frozen=True, slots=True)
class Query:
    """An `Ask` tied to one base table."""

    ask: Ask
    space: Space
    base: str
    metrics: tuple[Metric, ...]
    filters: tuple[Filter, ...]
    paths: Mapping[str, tuple[str, ...]]

    @property
    def time(self) -> str:
        return self.space.tables[self.base].time or ""

    @property
    def ranking(self) -> Metric:
        """The figure that groups are sorted by."""
        figures = self.ask.figures
        return self.metrics[figures.index(self.ask.by) if self.ask.by in figures else 0]

    def expression(self, sql: str) -> str:
        return sql.replace("{time}", self.time)

    def aggregate(self, metric: Metric) -> str:
        return self.expression(metric.sql)

    @property
    def several(self) -> bool:
        """Whether periods are set side by side."""
        return len(self.ask.periods) > 1


def bound(ask: Ask, space: Space) -> Query:
    """The question on the first table that fits. Raises RefusedError where none does."""
    bases = dict.fromkeys(m.table for figure in ask.figures for m in figure.metrics)
    for base in (*bases, space.facts):
        query = _on(base, ask, space)
        if query:
            return query
    raise RefusedError(f"{listed([_named(f) for f in ask.figures])} can't be cut that way")


def _named(figure: Figure) -> str:
    return label(figure.metrics[0])


def _on(base: str, ask: Ask, space: Space) -> Query | None:
    """The question asked of one table, or None where that table can't answer it."""
    paths = space.reachable(base)
    timed = space.tables[base].time is not None
    metrics = [next((m for m in f.metrics if m.table == base), None) for f in ask.figures]
    chosen = [m for m in metrics if m is not None]
    if len(chosen) < len(metrics) or (ask.periods and not timed):
        return None
    swaps = [(label(f.metrics[0]), label(m)) for f, m in zip(ask.figures, chosen, strict=True)]
    swaps = [pair for pair in swaps if pair[0] != pair[1]]
    if len(swaps) == len(chosen) > 1:
        return None
    ask = replace(ask, notes=(*ask.notes, *(f'"{a}" is read as {b}' for a, b in swaps)))
    ask = _with_own_dimensions(ask, base, space, paths)
    if not all(_reaches(d, paths, timed=timed) for d in ask.dimensions):
        return None
    filters = [_filter(c, ask, base, paths, timed=timed) for c in ask.conditions]
    found = [f for f in filters if f is not None]
    if len(found) < len(filters):
        return None
    return Query(ask, space, base, tuple(chosen), tuple(found), paths)


def _with_own_dimensions(
    ask: Ask, base: str, space: Space, paths: Mapping[str, tuple[str, ...]]
) -> Ask:
    """Take a table's own dimensions: customers by country means the customers' country."""
    own = {
        d: space.dimensions[d.instead[base]]
        for d in ask.dimensions
        if base in d.instead and d.table not in paths
    }
    return replace(
        ask,
        dimensions=tuple(own.get(d, d) for d in ask.dimensions),
        ranked=own.get(ask.ranked, ask.ranked) if ask.ranked else None,
        notes=(*ask.notes, *(f'"{label(d)}" is read as {label(o)}' for d, o in own.items())),
    )


def _reaches(dimension: Dimension, paths: Mapping[str, object], *, timed: bool) -> bool:
    return timed if dimension.table is None else dimension.table in paths


def _filter(
    condition: Condition, ask: Ask, base: str, paths: Mapping[str, object], *, timed: bool
) -> Filter | None:
    choices = [c for c in condition.choices if _reaches(c.dimension, paths, timed=timed)]
    if condition.near:
        choices = [c for c in choices if c.dimension.table == condition.near]
    else:
        choices = [c for c in choices if _implied(c.dimension, base, ask)]
    if not choices:
        return None
    best = min(choices, key=lambda c: (c.partial, c.dimension not in ask.dimensions))
    others = [c for c in condition.choices if c.dimension is not best.dimension and not c.partial]
    return Filter(best, condition.exclude, _note(condition, best, others))


def _implied(dimension: Dimension, base: str, ask: Ask) -> bool:
    """Whether a value may mean this dimension though the question doesn't name its entity."""
    explicit = dimension.values is not None and dimension.values.explicit
    return not explicit or dimension.table == base or dimension in ask.dimensions


def _note(condition: Condition, best: Choice, others: Sequence[Choice]) -> str | None:
    if others and not condition.near:
        rest = " or ".join(label(c.dimension) for c in others)
        return f'"{listed(best.values)}" is read as {label(best.dimension)}, not {rest}'
    if best.partial:
        return f'"{condition.text}" is read as {listed(best.values)}'
    return None
