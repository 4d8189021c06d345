"""A bound question → one SELECT for DuckDB and Databricks alike.

Nothing in it comes from the question's own words: names are the space's, values the data's.
"""

import re
from collections.abc import Iterator, Sequence

from retinue.offline.genie.ask import RefusedError, label, listed
from retinue.offline.genie.bind import Filter, Query
from retinue.offline.genie.periods import Period
from retinue.offline.genie.space import Dimension, Metric, Space


def select(query: Query) -> str:
    """The question's SQL. Raises RefusedError for a share that makes no sense."""
    ask = query.ask
    columns = list(_columns(query))
    lines = [f"SELECT {_comma(f'{sql} AS {name}' for name, sql in columns)}", *_from(query)]
    where = [*_conditions(query), *_dates(query)]
    if where:
        lines.append("WHERE " + "\n  AND ".join(where))
    keys = [sql for name, sql in _keys(query)]
    if keys:
        lines.append("GROUP BY " + ", ".join(keys))
    if ask.limit:
        lines.append(_best_of_each(query))
    if keys:
        lines.append("ORDER BY " + ", ".join(_ordering(query)))
    return "\n".join(lines)


def _comma(parts: "Iterator[str]") -> str:
    return ",\n  ".join(parts)


def _columns(query: Query) -> Iterator[tuple[str, str]]:
    yield from _keys(query)
    for metric in query.metrics:
        if query.ask.share and not query.ask.dimensions and not query.several:
            continue
        yield metric.name, query.aggregate(metric)
    if query.ask.share:
        yield _share(query)
    if query.ask.change:
        yield from _changes(query)


def _keys(query: Query) -> Iterator[tuple[str, str]]:
    for dimension in query.ask.dimensions:
        for name, sql in dimension.columns.items():
            yield name, query.expression(sql)
    if query.several:
        yield "period", _period_label(query)


def _own_columns(query: Query) -> Sequence[str]:
    ranked = query.ask.ranked
    return list(ranked.columns) if ranked else []


def _period_label(query: Query) -> str:
    whens = " ".join(f"WHEN {_within(query, p)} THEN '{p.label}'" for p in query.ask.periods)
    return f"CASE {whens} END"


def _within(query: Query, period: Period) -> str:
    return f"{query.time} >= DATE '{period.start}' AND {query.time} < DATE '{period.end}'"


def _from(query: Query) -> list[str]:
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


def _mentioned(metric: Metric, query: Query) -> Iterator[str]:
    """The tables whose columns a figure is made of: not always its own alone."""
    aliases = set(re.findall(r"\b(\w+)\.", metric.sql))
    return (name for name in query.paths if query.space.tables[name].alias in aliases)


def table(space: Space, name: str) -> str:
    """A table as FROM names it: `samples.bakehouse.sales_transactions t`."""
    return f"{space.catalog}.{space.schema}.{name} {space.tables[name].alias}"


def _conditions(query: Query) -> Iterator[str]:
    single = _single_share(query)
    for item in query.filters:
        if item is not single:
            yield _condition(query, item)


def _condition(query: Query, item: Filter) -> str:
    sql = query.expression(item.choice.dimension.key)
    values = ", ".join(_literal(v) for v in item.choice.values)
    if len(item.choice.values) == 1:
        return f"{sql} {'<>' if item.exclude else '='} {values}"
    return f"{sql} {'NOT IN' if item.exclude else 'IN'} ({values})"


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _dates(query: Query) -> Iterator[str]:
    spans = [_within(query, p) for p in query.ask.periods]
    if len(spans) == 1:
        yield spans[0]
    elif spans:
        yield "(" + " OR ".join(f"({span})" for span in spans) + ")"


def _single_share(query: Query) -> Filter | None:
    """The condition whose share is asked for, where there are no groups to take shares of."""
    if not query.ask.share or query.ask.dimensions:
        return None
    if len(query.filters) != 1:
        raise RefusedError("I can't tell what the share is of: name one group or one value")
    return query.filters[0]


