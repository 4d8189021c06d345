"""A space and its values → what each phrase of a question can mean."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import chain

from retinue.offline.genie.english import Rank, Role, ranks, roles
from retinue.offline.genie.space import Dimension, Metric, Reading, Space
from retinue.offline.genie.words import Word, stem, stems

_SHORTEST_TYPO = 4
_TYPO = 0.8


@dataclass(frozen=True, slots=True)
class Choice:
    """Values of a dimension that a phrase can stand for."""

    dimension: Dimension
    values: tuple[str, ...]
    partial: bool = False


@dataclass(slots=True)
class Meaning:
    """Everything one phrase can mean."""

    metric: Metric | None = None
    dimension: Dimension | None = None
    choices: list[Choice] = field(default_factory=list)
    reading: Reading | None = None
    rank: Rank | None = None
    role: Role | None = None


class Lexicon:
    """Phrases (as stems) → meanings; the longest phrase at a word wins."""

    def __init__(self, space: Space, values: Mapping[str, Iterable[str]]) -> None:
        self._meanings: dict[tuple[str, ...], Meaning] = {}
        for phrase, role in roles():
            self._at(phrase).role = role
        for phrase, rank in ranks():
            self._at(phrase).rank = rank
        self._add_space(space)
        for dimension in space.dimensions.values():
            self._add_values(dimension, values.get(dimension.name, ()))
        self._longest = max(map(len, self._meanings))

    def _at(self, phrase: str) -> Meaning:
        return self._meanings.setdefault(stems(phrase), Meaning())

    def _add_space(self, space: Space) -> None:
        for metric in space.metrics.values():
            for phrase in metric.words:
                self._at(phrase).metric = metric
        for dimension in space.dimensions.values():
            for phrase in dimension.words:
                self._at(phrase).dimension = dimension
        for reading in space.readings:
            for phrase in reading.words:
                self._at(phrase).reading = reading

    def _add_values(self, dimension: Dimension, values: Iterable[str]) -> None:
        if dimension.values is None:
            return
        spelled = _spellings(dimension, values)
        for phrase, value in spelled:
            self._at(phrase).choices.append(Choice(dimension, (value,)))
        if dimension.values.partial:
            for part, whole in _parts(value for _, value in spelled).items():
                meaning = self._meanings.setdefault((part,), Meaning())
                meaning.choices.append(Choice(dimension, whole, partial=True))

    def find(self, words: tuple[Word, ...], at: int) -> tuple[int, Meaning] | None:
        """The longest phrase that starts at word `at` → its length and meaning."""
        for length in range(min(self._longest, len(words) - at), 0, -1):
            meaning = self._meanings.get(tuple(w.stem for w in words[at : at + length]))
            if meaning:
                return length, meaning
        return None

    def closest(self, word: str) -> str | None:
        """The known word that a misspelled one is nearest to."""
        if len(word) < _SHORTEST_TYPO:
            return None
        singular = stem(word)
        if (singular,) in self._meanings:
            return None
        known = sorted(p[0] for p, m in self._meanings.items() if len(p) == 1 and not m.role)
        swapped = (k for k in known if sorted(k) == sorted(singular))
        return next(chain(swapped, get_close_matches(singular, known, n=1, cutoff=_TYPO)), None)


def _spellings(dimension: Dimension, values: Iterable[str]) -> list[tuple[str, str]]:
    """(phrase, value) pairs: each value by its own name, and its synonyms."""
    known = list(values)
    rules = dimension.values
    pairs = [(value, value) for value in known if stems(value)]
    for value, phrases in rules.synonyms.items() if rules else ():
        if not known or value in known:
            pairs += [(phrase, value) for phrase in phrases]
    return pairs


def _parts(values: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Each word of a value of several words → all values that have it."""
    parts: dict[str, list[str]] = {}
    for value, part in _words_of(dict.fromkeys(values)):
        parts.setdefault(part, []).append(value)
    return {part: tuple(dict.fromkeys(found)) for part, found in parts.items()}


def _words_of(values: Iterable[str]) -> Iterator[tuple[str, str]]:
    for value in values:
        names = stems(value)
        yield from ((value, stem) for stem in names if len(names) > 1)
