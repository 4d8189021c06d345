"""Items of a question → an `Ask`, or a refusal where it can be read in no way or in several."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from retinue.offline.genie.ask import Ask, Figure, RefusedError, label, merged_conditions
from retinue.offline.genie.english import Rank, Role
from retinue.offline.genie.lexicon import Lexicon
from retinue.offline.genie.nouns import Parts, figure, read_parts
from retinue.offline.genie.periods import Calendar, NoSuchPeriodError, Period
from retinue.offline.genie.scan import Dates, Item, neighbour, read_dates, scan
from retinue.offline.genie.space import Dimension, Metric, Order, Reading, Space
from retinue.offline.genie.spans import check_change, check_grains, with_equal_spans
from retinue.offline.genie.words import Word

DEFAULT_LIMIT = 10
MAX_LIMIT = 1_000
_BY = ("by", "split by", "split", "broken down by", "broken down", "break down", "grouped by")


def read(
    words: tuple[Word, ...],
    *,
    space: Space,
    lexicon: Lexicon,
    calendar: Calendar,
    previous: Ask | None,
) -> Ask:
    """The question's meaning; a follow-up is completed from `previous`. Raises RefusedError."""
    items = scan(words, lexicon)
    year = previous.periods[-1].start.year if previous and previous.periods else None
    try:
        dates = read_dates(items, calendar, year)
    except NoSuchPeriodError as error:
        raise RefusedError(str(error)) from None
    unknown = _unknown(items, dates)
    if unknown:
        raise RefusedError(_unknown_words(list(dict.fromkeys(unknown)), lexicon))
    meanings = [(n, item.meaning) for n, item in enumerate(items) if item.meaning]
    ranks = {n: m.rank for n, m in meanings if m.rank}
    readings = {n: m.reading for n, m in meanings if m.reading}
    parts = read_parts(items, space)
    return _Reader(items, parts, dates, space, previous, ranks, readings).ask()


def _unknown_words(texts: Sequence[str], lexicon: Lexicon) -> str:
    shown = ", ".join(f'"{text}"' for text in texts)
    meant = {text: lexicon.closest(text) for text in texts}
    hints = [f'did you mean "{word}" by "{text}"?' for text, word in meant.items() if word]
    reason = f"I don't know what {shown} means in this data"
    return f"{reason} ({' '.join(hints)})" if hints else reason


def _unknown(items: Sequence[Item], dates: Dates) -> list[str]:
    """Words without a meaning, and words that only mean something beside a date."""
    return [
        item.text
        for n, item in enumerate(items)
        if not item.known or item.has("unread") or (item.has("range") and n not in dates.used)
    ]