def _share(query: Query) -> tuple[str, str]:
    if len(query.metrics) != 1 or not query.metrics[0].additive:
        raise RefusedError(f"a share of {listed([label(m) for m in query.metrics])} makes no sense")
    sql = query.aggregate(query.metrics[0])
    single = _single_share(query)
    if single:
        part = f"{sql} FILTER (WHERE {_condition(query, single)})"
        return "share_percent", f"CAST(100.0 * {part} / {sql} AS DECIMAL(9, 2))"
    whole = f"SUM({sql}) OVER ({_partition(['period'] if query.several else [], query)})"
    return "share_percent", f"CAST(100.0 * {sql} / {whole} AS DECIMAL(9, 2))"


def _partition(names: Sequence[str], query: Query) -> str:
    keys = dict(_keys(query))
    return "PARTITION BY " + ", ".join(keys[n] for n in names) if names else ""


def _changes(query: Query) -> Iterator[tuple[str, str]]:
    """Each figure against the period right before it; NULL where that period has no row."""
    timed = {name for d in query.ask.dimensions if d.time for name in d.columns}
    groups = [name for name, _ in _keys(query) if name not in timed and name != "period"]
    window = f"{_partition(groups, query)} ORDER BY MIN({query.time})".strip()
    here, step = _place(query)
    adjacent = f"LAG({here}) OVER ({window}) + {step} = {here}"
    for metric in query.metrics:
        sql = query.aggregate(metric)
        before = f"LAG({sql}) OVER ({window})"
        yield f"{metric.name}_change", f"CASE WHEN {adjacent} THEN {sql} - {before} END"
        ratio = f"CAST(100.0 * ({sql} - {before}) / NULLIF({before}, 0) AS DECIMAL(18, 2))"
        yield f"{metric.name}_change_percent", f"CASE WHEN {adjacent} THEN {ratio} END"


_STEPS = {
    "day": "INTERVAL '1' DAY",
    "week": "INTERVAL '7' DAY",
    "month": "INTERVAL '1' MONTH",
    "quarter": "INTERVAL '3' MONTH",
    "year": "INTERVAL '12' MONTH",
}


def _place(query: Query) -> tuple[str, str]:
    """Where a row stands in time, and how far it is to the next one."""
    grains = [d.time for d in query.ask.dimensions if d.time]
    if len(grains) > 1:
        raise RefusedError(f"I can't tell whether the change is by {' or by '.join(grains)}")
    if grains:
        return f"DATE_TRUNC('{grains[0].upper()}', MIN({query.time}))", _STEPS[grains[0]]
    return _sequence(query, "period"), "1"


def _best_of_each(query: Query) -> str:
    """The first groups; all of those that tie for the last place."""
    own = _own_columns(query)
    groups = [name for name, _ in _keys(query) if name not in own]
    order = f"ORDER BY {query.aggregate(query.ranking)} {_direction(query)}"
    window = f"{_partition(groups, query)} {order}".strip()
    return f"QUALIFY RANK() OVER ({window}) <= {query.ask.limit}"


def _direction(query: Query) -> str:
    return "ASC" if query.ask.order == "asc" else "DESC"


def _ordering(query: Query) -> Iterator[str]:
    """Ranked groups by figure; periods and ordered groups in their order; others by figure."""
    ask = query.ask
    by_figure = f"{query.ranking.name} {_direction(query)}"
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


def _sequence(query: Query, name: str) -> str:
    """A key to sort groups by; periods sort by time, not by their label."""
    if name != "period":
        return name
    ends = [p.end for p in query.ask.periods[:-1]]
    whens = " ".join(f"WHEN {query.time} < DATE '{end}' THEN {n}" for n, end in enumerate(ends, 1))
    return f"MIN(CASE {whens} ELSE {len(ends) + 1} END)"


def _ordered(query: Query, dimension: Dimension) -> str:
    if dimension.order:
        return f"MIN({query.expression(dimension.order)})"
    return next(iter(dimension.columns))
