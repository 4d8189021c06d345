"""A refused question → the nearest trusted questions, by BM25 (Robertson and Zaragoza 2009)."""

import math
from collections import Counter
from collections.abc import Sequence

from retinue.offline.genie.words import stems

_K1, _B = 1.2, 0.75
# Below this a match shares only words that nearly every question has.
THRESHOLD = 1.0


class Nearest:
    """An index over questions; it suggests, and never answers."""

    def __init__(self, questions: Sequence[str]) -> None:
        self._questions = tuple(questions)
        self._counts = [Counter(stems(q)) for q in self._questions]
        self._mean = sum(c.total() for c in self._counts) / max(1, len(self._counts))
        self._containing = Counter(word for counts in self._counts for word in counts)

    def to(self, question: str, limit: int = 3) -> tuple[str, ...]:
        """At most `limit` questions, nearest first; the first ones where none is near."""
        wanted = set(stems(question))
        scored = [
            (self._score(wanted, c), q) for c, q in zip(self._counts, self._questions, strict=True)
        ]
        near = [(s, q) for s, q in scored if s >= THRESHOLD]
        ranked = [q for _, q in sorted(near, key=lambda pair: -pair[0])]
        return tuple(dict.fromkeys((*ranked, *self._questions)))[:limit]

    def _score(self, wanted: set[str], counts: Counter[str]) -> float:
        length = _K1 * (1 - _B + _B * counts.total() / (self._mean or 1))
        return sum(
            self._weight(word) * counts[word] * (_K1 + 1) / (counts[word] + length)
            for word in wanted
            if word in counts
        )

    def _weight(self, word: str) -> float:
        having = self._containing[word]
        return math.log(1 + (len(self._questions) - having + 0.5) / (having + 0.5))