@dataclass(slots=True)
class _Reader:
    """One question's items and parts, made into an `Ask`."""

    items: tuple[Item, ...]
    parts: Parts
    dates: Dates
    space: Space
    previous: Ask | None
    ranks: dict[int, Rank]
    readings: dict[int, Reading]

    def ask(self) -> Ask:
        self._check_single()
        self._figures()
        order, limit, ranked = self._ranking()
        parts = self.parts
        ask = Ask(
            figures=tuple(parts.figures),
            dimensions=tuple(dict.fromkeys(d for _, d in parts.groups)),
            conditions=tuple(parts.conditions),
            periods=self._periods(),
            order=order,
            limit=limit,
            ranked=ranked,
            by=self._ranking_figure() if order else None,
            share=self._says("share"),
            change=self._says("change"),
            notes=(*parts.notes, *dict.fromkeys(self.dates.notes)),
        )
        return self._checked(self._merged(ask))

    def _says(self, *roles: Role) -> bool:
        return any(item.has(*roles) for item in self.items)

    def _check_single(self) -> None:
        """Refuse "revenue in Tokyo and units in Osaka": each figure has conditions of its own;
        and "customers who bought only cookies", for which each customer's purchases are needed.
        """
        if self.readings and any(item.text in ("only", "just") for item in self.items[1:]):
            raise RefusedError('I can\'t tell what "only" leaves out')
        places = sorted(self.parts.places)
        for first, last in pairwise(places):
            between = self.items[first + 1 : last]
            bound = any(i.moment or (i.meaning and i.meaning.choices) for i in between)
            if bound and any(i.has("and") for i in between):
                raise RefusedError("these are two questions; ask one after the other")

    # Figures: named ones, or a verb that is read as one, or the default of a ranking.

    def _figures(self) -> None:
        reading = next(iter(self.readings.values()), None)
        if self._says("how_many") and not self.parts.counted:
            self._count_values()
        elif self.parts.figures:
            self._check_reading(reading)
        elif reading:
            at = next(iter(self.readings))
            sold = reading.order is None and self._amount_of_values()
            metric = self.space.metrics[self.space.sold_count if sold else reading.metric]
            self._add(metric, f'"{self._phrase(at)}" is read as {label(metric)}')
        elif self.ranks and self.parts.groups:
            self._default()

    def _add(self, metric: Metric, note: str) -> None:
        self.parts.figures.append(figure(metric, self.space))
        self.parts.notes.append(note)

    def _default(self) -> None:
        """A ranking without a figure: "top 5 products"."""
        at, rank = next(iter(self.ranks.items()))
        if rank.of != "things":
            raise RefusedError(f'I can\'t tell what "{self.items[at].text}" ranks by')
        metric = self.space.metrics[self.space.rank_by]
        self._add(
            metric, f'no figure is named: "{self.items[at].text}" is read as by {label(metric)}'
        )

    def _check_reading(self, reading: Reading | None) -> None:
        """Refuse "revenue of the cheapest product": it ranks by one figure and shows another."""
        named = {m.name for f in self.parts.figures for m in f.metrics}
        if reading and reading.order and not reading.yields and reading.metric not in named:
            raise RefusedError("I can't rank by one figure and show another")

    def _amount_of_values(self) -> bool:
        """Whether values are counted in pieces: "sold the most cookies"."""
        after = [neighbour(self.items, n, 1) for n, r in self.ranks.items() if r.of == "amount"]
        return any(at is not None and self._tables(at) & {self.space.facts} for at in after)

    def _tables(self, at: int) -> set[str | None]:
        meaning = self.items[at].meaning
        return {choice.dimension.table for choice in meaning.choices} if meaning else set()

    def _count_values(self) -> None:
        """Count pieces in "how many cookies did we sell", customers in "how many women"."""
        at = next(n for n, item in enumerate(self.items) if item.has("how_many"))
        after = neighbour(self.items, at, 1)
        tables = self._tables(after) if after is not None else set()
        if self.space.facts in tables and self.readings:
            metric = self.space.metrics[self.space.sold_count]
        else:
            metric = self._entity_count(tables)
        text = self.items[after].text if after is not None else ""
        self._add(metric, f'"how many {text}" is read as {label(metric)}')

    def _entity_count(self, tables: set[str | None]) -> Metric:
        for metric in self.space.metrics.values():
            entity = self.space.dimensions.get(metric.entity or "")
            if entity and entity.table in tables and metric.table == entity.table:
                return metric
        raise RefusedError("I can't tell what is to be counted")

    def _phrase(self, n: int) -> str:
        """The reading's words with the ranking word beside them: "sold most"."""
        sides = (neighbour(self.items, n, 1), neighbour(self.items, n, -1))
        beside = [m for m in self.ranks if m in sides]
        return " ".join(self.items[m].text for m in sorted([n, *beside]))

    # Ranking: order, how many, and of what.

    def _ranking(self) -> tuple[Order | None, int | None, Dimension | None]:
        orders: set[Order] = {rank.order for rank in self.ranks.values()}
        if not orders:
            orders = {r.order for r in self.readings.values() if r.order}
        if len(orders) > 1:
            raise RefusedError("I can only rank one way at a time")
        numbers = [i.number for i in self.items if i.number is not None]
        for n, item in enumerate(self.items[:-1]):
            if item.number is not None and self.items[n + 1].has("share"):
                raise RefusedError(f"I can't pick the first {item.text} percent")
        if len(numbers) > 1 or (numbers and not orders):
            raise RefusedError(f"I can't tell what {', '.join(map(str, numbers))} stands for")
        if not orders:
            return None, None, None
        order = orders.pop()
        self._check_each()
        if self.ranks and all(r.of == "sort" for r in self.ranks.values()) and not numbers:
            return order, None, None
        at, ranked = self._ranked()
        return order, self._limit(numbers, at), ranked

    def _check_each(self) -> None:
        """Refuse "top 3 products by month": the top of each month, or of all months?"""
        _, ranked = self._ranked()
        sorting = all(r.of == "sort" for r in self.ranks.values()) and not self.readings
        for n, dimension in self.parts.groups:
            before = neighbour(self.items, n, -1)
            by = before is not None and self.items[before].text in _BY
            if by and not sorting and dimension is not ranked:
                name = label(dimension)
                raise RefusedError(f"I can't tell whether each {name} is ranked or all together")

    def _ranked(self) -> tuple[int | None, Dimension | None]:
        """The group that is ranked: the one after "which", a number or "top", else the first."""
        for n, dimension in self.parts.groups:
            at = neighbour(self.items, n, -1)
            if at is None:
                continue
            item = self.items[at]
            marked = item.number is not None or item.has("which")
            if marked or at in self.ranks or at in self.readings:
                return n, dimension
        return self.parts.groups[0] if self.parts.groups else (None, None)

    def _ranking_figure(self) -> Figure | None:
        """Of several figures, the one beside the ranking word or behind "by"."""
        figures, places = self.parts.figures, self.parts.places
        self._check_size()
        if len(figures) == 1:
            self._note_rank(figures[0].metrics[0])
        if len(figures) < 2:
            return figures[0] if figures else None
        metric = next((r.metric for r in self.readings.values() if r.order), None)
        found = [f for f in figures if metric in {m.name for m in f.metrics}]
        found += [f for n, f in places.items() if self._ranks(n)]
        found = found or [f for n, f in places.items() if self._follows_by(n)]
        if len(set(found)) != 1:
            raise RefusedError(f"I can't tell which of {_either(figures)} ranks")
        return found[0]

    def _note_rank(self, metric: Metric) -> None:
        """Say what "the top franchises" are the top of where another figure is shown of them."""
        placed = any(map(self._follows_by, self.parts.places)) or not self.parts.places
        for n, rank in self.ranks.items():
            if rank.of == "things" and not placed and metric.name != self.space.rank_by:
                text = self.items[n].text
                self.parts.notes.append(f'"{text}" is read as by {label(metric)}')

    def _check_size(self) -> None:
        """Refuse "revenue of the largest franchise", which has a size of its own."""
        groups = {n for n, dimension in self.parts.groups if not dimension.time}
        for n in (n for n, rank in self.ranks.items() if rank.of == "size"):
            at = neighbour(self.items, n, 1)
            while at is not None and self.items[at].number is not None:
                at = neighbour(self.items, at, 1)
            if at in groups and not any(map(self._follows_by, self.parts.places)):
                text = f"{self.items[n].text} {self.items[at or 0].text}"
                raise RefusedError(f'I can\'t tell what "{text}" is measured by')

    def _ranks(self, n: int) -> bool:
        """Whether a ranking word stands right before a figure, or sorts right behind it."""
        before, after = neighbour(self.items, n, -1), neighbour(self.items, n, 1)
        rank = self.ranks.get(-1 if before is None else before)
        sort = self.ranks.get(-1 if after is None else after)
        return bool(
            (rank and rank.of in ("amount", "figure", "size")) or (sort and sort.of == "sort")
        )

    def _follows_by(self, n: int) -> bool:
        """Whether it is the figure of "by units", alone."""
        before, after = neighbour(self.items, n, -1), neighbour(self.items, n, 1)
        listed = after is not None and self.items[after].has("and")
        return before is not None and self.items[before].text == "by" and not listed

    def _limit(self, numbers: Sequence[int | None], at: int | None) -> int:
        if numbers and numbers[0] is not None:
            if not 1 <= numbers[0] <= MAX_LIMIT:
                raise RefusedError(f"I can show the first 1 to {MAX_LIMIT}")
            return numbers[0]
        if at is not None and self.items[at].words[-1].plural:
            self.parts.notes.append(f"no number is named: the first {DEFAULT_LIMIT} are shown")
            return DEFAULT_LIMIT
        return 1

    def _periods(self) -> tuple[Period, ...]:
        """The periods; the two ends of a span where a comparison is asked for."""
        periods, ends = tuple(self.dates.periods), self.dates.ends
        timed = any(dimension.time for _, dimension in self.parts.groups)
        if ends and len(periods) == 1 and self._says("compare", "change") and not timed:
            return periods if ends[0].overlaps(ends[1]) else ends
        return periods

    # Follow-ups: what the question leaves out comes from the one before.

    def _merged(self, ask: Ask) -> Ask:
        old = self.previous
        if old is None or not self._follows(ask):
            return ask
        if replace(ask, notes=()) == Ask() and not self._says("total"):
            raise RefusedError("I can't tell what is asked")
        dimensions = ask.dimensions or (() if self._says("total") else old.dimensions)
        if self._says("also") and ask.dimensions:
            dimensions = tuple(dict.fromkeys((*old.dimensions, *ask.dimensions)))
        periods = ask.periods or old.periods
        if self._says("compare") and len(ask.periods) == 1 and len(old.periods) == 1:
            periods = (*old.periods, *ask.periods)
        ranked = ask.ranked or old.ranked
        return replace(
            ask,
            figures=ask.figures or old.figures,
            dimensions=dimensions,
            conditions=merged_conditions(old.conditions, ask.conditions),
            periods=periods,
            order=ask.order or old.order,
            limit=ask.limit or (old.limit if dimensions else None),
            by=ask.by or (None if ask.figures else old.by),
            ranked=ranked if ranked in dimensions else next(iter(dimensions), None),
            share=ask.share or old.share,
            change=ask.change or (old.change and len(periods) > 1),
        )

    def _follows(self, ask: Ask) -> bool:
        """Whether the question leans on the one before it."""
        first = self.items[0] if self.items else None
        leans = first is not None and (first.has("ask", "and", "also", "exclude"))
        return leans or self._says("instead", "also") or not ask.figures

    def _compares_value(self) -> bool:
        """Whether a value stands on one side of "versus"."""
        sides = [
            neighbour(self.items, n, step)
            for n, item in enumerate(self.items)
            if item.has("compare")
            for step in (-1, 1)
        ]
        found = [self.items[at].meaning for at in sides if at is not None]
        return any(meaning is not None and meaning.choices for meaning in found)

    def _checked(self, ask: Ask) -> Ask:
        if not ask.figures:
            raise RefusedError("I can't tell which figure is asked for")
        if ask.limit and not ask.dimensions:
            raise RefusedError("I can't tell what is to be ranked")
        if self._says("compare") and len(ask.periods) < 2:
            ask = _comparing_values(ask, beside=self._compares_value())
        if self._says("compare", "change"):
            ask = with_equal_spans(ask)
        spans = ask.periods
        if any(a.overlaps(b) for n, a in enumerate(spans) for b in spans[n + 1 :]):
            raise RefusedError("the periods overlap")
        timed = any(d.time for d in ask.dimensions)
        check_grains(ask)
        if ask.change:
            check_change(ask, timed=timed)
        return ask


def _either(figures: Sequence[Figure]) -> str:
    return " and ".join(label(f.metrics[0]) for f in figures)


def _comparing_values(ask: Ask, *, beside: bool) -> Ask:
    """Make groups of the values in "compare Japan and France"."""
    several = [c for c in ask.conditions if not c.exclude and len(c.choices[0].values) > 1]
    if len(several) == 1:
        dimension = several[0].choices[0].dimension
        return replace(ask, dimensions=tuple(dict.fromkeys((dimension, *ask.dimensions))))
    if ask.dimensions and not beside:
        return ask
    raise RefusedError("I can't tell what is compared with what")
