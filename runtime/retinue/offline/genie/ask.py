"""Figures, groups, conditions, periods and a ranking → what a question asks for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from retinue.offline.genie.lexicon import Choice
from retinue.offline.genie.periods import Period
from retinue.offline.genie.space import Dimension, Metric, Order


class RefusedError(Exception):
    """The question has no trusted reading; the text says why, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What is counted. The first of `metrics` whose table fits the question is taken."""

    metrics: tuple[Metric, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """Values to keep, or to leave out. `near` is the entity the question ties them to."""

    text: str
    choices: tuple[Choice, ...]
    exclude: bool = False
    near: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A question understood. `notes` say what was assumed. `ranked` is the group that `limit`
    applies to, `by` the figure that ranks; the other groups each get that many.
    """

    figures: tuple[Figure, ...] = ()
    dimensions: tuple[Dimension, ...] = ()
    conditions: tuple[Condition, ...] = ()
    periods: tuple[Period, ...] = ()
    order: Order | None = None
    limit: int | None = None
    ranked: Dimension | None = None
    by: Figure | None = None
    share: bool = False
    change: bool = False
    notes: tuple[str, ...] = ()


def joined(found: Sequence[tuple[int, Condition]]) -> list[Condition]:
    """Values of one dimension put together: side by side they narrow, in a list they add up."""
    joined: list[Condition] = []
    last = -2
    for n, condition in found:
        previous = joined[-1] if joined else None
        narrows = previous and n == last + 1
        last = n
        partner = next((c for c in joined if _alike(c, condition)), None)
        if partner is None:
            joined.append(condition)
            continue
        combined = _combine(partner, condition, narrows=bool(narrows and partner is previous))
        joined[joined.index(partner)] = combined
    return joined


def _alike(a: Condition, b: Condition) -> bool:
    names = {c.dimension.name for c in a.choices}
    return a.exclude == b.exclude and any(c.dimension.name in names for c in b.choices)


def _combine(a: Condition, b: Condition, *, narrows: bool) -> Condition:
    choices = []
    for one in a.choices:
        for other in b.choices:
            if one.dimension is not other.dimension:
                continue
            common = tuple(v for v in one.values if v in other.values)
            union = tuple(dict.fromkeys((*one.values, *other.values)))
            values = common if narrows else union
            if values:
                choices.append(Choice(one.dimension, values, one.partial or other.partial))
    if not choices:
        raise RefusedError(f'nothing here is both "{a.text}" and "{b.text}"')
    text = f"{a.text} {b.text}" if narrows else f"{a.text}, {b.text}"
    return Condition(text, tuple(choices), a.exclude, a.near or b.near)


def merged_conditions(old: Sequence[Condition], new: Sequence[Condition]) -> tuple[Condition, ...]:
    """A new condition replaces an old one on the same dimension."""
    kept = [o for o in old if not any(_alike(o, n) or _same(o, n) for n in new)]
    return (*kept, *(_like_before(n, old) for n in new))


def _same(a: Condition, b: Condition) -> bool:
    return a.choices[0].dimension is b.choices[0].dimension


def _like_before(condition: Condition, old: Sequence[Condition]) -> Condition:
    """After customers in Japan, "and in France?" means customers again."""
    for before in old:
        if condition.near is None and before.near is not None and _alike(before, condition):
            return replace(condition, near=before.near)
    return condition


def label(entry: Metric | Dimension) -> str:
    """A name as sentences write it."""
    return entry.name.replace("_", " ")


def listed(parts: Sequence[str]) -> str:
    """Parts as a sentence lists them: "a, b and c"."""
    return " and ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part)
