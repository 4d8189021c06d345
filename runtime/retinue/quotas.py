"""Texts such as 60/minute → amounts for windows of time, which are the same for every process."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from retinue.errors import ConfigurationError

Kind = Literal["rate", "tokens", "usd"]
KINDS: tuple[Kind, ...] = ("rate", "tokens", "usd")

_FORM = re.compile(
    r"\s*([0-9]+(?:\.[0-9]+)?)\s*(?:/|\s+per\s+)\s*(?:([0-9]+)\s*)?([a-z]+?)s?\s*", re.IGNORECASE
)
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_MONTHS = {"month": 1, "year": 12}
_MOST = 10**15
_MOST_USD = 10**9
_LONGEST = 1000
NANO = 10**9
"""Dollars are counted in billionths, as whole numbers: sums of fractions drift."""

_EXAMPLES = {
    "rate": ("a rate", "a number and a time, such as 60/minute"),
    "tokens": ("a number of tokens for a time", "both, such as 1000000/day"),
    "usd": ("an amount of dollars for a time", "both, such as 5.00/day"),
}


class QuotaError(ConfigurationError):
    """A limit for callers can't be read."""


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time: its number among those of its length, and its end in Unix seconds."""

    index: int
    end: float


@dataclass(frozen=True, slots=True)
class Quota:
    """`amount` (dollars in billionths) for each `count` times a `unit`."""

    kind: Kind
    amount: int
    count: int
    unit: str

    @property
    def span(self) -> str:
        """In words: `minute`, `2 hours`."""
        return self.unit if self.count == 1 else f"{self.count} {self.unit}s"

    def window(self, now: float) -> Window:
        """The one that a moment is in: they begin with the Unix epoch, those of months and years
        with a calendar's, in UTC.
        """
        if self.unit in _SECONDS:
            seconds = self.count * _SECONDS[self.unit]
            index = int(now // seconds)
            return Window(index, float((index + 1) * seconds))
        months = self.count * _MONTHS[self.unit]
        day = datetime.fromtimestamp(now, UTC)
        index = (day.year * 12 + day.month - 1) // months
        year, month = divmod((index + 1) * months, 12)
        return Window(index, datetime(year, month + 1, 1, tzinfo=UTC).timestamp())


def quota(kind: Kind, text: str) -> Quota:
    """A number, which may have a fraction where it is of dollars, and second, minute, hour, day,
    month or year, or several of one. Raises QuotaError.
    """
    what, how = _EXAMPLES[kind]
    found = _FORM.fullmatch(text)
    unit = found[3].lower() if found else ""
    if found is None or (unit not in _SECONDS and unit not in _MONTHS):
        raise QuotaError(f"'{text[:100]}' is not {what}: write {how}")
    number, _, fraction = found[1].partition(".")
    most = _MOST_USD if kind == "usd" else _MOST
    if fraction and kind != "usd":
        raise QuotaError(f"'{text[:100]}' is not {what}: '{found[1][:50]}' is no whole number")
    if len(fraction) > 9 or len(number) > 16 or int(number) > most:
        raise QuotaError(f"'{text[:100]}' is not {what}: the number has too many digits")
    amount = int(number)
    if kind == "usd":
        amount = amount * NANO + int(fraction.ljust(9, "0"))
    if not amount:
        raise QuotaError(f"'{text[:100]}' lets nothing through: write {how}")
    if len(found[2] or "") > 4 or not 1 <= int(found[2] or "1") <= _LONGEST:
        raise QuotaError(f"'{text[:100]}' is not {what}: write 1 to {_LONGEST} {unit}s")
    return Quota(kind, amount, int(found[2] or "1"), unit)
