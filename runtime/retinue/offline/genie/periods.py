"""Words such as "May 2024" or "last 3 months" → a `Moment` → the days it means in this data."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Literal

from retinue.offline.genie.words import number

Grain = Literal["day", "month", "quarter", "half", "year", "last"]

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_MONTH_OF = {name.lower(): n for n, name in enumerate(MONTHS, 1)} | {
    name[:3].lower(): n for n, name in enumerate(MONTHS, 1)
}
_MONTH_OF["sept"] = 9
_ORDINALS = {
    "first": 1,
    "1st": 1,
    "second": 2,
    "2nd": 2,
    "third": 3,
    "3rd": 3,
    "fourth": 4,
    "4th": 4,
}

_MONTH = rf"(?P<month>{'|'.join(sorted(_MONTH_OF, key=len, reverse=True))})"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?:(?: of| in)? (?P<year>\d{4}))?"
_ORDINAL = rf"(?P<ordinal>{'|'.join(_ORDINALS)})"
_COUNT = r"(?P<count>\d{1,3}|[a-z]+)"
_UNIT = r"(?P<unit>day|week|month|quarter|year)"
# Tried in this order at each word; the first that fits wins.
_SHAPES: tuple[tuple[Grain, re.Pattern[str]], ...] = tuple(
    (grain, re.compile(rf"(?:the )?{shape}(?![^ ])"))  # type: ignore[misc]
    for grain, shape in (
        ("day", r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})"),
        ("month", r"(?P<year>\d{4})-(?P<month>\d{2})"),
        ("day", rf"{_DAY} (?:of )?{_MONTH}{_YEAR}"),
        ("day", rf"{_MONTH} (?:the )?{_DAY}{_YEAR}"),
        ("month", rf"(?:month of )?{_MONTH}{_YEAR}"),
        ("quarter", r"q(?P<part>[1-4]) (?P<year>\d{2})"),
        ("quarter", rf"q(?P<part>[1-4]){_YEAR}"),
        ("quarter", r"(?P<year>\d{4}) q(?P<part>[1-4])"),
        ("quarter", rf"{_ORDINAL} quarter{_YEAR}"),
        ("half", r"h(?P<part>[12]) (?P<year>\d{2})"),
        ("half", rf"h(?P<part>[12]){_YEAR}"),
        ("half", r"(?P<year>\d{4}) h(?P<part>[12])"),
        ("half", rf"(?P<ordinal>first|second|1st|2nd) half{_YEAR}"),
        ("month", r"(?P<final>last|final) month (?:of|in) (?P<year>\d{4})"),
        ("quarter", r"(?P<final>last|final) quarter (?:of|in) (?P<year>\d{4})"),
        ("half", r"(?P<final>last|final) half (?:of|in) (?P<year>\d{4})"),
        ("year", r"(?:year )?(?P<year>(?:19|20|21)\d{2})"),
        (
            "last",
            rf"(?:last|latest|most recent) {_UNIT}(?: (?:of|in) (?:the )?data)?",
        ),
        ("last", rf"(?:last|latest|past) {_COUNT} {_UNIT}s"),
    )
)
_LONGEST = 7
SHORTEST = {"day": 1, "week": 7, "month": 28, "quarter": 90, "year": 365}
"""The days that each grain has at least."""
_SHORT = re.compile(rf"{_MONTH} \d\d")


@dataclass(frozen=True, slots=True)
class Moment:
    """A period as it was written: `year` may be missing. `part` is the month, quarter or half
    within the year, `day` the day of the month; "last `count` `unit`" counts from the data's end.
    """

    grain: Grain
    text: str
    year: int | None = None
    part: int = 0
    day: int = 0
    unit: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True)
class Period:
    """Days from `start` up to, not including, `end`."""

    start: date
    end: date
    label: str

    def overlaps(self, other: "Period") -> bool:
        return self.start < other.end and other.start < self.end

    @property
    def days(self) -> int:
        return (self.end - self.start).days

    def as_long_as(self, other: "Period") -> bool:
        """Whether both have as many days, or both as many whole months."""
        months = [_months(p) for p in (self, other) if whole(p, "month")]
        return self.days == other.days or (len(months) == 2 and months[0] == months[1])

    def in_year_of(self, other: "Period") -> "Period | None":
        """The same days in another year, where `other` is a whole year and this lies in one."""
        last = self.end - timedelta(days=1)
        by = other.start.year - self.start.year
        if by == 0 or last.year != self.start.year or not whole(other, "year"):
            return None
        if _months(other) != 12 or (2, 29) in [(d.month, d.day) for d in (self.start, self.end)]:
            return None
        start, end = (d.replace(year=d.year + by) for d in (self.start, self.end))
        return Period(start, end, _span(start, end))


class NoSuchPeriodError(ValueError):
    """A day that the calendar doesn't have, or a period outside the data; says which."""


def read_moment(texts: Sequence[str], at: int) -> tuple[int, Moment] | None:
    """The moment that starts at word `at` → how many words it takes, and the moment."""
    window = texts[at : at + _LONGEST]
    if "," in window:
        window = [t for t in window if t != ","]
    joined = " ".join(window)
    for grain, shape in _SHAPES:
        found = shape.match(joined)
        moment = _moment(grain, found) if found else None
        if found and moment:
            return _length(texts, at, found[0]), moment
    return None


def _length(texts: Sequence[str], at: int, matched: str) -> int:
    """Words taken, counting the commas that were skipped on the way."""
    wanted, taken = len(matched.split()), 0
    for length, text in enumerate(texts[at:], 1):
        taken += text != ","
        if taken == wanted:
            return length
    return wanted


