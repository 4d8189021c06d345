"""An `Ask` → SQL for DuckDB and Databricks alike, and a sentence that says what it answers."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from retinue.offline.genie.ask import Ask, Condition, Figure, RefusedError, label
from retinue.offline.genie.lexicon import Choice
from retinue.offline.genie.periods import Period
from retinue.offline.genie.space import Dimension, Metric, Space


@dataclass(frozen=True, slots=True)
class Plan:
    """`title` is the question as it was understood, `shape` its parts; `notes` what was assumed."""

    sql: str
    title: str
    shape: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Filter:
    choice: Choice
    exclude: bool
    note: str | None


@dataclass(frozen=True, slots=True)
class _Query:
    """An `Ask` tied to one base table."""

    ask: Ask
    space: Space
    base: str
    metrics: tuple[Metric, ...]
    filters: tuple[_Filter, ...]
    paths: Mapping[str, tuple[str, ...]]

    @property
    def time(self) -> str:
        return self.space.tables[self.base].time or ""

    def expression(self, sql: str) -> str:
        return sql.replace("{time}", self.time)

    def aggregate(self, metric: Metric) -> str:
        return self.expression(metric.sql)

    @property
    def several(self) -> bool:
        """Whether periods are set side by side."""
        return len(self.ask.periods) > 1


def plan(ask: Ask, space: Space) -> Plan:
    """The SQL for a question. Raises RefusedError where its parts can't be combined."""
    ask = replace(ask, periods=tuple(sorted(ask.periods, key=lambda p: p.start)))
    query = _bound(ask, space)
    notes = (*query.ask.notes, *(f.note for f in query.filters if f.note))
    return Plan(_sql(query), _title(query), _shape(query.ask), tuple(dict.fromkeys(notes)))


# Choosing the table that every part of the question can be asked of.


def _bound(ask: Ask, space: Space) -> _Query:
    bases = dict.fromkeys(m.table for figure in ask.figures for m in figure.metrics)
    for base in (*bases, space.facts):
        query = _on(base, ask, space)
        if query:
            return query
    raise RefusedError(f"{_list([_named(f) for f in ask.figures])} can't be cut that way")


def _named(figure: Figure) -> str:
    return label(figure.metrics[0])


def _on(base: str, ask: Ask, space: Space) -> _Query | None:
    """The question asked of one table, or None where that table can't answer it."""
    paths = space.reachable(base)
    timed = space.tables[base].time is not None
    metrics = [next((m for m in f.metrics if m.table == base), None) for f in ask.figures]
    chosen = [m for m in metrics if m is not None]
    if len(chosen) < len(metrics) or (ask.periods and not timed):
        return None
    ask = _with_own_dimensions(ask, base, space, paths)
    if not all(_reaches(d, paths, timed=timed) for d in ask.dimensions):
        return None
    filters = [_filter(c, ask, base, paths, timed=timed) for c in ask.conditions]
    found = [f for f in filters if f is not None]
    if len(found) < len(filters):
        return None
    return _Query(ask, space, base, tuple(chosen), tuple(found), paths)


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
) -> _Filter | None:
    choices = [c for c in condition.choices if _reaches(c.dimension, paths, timed=timed)]
    if condition.near:
        choices = [c for c in choices if c.dimension.table == condition.near]
    else:
        choices = [c for c in choices if _implied(c.dimension, base, ask)]
    if not choices:
        return None
    best = min(choices, key=lambda c: (c.partial, c.dimension not in ask.dimensions))
    others = [c for c in choices if c.dimension is not best.dimension and not c.partial]
    return _Filter(best, condition.exclude, _note(condition, best, others))


def _implied(dimension: Dimension, base: str, ask: Ask) -> bool:
    """Whether a value may mean this dimension though the question doesn't name its entity."""
    explicit = dimension.values is not None and dimension.values.explicit
    return not explicit or dimension.table == base or dimension in ask.dimensions


def _note(condition: Condition, best: Choice, others: Sequence[Choice]) -> str | None:
    if others and not condition.near:
        rest = " or ".join(label(c.dimension) for c in others)
        return f'"{_list(best.values)}" is read as {label(best.dimension)}, not {rest}'
    if best.partial:
        return f'"{condition.text}" is read as {_list(best.values)}'
    return None


# SQL. Nothing in it comes from the question's own words: names are the space's, values the data's.


