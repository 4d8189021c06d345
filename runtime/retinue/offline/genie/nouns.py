"""A question's items → its parts: named figures, groups and conditions.

"customers" is a figure in "how many customers", a group in "top 5 customers", and only says whose
country is meant in "revenue from customers in Japan".
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from retinue.offline.genie.ask import Condition, Figure, RefusedError, joined, label
from retinue.offline.genie.lexicon import Choice, Meaning
from retinue.offline.genie.scan import Item, neighbour
from retinue.offline.genie.space import Dimension, Metric, Space

_PLACES = ("in", "based in", "living in", "located in", "who live in")


@dataclass(slots=True)
class Parts:
    """`groups` are (item's index, dimension), `places` the index of each figure that is named;
    `counted`: "how many" is accounted for.
    """

    figures: list[Figure] = field(default_factory=list)
    places: dict[int, Figure] = field(default_factory=dict)
    groups: list[tuple[int, Dimension]] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counted: bool = False


def read_parts(items: Sequence[Item], space: Space) -> Parts:
    """The parts that the question names. Raises RefusedError."""
    reader = _Reader(items, space)
    reader.nouns()
    reader.values()
    return reader.parts


def figure(metric: Metric, space: Space) -> Figure:
    """The metric and those that are meant instead where its table can't be cut as asked."""
    chain = [metric]
    while chain[-1].over and space.metrics[chain[-1].over] not in chain:
        chain.append(space.metrics[chain[-1].over])
    return Figure(tuple(chain))


@dataclass(slots=True)
class _Reader:
    items: Sequence[Item]
    space: Space
    parts: Parts = field(default_factory=Parts)
    near: dict[int, str] = field(default_factory=dict)

    def nouns(self) -> None:
        nouns = [
            (n, i.meaning)
            for n, i in enumerate(self.items)
            if i.meaning and (i.meaning.metric or i.meaning.dimension)
        ]
        clear = any(m.metric and not m.dimension for _, m in nouns)
        clear = clear or any(i.meaning and i.meaning.reading for i in self.items)
        for n, meaning in nouns:
            if meaning.metric and meaning.dimension:
                self._ambiguous(n, meaning.metric, meaning.dimension, clear=clear)
                clear = clear or bool(self.parts.figures)
            elif meaning.metric:
                self._add_figure(n, meaning.metric)
            elif meaning.dimension:
                self._group(n, meaning.dimension)

    def _add_figure(self, n: int, metric: Metric) -> None:
        self._place(n, figure(metric, self.space))
        self.parts.counted = self.parts.counted or self._is_counted(n)

    def _place(self, n: int, found: Figure) -> None:
        self.parts.figures.append(found)
        self.parts.places[n] = found

    def _ambiguous(self, n: int, metric: Metric, dimension: Dimension, *, clear: bool) -> None:
        beside = self._says_whose(n, dimension)
        if self._is_counted(n) or self._follows_amount(n) or self._is_listed_with_figure(n):
            self._add_figure(n, metric)
        elif self._is_group(n) or self._is_sorted(n):
            self.parts.groups.append((n, dimension))
        elif not clear:
            self._add_figure(n, metric)
        elif not (beside or self._acts(n)):
            self.parts.groups.append((n, dimension))

    def _group(self, n: int, dimension: Dimension) -> None:
        if self._is_counted(n):
            self._count(n, dimension)
        elif not self._follows_amount(n):
            self.parts.groups.append((n, dimension))
        elif any(i.meaning and i.meaning.reading for i in self.items):
            text = self.items[n].text
            raise RefusedError(
                f'I can\'t tell whether "most {text}" counts {text} or what they sold'
            )
        else:
            self._count(n, dimension)

    def _count(self, n: int, dimension: Dimension) -> None:
        """How many different values: over the dimension's own table, or else over the facts."""
        self.parts.counted = True
        tables = dict.fromkeys((dimension.table or self.space.facts, self.space.facts))
        sql = f"COUNT(DISTINCT {dimension.key})"
        name = f"{dimension.name}_count"
        metrics = tuple(Metric(name=name, table=table, sql=sql, words=()) for table in tables)
        self._place(n, Figure(metrics))
        self.parts.notes.append(f"the different values of {label(dimension)} are counted")

    # What stands around a noun.

    def _meaning(self, at: int | None) -> Meaning:
        return (self.items[at].meaning if at is not None else None) or Meaning()

    def _before(self, n: int, *, over_ranks: bool = False) -> Item | None:
        """The item before a noun, values and numbers (and ranks) skipped."""
        at = neighbour(self.items, n, -1)
        while at is not None:
            meaning = self._meaning(at)
            skipped = meaning.choices or self.items[at].number is not None
            if not (skipped or (over_ranks and meaning.rank)):
                return self.items[at]
            at = neighbour(self.items, at, -1)
        return None

    def _is_counted(self, n: int) -> bool:
        before = self._before(n)
        return before is not None and before.has("how_many")

    def _follows_amount(self, n: int) -> bool:
        """Whether the noun is counted by the word before it: "most customers", "fewest cities"."""
        rank = self._meaning(neighbour(self.items, n, -1)).rank
        return rank is not None and rank.of == "amount"

    def _is_listed_with_figure(self, n: int) -> bool:
        """Whether it stands in "revenue and customers" rather than "customers and city"."""
        for step in (-1, 1):
            at = neighbour(self.items, n, step)
            if at is None or not self.items[at].has("and"):
                continue
            meaning = self._meaning(neighbour(self.items, at, step))
            if meaning.metric and not meaning.dimension:
                return not self._is_group(n)
        return False

    def _is_group(self, n: int) -> bool:
        before = self._before(n, over_ranks=True)
        if before is not None and before.has("group", "which"):
            return True
        at = neighbour(self.items, n, -1)
        rank, reading = self._meaning(at).rank, self._meaning(at).reading
        numbered = at is not None and self.items[at].number is not None
        return bool(numbered or (rank and rank.of == "things") or (reading and reading.order))

    def _is_sorted(self, n: int) -> bool:
        """Whether a figure sorts it: "franchises by revenue"."""
        at = neighbour(self.items, n, 1)
        by = at is not None and self.items[at].text in ("by", "sorted by", "ordered by")
        return by and at is not None and bool(self._meaning(neighbour(self.items, at, 1)).metric)

    def _acts(self, n: int) -> bool:
        """Whether a noun is only who does it: "how much do customers spend"."""
        return self._meaning(neighbour(self.items, n, 1)).reading is not None

    def _says_whose(self, n: int, dimension: Dimension) -> bool:
        """Whether a noun says whose value stands beside it: "customers in Japan"."""
        sides = [self._meaning(neighbour(self.items, n, step)).choices for step in (-1, 1)]
        if any(a.dimension is b.dimension for a in sides[0] for b in sides[1]):
            raise RefusedError(f"I can't tell which {self.items[n].text} are meant")
        for step in (1, -1):
            at = neighbour(self.items, n, step)
            tables = {choice.dimension.table for choice in self._meaning(at).choices}
            if at is not None and dimension.table in tables:
                self.near[at] = dimension.table or ""
                return True
            if at is not None and tables and step == 1 and self.items[at - 1].text in _PLACES:
                named, place = self.items[n].text, self.items[at].text
                raise RefusedError(f'I don\'t know which {named} are in "{place}"')
        return False

    # Values: "in Japan", "Visa or cash", "excluding cookies".

    def values(self) -> None:
        found: list[tuple[int, Condition]] = []
        for n, item in enumerate(self.items):
            meaning = self._meaning(n)
            if meaning.choices and not (meaning.dimension or meaning.metric):
                found.append((n, self._condition(n, item.text, tuple(meaning.choices))))
        self.parts.conditions = conditions = joined(found)
        self._check_exclusions(found)
        self._check_counts()
        self._check_negations()
        self._check_unions()
        self._check_crossed()
        names = {condition.choices[0].dimension.name for condition in conditions}
        if len(names) > 1 and any(item.has("or") for item in self.items):
            raise RefusedError('I can\'t combine different conditions with "or"')

    def _check_negations(self) -> None:
        """Refuse "customers who bought cookies and not brownies": rows can't tell that."""
        kept = [c for n in self.parts.conditions if not n.exclude for c in n.choices]
        for condition in self.parts.conditions:
            for left in condition.choices if condition.exclude else ():
                same = [c for c in kept if c.dimension is left.dimension]
                if any(set(c.values).isdisjoint(left.values) for c in same):
                    raise RefusedError(f'"{condition.text}" is not part of what is asked for')

    def _check_unions(self) -> None:
        """Refuse "Tokyo and France": it adds up for people and narrows for a filter."""
        for n, item in enumerate(self.items):
            if not item.has("and") or item.text == ",":
                continue
            sides = [self._meaning(neighbour(self.items, n, step)).choices for step in (-1, 1)]
            names = [{choice.dimension.name for choice in side} for side in sides]
            tables = [{choice.dimension.table for choice in side} for side in sides]
            if all(sides) and names[0].isdisjoint(names[1]) and tables[0] & tables[1]:
                raise RefusedError("I can't tell whether both conditions hold or either does")

    def _check_crossed(self) -> None:
        """Refuse "cookies in Tokyo and brownies in Osaka", which is no filter but two."""
        runs: list[tuple[str, set[str]]] = []
        for item in self.items:
            choices = item.meaning.choices if item.meaning else []
            kind = "" if item.moment else choices[0].dimension.name if choices else None
            if kind is None:
                continue
            if not runs or runs[-1][0] != kind:
                runs.append((kind, set()))
            runs[-1][1].add(item.text)
        split = {
            k
            for n, (k, texts) in enumerate(runs)
            if (k, texts) not in runs[:n] and any(k == other for other, _ in runs[:n])
        }
        if len(split) > 1:
            raise RefusedError("these are two questions; ask one after the other")

    def _check_counts(self) -> None:
        """Refuse "how many visa payment methods": a value of what is counted."""
        counted = {f"{c.dimension.name}_count" for n in self.parts.conditions for c in n.choices}
        if any(m.name in counted for figure in self.parts.figures for m in figure.metrics):
            raise RefusedError("I can't tell what is to be counted")

    def _check_exclusions(self, found: Sequence[tuple[int, Condition]]) -> None:
        """Each "without" must have a value right behind it."""
        places = {n for n, condition in found if condition.exclude}
        for n, item in enumerate(self.items):
            if item.has("exclude") and neighbour(self.items, n, 1) not in places:
                raise RefusedError("I can't tell what is to be left out")

    def _condition(self, n: int, text: str, choices: tuple[Choice, ...]) -> Condition:
        return Condition(text, choices, self._is_excluded(n), self.near.get(n))

    def _is_excluded(self, n: int) -> bool:
        """Whether "without" stands before a value or before the list that it belongs to."""
        names = {choice.dimension.name for choice in self._meaning(n).choices}
        at, listed = neighbour(self.items, n, -1), False
        while at is not None and self._continues_list(at):
            choices = self._meaning(at).choices
            if choices and names.isdisjoint(choice.dimension.name for choice in choices):
                if listed and self._is_excluded(at):
                    raise RefusedError(f'I can\'t tell whether "{self.items[n].text}" is left out')
                return False
            listed = not choices
            at = neighbour(self.items, at, -1)
        return at is not None and self.items[at].has("exclude")

    def _continues_list(self, at: int) -> bool:
        return self.items[at].has("and", "or") or bool(self._meaning(at).choices)
