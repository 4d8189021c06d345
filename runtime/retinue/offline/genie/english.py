"""The words of questions that belong to English rather than to a space, and their roles."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from retinue.offline.genie.space import Order

Role = Literal[
    "also", "and", "ask", "change", "compare", "exclude", "from", "group", "how_many", "instead",
    "link", "or", "range", "share", "stop", "total", "unread", "which",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rank:
    """A ranking word: of `things` ("top products"), by an `amount` ("most units"), of a `figure`
    ("highest revenue") or its `size` ("biggest revenue", but a franchise may be big too); a `sort`
    only orders.
    """

    order: Order
    of: Literal["things", "amount", "figure", "size", "sort"]


_ROLES: Mapping[Role, str] = {
    "also": "also, too, as well",
    "and": "and, &, comma",
    "ask": "what about, how about, only, just, now, same, same for, the same for, but, then",
    "change": """
        change, changed, growth, grow, grew, growing, increase, increased, decrease, decreased,
        month over month, year over year, evolve, evolved, develop, developed, difference,
        percentage change, percent change, percentage growth, percent growth, growth rate
    """,
    "compare": "compare, compared, comparison, versus, vs, against",
    "exclude": """
        excluding, exclude, except, except for, without, not, other than, outside, outside of,
        but not, apart from, not counting
    """,
    "from": "from",
    "group": """
        by, per, each, every, across, for each, for every, in each, broken down by, broken down,
        break down, split by, split, grouped by, group by
    """,
    "how_many": "how many, number of, the number of, count of, count",
    "instead": "instead, rather",
    "link": """
        in, of, at, for, on, to, with, within, during, based in, living in, located in, who live in
    """,
    "or": "or",
    "range": """
        between, until, till, through, thru, since, after, before, up to, onwards, onward, prior to
    """,
    "share": """
        share, share of, percentage, percentage of, percent, percent of, proportion,
        proportion of, fraction
    """,
    "stop": """
        as, a, an, the, is, are, was, were, be, been, am, do, does, did, done, has, have, had,
        having, i, we, our, ours, you, your, it, its, they, their, them, there, that, me, my,
        show, show me, show us, give, give me, give us, tell, tell me,
        tell us, may i, may we, get, find, display, see, want, need, know,
        like, would, could, can, will, shall, should, please, how, how much, much, many, so,
        look, make, made, come, came, go, went, got, generate, generated, bring, brought,
        report, figure, value, amount, breakdown, overview, chart, table, sorted, sorted by,
        ordered by, sort by, paid, pay, paying, using, via, live, living, located, place, placed,
        exist, when, where, let, hi, hello, thanks, thank, different, distinct, individual,
        chain, whole, entire, data, company, business, bakehouse, respectively, terms, in terms of,
        calculate, compute, plot, contribute, contributed, account, answer, question, about, here
    """,
    "total": "total, in total, overall, altogether, all together",
    # Known words that mean something else together, as "year to date", and words that nothing
    # here answers to: none of them is a misspelling.
    "unread": """
        at least, at most, the most recent, to date, year to date, month to date, week to date,
        quarter to date, day by day, week on week, month on month, quarter on quarter,
        year on year, week over week, day over day, quarter over quarter, same period,
        same month, same week, same day, same quarter, same time, more, less, than, better, worse,
        higher, lower, above, below, median, cumulative, average, price, first, last, next
    """,
    "which": "which, what, who, list",
}
_RANKS: Mapping[Rank, str] = {
    Rank("desc", "things"): "top, best, leading",
    Rank("asc", "things"): "bottom, worst",
    Rank("desc", "amount"): "most, the most",
    Rank("asc", "amount"): "least, the least, fewest, the fewest",
    Rank("desc", "figure"): "highest, maximum",
    Rank("desc", "size"): "largest, biggest, greatest",
    Rank("asc", "figure"): "lowest, minimum",
    Rank("asc", "size"): "smallest",
    Rank("desc", "sort"): """
        highest first, largest first, descending, in descending order, from highest to lowest
    """,
    Rank("asc", "sort"): """
        lowest first, smallest first, ascending, in ascending order, from lowest to highest
    """,
}


def roles() -> Iterator[tuple[str, Role]]:
    """Every phrase with a role."""
    for role, phrases in _ROLES.items():
        yield from ((phrase, role) for phrase in _split(phrases))


def ranks() -> Iterator[tuple[str, Rank]]:
    """Every phrase that ranks."""
    for rank, phrases in _RANKS.items():
        yield from ((phrase, rank) for phrase in _split(phrases))


def _split(phrases: str) -> Iterator[str]:
    for phrase in phrases.split(","):
        yield "," if phrase.strip() == "comma" else phrase.strip()
