"""A question's words → items: phrases that mean something here, moments, numbers, unknown words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from retinue.offline.genie.english import Role
from retinue.offline.genie.lexicon import Lexicon, Meaning
from retinue.offline.genie.periods import Calendar, Moment, NoSuchPeriodError, Period, read_moment
from retinue.offline.genie.words import Word, number

_PASSED_OVER: frozenset[Role] = frozenset({"stop", "link", "from"})


@dataclass(frozen=True, slots=True)
class Item:
    """A phrase of the question: exactly one of `meaning`, `moment` and `number`, or none of them
    where the words mean nothing here.
    """

    words: tuple[Word, ...]
    meaning: Meaning | None = None
    moment: Moment | None = None
    number: int | None = None

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    @property
    def known(self) -> bool:
        return self.meaning is not None or self.moment is not None or self.number is not None

    def has(self, *roles: Role) -> bool:
        return self.meaning is not None and self.meaning.role in roles

    @property
    def silent(self) -> bool:
        """Whether it says nothing by itself."""
        m = self.meaning
        plain = m and not (m.metric or m.dimension or m.choices or m.reading or m.rank)
        return bool(plain and m and m.role in _PASSED_OVER)


def scan(words: tuple[Word, ...], lexicon: Lexicon) -> tuple[Item, ...]:
    """Every word of the question in exactly one item, in order."""
    return tuple(_items(words, lexicon))


def _items(words: tuple[Word, ...], lexicon: Lexicon) -> Iterator[Item]:
    texts = [word.text for word in words]
    at = 0
    while at < len(words):
        phrase = lexicon.find(words, at)
        moment = read_moment(texts, at)
        if moment and (phrase is None or moment[0] >= phrase[0]):
            length, item = moment[0], Item(words[at : at + moment[0]], moment=moment[1])
        elif phrase:
            length, item = phrase[0], Item(words[at : at + phrase[0]], meaning=phrase[1])
        else:
            length, item = 1, Item(words[at : at + 1], number=number(texts[at]))
        yield item
        at += length


def neighbour(items: Sequence[Item], at: int, step: int) -> int | None:
    """The index of the nearest item before (-1) or after (1) `at` that isn't silent."""
    at += step
    while 0 <= at < len(items):
        if not items[at].silent:
            return at
        at += step
    return None


@dataclass(slots=True)
class Dates:
    """The periods a question names. `pairs`: A and B were given as the two ends of one span."""

    periods: list[Period]
    notes: list[str]
    used: set[int]
    ends: tuple[Period, Period] | None = None


def read_dates(items: Sequence[Item], calendar: Calendar, year: int | None) -> Dates:
    """The moments as periods, spans such as "from May to June" put together.

    `year` is what a month without one means when the question names none. Raises
    NoSuchPeriodError.
    """
    dates = Dates([], [], set())
    at = 0
    _check_nested(items)
    filled = _with_years(items, year)
    while at < len(items):
        at = _read_at(items, at, filled, calendar, dates)
    for period in dates.periods:
        if not calendar.covers(period):
            dates.notes.append(f"the data covers only {calendar.text}")
    return dates


def _check_nested(items: Sequence[Item]) -> None:
    """Refuse "the last week of May", a period within another."""
    for first, link, last in zip(items, items[1:], items[2:], strict=False):
        if first.moment and last.moment and link.text in ("of", "in", "on", "within", "during"):
            text = f"{first.text} {link.text} {last.text}"
            raise NoSuchPeriodError(f'I can\'t read "{text}" as one period')


def _with_years(items: Sequence[Item], year: int | None) -> dict[int, Moment]:
    """The moments by index; one without a year takes that of the next, or the last before it."""
    moments = {n: item.moment for n, item in enumerate(items) if item.moment}
    known = [(n, m.year) for n, m in moments.items() if m.year is not None]
    filled: dict[int, Moment] = {}
    for n, moment in moments.items():
        if moment.year is not None or moment.grain == "last":
            filled[n] = moment
            continue
        after = [y for m, y in known if m > n]
        before = [y for m, y in known if m < n]
        guess = after[0] if after else before[-1] if before else year
        filled[n] = Moment(moment.grain, moment.text, guess, moment.part, moment.day)
    return filled


def _read_at(
    items: Sequence[Item], at: int, moments: dict[int, Moment], calendar: Calendar, dates: Dates
) -> int:
    """Read a moment or span that starts at `at`, if one does; the index to go on from."""
    word = items[at].text
    is_opening = items[at].has("range", "from") and at + 1 in moments
    first = at + 1 if is_opening else at
    if first not in moments:
        return at + 1
    start = _resolve(moments[first], calendar, dates)
    dates.used.add(at)
    middle = first + 1
    if _joins(items, middle, word if is_opening else "") and middle + 1 in moments:
        end = _resolve(moments[middle + 1], calendar, dates)
        dates.ends = (start, end)
        dates.periods.append(calendar.between(start, end))
        dates.used |= {middle}
        return middle + 2
    if middle < len(items) and items[middle].text in ("onwards", "onward"):
        dates.used.add(middle)
        word, is_opening, middle = "since", True, middle + 1
    dates.periods.append(_open(word, start, calendar) if is_opening else start)
    return middle


def _resolve(moment: Moment, calendar: Calendar, dates: Dates) -> Period:
    period, note = calendar.resolve(moment)
    if note and note not in dates.notes:
        dates.notes.append(note)
    return period


def _joins(items: Sequence[Item], at: int, opening: str) -> bool:
    """Whether the item links the two ends of a span."""
    if at >= len(items):
        return False
    if opening == "between":
        return items[at].text == "and"
    return items[at].text in ("to", "until", "till", "through", "thru", "up to")


def _open(word: str, period: Period, calendar: Calendar) -> Period:
    """A span with one end: since, after, before, until."""
    if word == "since":
        return calendar.between(period, None)
    if word == "after":
        rest = Period(period.end, calendar.all.end, "")
        return calendar.between(rest, None)
    if word in ("before", "prior to"):
        return calendar.between(None, Period(calendar.first, period.start, ""))
    if word in ("until", "till", "through", "thru", "up to"):
        return calendar.between(None, period)
    if word == "between":
        raise NoSuchPeriodError('"between" needs two periods')
    return period
