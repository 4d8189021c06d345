"""An `Ask` → SQL, and a sentence that says what it answers."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from retinue.offline.genie.ask import Ask, label, listed
from retinue.offline.genie.bind import Query, bound
from retinue.offline.genie.periods import whole
from retinue.offline.genie.space import Space
from retinue.offline.genie.sql import select


@dataclass(frozen=True, slots=True)
class Plan:
    """`title` is the question as it was understood, `shape` its parts; `notes` what was assumed."""

    sql: str
    title: str
    shape: str
    notes: tuple[str, ...]


def plan(ask: Ask, space: Space) -> Plan:
    """The SQL for a question. Raises RefusedError where its parts can't be combined."""
    ask = replace(ask, periods=tuple(sorted(ask.periods, key=lambda p: p.start)))
    query = bound(ask, space)
    notes = (*query.ask.notes, *(f.note for f in query.filters if f.note), *_caveats(query))
    return Plan(select(query), _title(query), _shape(query.ask), tuple(dict.fromkeys(notes)))


def _caveats(query: Query) -> Iterator[str]:
    """What has to be known to read the figures rightly."""
    grain = next((d.time for d in query.ask.dimensions if d.time), None)
    if query.ask.change:
        unit = grain or "period"
        yield f"a change is given only where there are figures for the {unit} right before"
    if grain and any(not whole(p, grain) for p in query.ask.periods):
        yield f"the period asked for cuts the first or last {grain} short"
    if any("DISTINCT" in metric.sql for metric in query.metrics):
        for item in query.filters:
            if len(item.choice.values) > 1 and not item.exclude:
                yield f"any of {listed(item.choice.values)} counts"


# The title.


def _title(query: Query) -> str:
    ask = query.ask
    figures = listed([label(m) for m in query.metrics])
    parts = [f"share of {figures}" if ask.share else figures]
    if ask.change:
        parts.append("with its change")
    if ask.dimensions:
        parts.append("by " + listed([label(d) for d in ask.dimensions]))
    for item in query.filters:
        link = "without" if item.exclude else "for"
        parts.append(f"{link} {label(item.choice.dimension)} {listed(item.choice.values)}")
    if ask.periods:
        parts[-1] += f", {listed([p.label for p in ask.periods])}"
    if ask.limit:
        by = f" by {label(query.ranking)}" if len(query.metrics) > 1 else ""
        rank = "highest" if ask.order == "desc" else "lowest"
        parts.append(f"({rank} {ask.limit}{by}{_each(query)})")
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


def _each(query: Query) -> str:
    others = [label(d) for d in query.ask.dimensions if d is not query.ask.ranked]
    others += ["period"] if query.several else []
    return f" in each {listed(others)}" if others else ""