def _sql(query: _Query) -> str:
    ask = query.ask
    columns = list(_columns(query))
    lines = [f"SELECT {_comma(f'{sql} AS {name}' for name, sql in columns)}", *_from(query)]
    where = [*_conditions(query), *_dates(query)]
    if where:
        lines.append("WHERE " + "\n  AND ".join(where))
    keys = [sql for name, sql in _keys(query)]
    if keys:
        lines.append("GROUP BY " + ", ".join(keys))
    if ask.limit and len(keys) > len(_own_columns(query)):
        lines.append(_best_of_each(query))
    if keys:
        lines.append("ORDER BY " + ", ".join(_ordering(query)))
    if ask.limit and len(keys) == len(_own_columns(query)):
        lines.append(f"LIMIT {ask.limit}")
    return "\n".join(lines)


def _comma(parts: "Iterator[str]") -> str:
    return ",\n  ".join(parts)


def _columns(query: _Query) -> Iterator[tuple[str, str]]:
    yield from _keys(query)
    for metric in query.metrics:
        if query.ask.share and not query.ask.dimensions and not query.several:
            continue
        yield metric.name, query.aggregate(metric)
    if query.ask.share:
        yield _share(query)
    if query.ask.change:
        yield from _changes(query)


def _keys(query: _Query) -> Iterator[tuple[str, str]]:
    for dimension in query.ask.dimensions:
        for name, sql in dimension.columns.items():
            yield name, query.expression(sql)
    if query.several:
        yield "period", _period_label(query)


def _own_columns(query: _Query) -> Sequence[str]:
    ranked = query.ask.ranked
    return list(ranked.columns) if ranked else []


def _period_label(query: _Query) -> str:
    whens = " ".join(f"WHEN {_within(query, p)} THEN '{p.label}'" for p in query.ask.periods)
    return f"CASE {whens} END"


def _within(query: _Query, period: Period) -> str:
    return f"{query.time} >= DATE '{period.start}' AND {query.time} < DATE '{period.end}'"


def _from(query: _Query) -> list[str]:
    wanted: dict[str, None] = {}
    used = [d.table for d in query.ask.dimensions]
    used += [f.choice.dimension.table for f in query.filters]
    used += [name for metric in query.metrics for name in _mentioned(metric, query)]
    for target in used:
        wanted.update(dict.fromkeys(query.paths.get(target or query.base, ())))
    lines = [f"FROM {table(query.space, query.base)}"]
    for name in wanted:
        here = query.paths[name][-2] if len(query.paths[name]) > 1 else query.base
        lines.append(f"JOIN {table(query.space, name)} ON {query.space.tables[here].joins[name]}")
    return lines


def _mentioned(metric: Metric, query: _Query) -> Iterator[str]:
    """The tables whose columns a figure is made of: not always its own alone."""
    aliases = set(re.findall(r"\b(\w+)\.", metric.sql))
    return (name for name in query.paths if query.space.tables[name].alias in aliases)


def table(space: Space, name: str) -> str:
    """A table as FROM names it: `samples.bakehouse.sales_transactions t`."""
    return f"{space.catalog}.{space.schema}.{name} {space.tables[name].alias}"


def _conditions(query: _Query) -> Iterator[str]:
    single = _single_share(query)
    for item in query.filters:
        if item is not single:
            yield _condition(query, item)


def _condition(query: _Query, item: _Filter) -> str:
    sql = query.expression(item.choice.dimension.key)
    values = ", ".join(_literal(v) for v in item.choice.values)
    if len(item.choice.values) == 1:
        return f"{sql} {'<>' if item.exclude else '='} {values}"
    return f"{sql} {'NOT IN' if item.exclude else 'IN'} ({values})"


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _dates(query: _Query) -> Iterator[str]:
    spans = [_within(query, p) for p in query.ask.periods]
    if len(spans) == 1:
        yield spans[0]
    elif spans:
        yield "(" + " OR ".join(f"({span})" for span in spans) + ")"


def _single_share(query: _Query) -> _Filter | None:
    """The condition whose share is asked for, where there are no groups to take shares of."""
    if not query.ask.share or query.ask.dimensions:
        return None
    if len(query.filters) != 1:
        raise RefusedError("I can't tell what the share is of: name one group or one value")
    return query.filters[0]


def _share(query: _Query) -> tuple[str, str]:
    if len(query.metrics) != 1 or not query.metrics[0].additive:
        raise RefusedError(f"a share of {_list([label(m) for m in query.metrics])} makes no sense")
    sql = query.aggregate(query.metrics[0])
    single = _single_share(query)
    if single:
        part = f"{sql} FILTER (WHERE {_condition(query, single)})"
        return "share_percent", f"CAST(100.0 * {part} / {sql} AS DECIMAL(9, 2))"
    whole = f"SUM({sql}) OVER ({_partition(['period'] if query.several else [], query)})"
    return "share_percent", f"CAST(100.0 * {sql} / {whole} AS DECIMAL(9, 2))"


