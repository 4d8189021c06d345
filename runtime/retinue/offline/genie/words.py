"""A question's text → comparable words: folded, without accents, singular."""

import re
import unicodedata
from dataclasses import dataclass

_TOKEN = re.compile(r"\d{4}-\d{2}(?:-\d{2})?|[^\W_]+|[%,<>=≥≤&$¢£¤¥₩€₹]", re.UNICODE)
_SHORT_YEAR = re.compile("['\N{RIGHT SINGLE QUOTATION MARK}](?=\\d\\d\\b)")
_POSSESSIVE = re.compile(
    "['\N{RIGHT SINGLE QUOTATION MARK}]s\\b|['\N{RIGHT SINGLE QUOTATION MARK}]"
)
_NUMBERS = {
    word: n
    for n, word in enumerate(
        (
            "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
            "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen",
            "eighteen", "nineteen", "twenty",
        )
    )
}  # fmt: skip
MAX_WORDS = 60
"""A longer question is cut off here by the caller; nobody asks one."""


@dataclass(frozen=True, slots=True)
class Word:
    """`text` as written (folded), `stem` its singular."""

    text: str
    stem: str

    @property
    def plural(self) -> bool:
        return self.text != self.stem and self.text.endswith("s")


def words(text: str) -> tuple[Word, ...]:
    """The words of `text` in order; commas, `&`, comparisons and currencies too; `%` is percent."""
    plain = _POSSESSIVE.sub("", _SHORT_YEAR.sub("20", _fold(text)))
    tokens = ("percent" if t == "%" else t for t in _TOKEN.findall(plain))
    return tuple(Word(t, stem(t)) for t in tokens)


def stems(text: str) -> tuple[str, ...]:
    """The words of `text`, each in its singular."""
    return tuple(word.stem for word in words(text))


def number(word: str) -> int | None:
    """The number a word stands for, in digits (at most four) or from zero to twenty in letters."""
    if word.isascii() and word.isdigit() and len(word) <= 4:
        return int(word)
    return _NUMBERS.get(word)


def stem(word: str) -> str:
    """A cheap English singular: cookies and cookie, cities and city meet in one form."""
    if len(word) < 3 or not word.isascii() or word[-1].isdigit():
        return word
    if word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    return word[:-2] + "y" if word.endswith("ie") and len(word) > 2 else word


def _fold(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c))
