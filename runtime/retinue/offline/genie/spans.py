"""An `Ask` → the same with spans that can be compared, or a refusal where they can't."""

from dataclasses import replace

from retinue.offline.genie.ask import Ask, RefusedError
from retinue.offline.genie.periods import SHORTEST


def with_equal_spans(ask: Ask) -> Ask:
    """May 2024 compared with 2023 means May 2023; other spans of unequal length are noted."""
    if len(ask.periods) != 2:
        return ask
    one, other = sorted(ask.periods, key=lambda p: p.days)
    if one.as_long_as(other):
        return ask
    same = one.in_year_of(other)
    if same is not None:
        note = f"{other.label} is read as {same.label}, to compare equal spans"
        periods = tuple(same if p is other else p for p in ask.periods)
        return replace(ask, periods=periods, notes=(*ask.notes, note))
    lengths = " and ".join(f"{p.label} has {p.days} day{'s' * (p.days > 1)}" for p in ask.periods)
    return replace(ask, notes=(*ask.notes, f"the periods differ in length: {lengths}"))


def check_grains(ask: Ask) -> None:
    """Refuse "the week of 3 May", of which the day alone would be shown."""
    for grain in (d.time for d in ask.dimensions if d.time):
        for period in ask.periods:
            if period.days < SHORTEST[grain]:
                raise RefusedError(f"{period.label} is shorter than a {grain}")


def check_change(ask: Ask, *, timed: bool) -> None:
    """Refuse a change of nothing, of a share, or to rank by. Raises RefusedError."""
    if len(ask.periods) < 2 and not timed:
        raise RefusedError("I can't tell which periods are compared")
    if ask.limit or ask.order:
        raise RefusedError("I can't rank by a change")
    if ask.share:
        raise RefusedError("I can't give the change of a share")