def _partition(names: Sequence[str], query: _Query) -> str:
    keys = dict(_keys(query))
    return "PARTITION BY " + ", ".join(keys[n] for n in names) if names else ""


def _changes(query: _Query) -> Iterator[tuple[str, str]]:
    """Each figure against the period before it."""
    timed = {name for d in query.ask.dimensions if d.time for name in d.columns}
    groups = [name for name, _ in _keys(query) if name not in timed and name != "period"]
    window = f"{_partition(groups, query)} ORDER BY MIN({query.time})".strip()
    for metric in query.metrics:
        sql = query.aggregate(metric)
        before = f"LAG({sql}) OVER ({window})"
        yield f"{metric.name}_change", f"{sql} - {before}"
        ratio = f"100.0 * ({sql} - {before}) / NULLIF({before}, 0)"
        yield f"{metric.name}_change_percent", f"CAST({ratio} AS DECIMAL(18, 2))"


def _best_of_each(query: _Query) -> str:
    own = _own_columns(query)
    groups = [name for name, _ in _keys(query) if name not in own]
    keys = dict(_keys(query))
    order = f"{query.aggregate(query.metrics[0])} {_direction(query)}, {keys[own[0]]}"
    window = f"{_partition(groups, query)} ORDER BY {order}"
    return f"QUALIFY ROW_NUMBER() OVER ({window}) <= {query.ask.limit}"


def _direction(query: _Query) -> str:
    return "ASC" if query.ask.order == "asc" else "DESC"


def _ordering(query: _Query) -> Iterator[str]:
    """Ranked groups by figure; periods and ordered groups in their order; others by figure."""
    ask = query.ask
    by_figure = f"{query.metrics[0].name} {_direction(query)}"
    names = [name for name, _ in _keys(query)]
    if ask.order is not None:
        own = _own_columns(query) or names
        yield from (_sequence(query, n) for n in names if n not in own)
        yield by_figure
        yield from own
        return
    in_order = [d for d in ask.dimensions if d.time or d.order]
    yield from (_ordered(query, d) for d in in_order)
    rest = [n for d in ask.dimensions if d not in in_order for n in d.columns]
    if rest and not query.several and not in_order:
        yield by_figure
    yield from rest
    if query.several:
        yield _sequence(query, "period")


def _sequence(query: _Query, name: str) -> str:
    """A key to sort groups by; periods sort by time, not by their label."""
    if name != "period":
        return name
    ends = [p.end for p in query.ask.periods[:-1]]
    whens = " ".join(f"WHEN {query.time} < DATE '{end}' THEN {n}" for n, end in enumerate(ends, 1))
    return f"MIN(CASE {whens} ELSE {len(ends) + 1} END)"


def _ordered(query: _Query, dimension: Dimension) -> str:
    if dimension.order:
        return f"MIN({query.expression(dimension.order)})"
    return next(iter(dimension.columns))


# The title.


def _title(query: _Query) -> str:
    ask = query.ask
    figures = _list([label(m) for m in query.metrics])
    parts = [f"share of {figures}" if ask.share else figures]
    if ask.change:
        parts.append("with its change")
    if ask.dimensions:
        parts.append("by " + _list([label(d) for d in ask.dimensions]))
    for item in query.filters:
        link = "without" if item.exclude else "for"
        parts.append(f"{link} {label(item.choice.dimension)} {_list(item.choice.values)}")
    if ask.periods:
        parts[-1] += f", {_list([p.label for p in ask.periods])}"
    if ask.limit:
        parts.append(
            f"({'highest' if ask.order == 'desc' else 'lowest'} {ask.limit}{_each(query)})"
        )
    text = " ".join(parts)
    return text[0].upper() + text[1:]


def _shape(ask: Ask) -> str:
    """The template: which kinds of parts the question has."""
    parts = {
        "figure": True,
        "share": ask.share,
        "change": ask.change,
        "group": bool(ask.dimensions),
        "filter": bool(ask.conditions),
        "period": bool(ask.periods),
        "top or bottom": ask.limit is not None,
    }
    return ", ".join(name for name, used in parts.items() if used)


def _each(query: _Query) -> str:
    others = [label(d) for d in query.ask.dimensions if d is not query.ask.ranked]
    others += ["period"] if query.several else []
    return f" in each {_list(others)}" if others else ""


def _list(parts: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part)
