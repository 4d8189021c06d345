"""Questions of any shape: the matcher answers or declines, and its SQL always runs."""

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offline.conftest import BAKEHOUSE
from retinue.offline.genie.match import Answer, Matcher, Refusal
from retinue.offline.genie.opening import open_space
from retinue.offline.genie.periods import Calendar, read_moment
from retinue.offline.genie.space import load_space
from retinue.offline.genie.warehouse import Warehouse
from retinue.offline.genie.words import words

Opened = tuple[Matcher, Warehouse]
CALENDAR = Calendar(date(2023, 1, 1), date(2024, 12, 31))
KNOWN = [
    "revenue", "units", "customers", "franchises", "how many", "which", "top", "3", "by", "in",
    "Japan", "Paris", "cookies", "visa", "May 2024", "2023", "month", "city", "product", "most",
    "not", "and", "versus", "share of", "sold", "women", "since", "change", "suppliers", "cheapest",
    "each", "last quarter", "average basket", "weekday", "Europe", "total", "instead",
]  # fmt: skip


@pytest.fixture(scope="module")
def opened() -> Opened:
    return open_space(load_space(BAKEHOUSE))


@given(st.lists(st.sampled_from(KNOWN), min_size=1, max_size=9), st.integers(0, 5))
@settings(max_examples=150, deadline=None)
def test_known_words_in_any_order_give_sql_that_runs_or_a_refusal(
    opened: Opened, said: list[str], cut: int
) -> None:
    matcher, warehouse = opened
    previous = None
    for question in (" ".join(said[:cut]), " ".join(said)):
        found = matcher.match(question, previous)
        if isinstance(found, Answer):
            warehouse.select(found.sql)
            previous = found.ask


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_text_is_answered_or_declined(opened: Opened, text: str) -> None:
    opened[0].match(text)


@given(st.text(alphabet="bcdfgjkqvwxz", min_size=5, max_size=9))
@settings(max_examples=50, deadline=None)
def test_a_word_nobody_knows_declines_the_whole_question(opened: Opened, word: str) -> None:
    found = opened[0].match(f"revenue by {word} in May 2024")
    assert isinstance(found, Refusal)
    assert word in found.reason


@given(st.text(alphabet="'\"; -)(abc/*", min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_no_text_of_the_question_reaches_the_sql(opened: Opened, text: str) -> None:
    found = opened[0].match(f"revenue in Japan {text}")
    plain = opened[0].match("revenue in Japan")
    assert isinstance(plain, Answer)
    assert isinstance(found, Refusal) or found.sql == plain.sql


def test_the_same_question_gives_the_same_sql(opened: Opened) -> None:
    matcher, _ = opened
    question = "top 3 products in each country by units in 2024"
    assert matcher.match(question) == matcher.match(question)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("May 2024", date(2024, 5, 1), date(2024, 6, 1)),
        ("sept 2023", date(2023, 9, 1), date(2023, 10, 1)),
        ("2024-02", date(2024, 2, 1), date(2024, 3, 1)),
        ("2024-02-29", date(2024, 2, 29), date(2024, 3, 1)),
        ("3 May 2024", date(2024, 5, 3), date(2024, 5, 4)),
        ("3rd of May 2024", date(2024, 5, 3), date(2024, 5, 4)),
        ("May 3, 2024", date(2024, 5, 3), date(2024, 5, 4)),
        ("Q3 2023", date(2023, 7, 1), date(2023, 10, 1)),
        ("2023 q3", date(2023, 7, 1), date(2023, 10, 1)),
        ("the second quarter of 2024", date(2024, 4, 1), date(2024, 7, 1)),
        ("H2 2023", date(2023, 7, 1), date(2024, 1, 1)),
        ("first half of 2024", date(2024, 1, 1), date(2024, 7, 1)),
        ("year 2023", date(2023, 1, 1), date(2024, 1, 1)),
        ("June", date(2024, 6, 1), date(2024, 7, 1)),
        ("last month", date(2024, 12, 1), date(2025, 1, 1)),
        ("last quarter", date(2024, 10, 1), date(2025, 1, 1)),
        ("last year", date(2024, 1, 1), date(2025, 1, 1)),
        ("last 3 months", date(2024, 10, 1), date(2025, 1, 1)),
        ("last two weeks", date(2024, 12, 18), date(2025, 1, 1)),
    ],
)
def test_a_period_is_read(text: str, start: date, end: date) -> None:
    texts = [word.text for word in words(text)]
    found = read_moment(texts, 0)
    assert found is not None
    assert found[0] == len(texts)
    period, _ = CALENDAR.resolve(found[1])
    assert (period.start, period.end) == (start, end)