def _moment(grain: Grain, found: re.Match[str]) -> Moment | None:
    groups = {k: v for k, v in found.groupdict().items() if v is not None}
    year = int(groups["year"]) if "year" in groups else None
    year = year + 2000 if year is not None and year < 100 else year
    if grain == "last":
        count = number(groups.get("count", "1"))
        return Moment(grain, found[0], unit=groups["unit"], count=count) if count else None
    if "part" in groups:
        part = int(groups["part"])
    elif "final" in groups:
        part = {"month": 12, "quarter": 4, "half": 2}[grain]
    elif "ordinal" in groups:
        part = _ORDINALS[groups["ordinal"]]
    else:
        part = _month_number(groups.get("month", "0"))
    return Moment(grain, found[0], year, part, int(groups.get("day", 0)))


def _month_number(text: str) -> int:
    return _MONTH_OF.get(text) or (int(text) if text.isdigit() else 0)


@dataclass(frozen=True, slots=True)
class Calendar:
    """The days the data covers, both included."""

    first: date
    last: date

    @property
    def text(self) -> str:
        return f"{show(self.first)} to {show(self.last)}"

    @property
    def all(self) -> Period:
        return Period(self.first, self.last + timedelta(days=1), self.text)

    def resolve(self, moment: Moment) -> tuple[Period, str | None]:
        """The days that are meant, and a note where something had to be assumed.

        Raises NoSuchPeriodError for a day that doesn't exist and a period outside the data.
        """
        if moment.grain == "last":
            return self._last(moment)
        assumed = moment.year is None
        years = range(self.first.year % 100, self.last.year % 100 + 1)
        if assumed and _SHORT.fullmatch(moment.text) and moment.day in years:
            raise NoSuchPeriodError(f'I can\'t tell whether "{moment.text}" names a day or a year')
        period = self._latest(moment) if assumed else _days(moment)
        note = f'"{moment.text}" is read as {period.label}, the latest in the data'
        if not period.overlaps(self.all):
            raise NoSuchPeriodError(
                f"{period.label} lies outside the data, which covers {self.text}"
            )
        return period, note if assumed else None

    def _latest(self, moment: Moment) -> Period:
        for year in range(self.last.year, self.first.year, -1):
            period = _days(replace(moment, year=year))
            if period.start <= self.last:
                return period
        return _days(replace(moment, year=self.first.year))

    def _last(self, moment: Moment) -> tuple[Period, str]:
        end = self.last + timedelta(days=1)
        if moment.unit in ("day", "week"):
            days = moment.count * (7 if moment.unit == "week" else 1)
            start = end - timedelta(days=days)
        else:
            months = moment.count * {"month": 1, "quarter": 3, "year": 12}[moment.unit]
            # A period that the data breaks off in still counts as the last one.
            end = _end_of(self.last, moment.unit)
            start = _shift(end, -months)
        period = Period(start, end, _span(start, end))
        if start < self.first:
            raise NoSuchPeriodError(
                f"{moment.text} reaches back before the data, which covers {self.text}"
            )
        return period, f'"{moment.text}" is read as {period.label}, the last in the data'

    def between(self, start: Period | None, end: Period | None) -> Period:
        """From the start of one period to the end of another; None is the data's own bound."""
        first = start.start if start else self.first
        last = end.end if end else self.all.end
        if last <= first:
            raise NoSuchPeriodError("the period ends before it starts")
        return Period(first, last, _span(first, last))

    def covers(self, period: Period) -> bool:
        return self.first <= period.start and period.end <= self.all.end


def _days(moment: Moment) -> Period:
    year = moment.year or 0
    try:
        if moment.grain == "day":
            start = date(year, moment.part, moment.day)
            return Period(start, start + timedelta(days=1), show(start))
        months = {"month": 1, "quarter": 3, "half": 6, "year": 12}[moment.grain]
        start = date(year, 1 + months * max(0, moment.part - 1), 1)
    except ValueError:
        raise NoSuchPeriodError(f'there is no such date as "{moment.text}"') from None
    end = _shift(start, months)
    return Period(start, end, _span(start, end))


def _months(period: Period) -> int:
    return (period.end.year - period.start.year) * 12 + period.end.month - period.start.month


def _shift(day: date, months: int) -> date:
    index = day.year * 12 + day.month - 1 + months
    return date(index // 12, index % 12 + 1, 1)


def _end_of(day: date, unit: str) -> date:
    size = {"month": 1, "quarter": 3, "year": 12}[unit]
    return _shift(date(day.year, (day.month - 1) // size * size + 1, 1), size)


def whole(period: Period, unit: str) -> bool:
    """Whether a period is made of whole weeks, months, quarters or years."""
    if unit in ("day", "week"):
        return unit == "day" or period.start.weekday() == period.end.weekday() == 0
    size = {"month": 1, "quarter": 3, "year": 12}[unit]
    return all(d.day == 1 and (d.month - 1) % size == 0 for d in (period.start, period.end))


def show(day: date) -> str:
    """A day as answers write it: 3 May 2024."""
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def _span(start: date, end: date) -> str:
    """The shortest name of the days: a month, a quarter, a year, or "A to B"."""
    last = end - timedelta(days=1)
    if last == start:
        return show(start)
    if start.day == 1 and end.day == 1:
        months = (end.year - start.year) * 12 + end.month - start.month
        if months == 1:
            return f"{MONTHS[start.month - 1]} {start.year}"
        if months == 3 and start.month % 3 == 1:
            return f"Q{(start.month + 2) // 3} {start.year}"
        if months == 12 and start.month == 1:
            return str(start.year)
        return f"{MONTHS[start.month - 1]} {start.year} to {MONTHS[last.month - 1]} {last.year}"
    return f"{show(start)} to {show(last)}"
