"""Plain questions to the real server process, against queries written by hand."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from offline.conftest import Asker, comparable, query_of, rows_of

HERE = Path(__file__).parent


def pairs(file: str) -> list[tuple[str, str]]:
    """(question, query) pairs: a comment line and the statement below it."""
    blocks = (HERE / file).read_text("utf-8").strip().split("\n\n")
    split = (block.split("\n", 1) for block in blocks if not block.startswith("-- #"))
    return [(question.removeprefix("-- "), sql) for question, sql in split]


def expected_of(truth: Any, sql: str) -> list[tuple[Any, ...]]:
    rows = [tuple(map(comparable, row)) for row in truth.execute(sql).fetchall()]
    assert rows, "the check itself finds nothing"
    return rows


QUESTIONS = pairs("questions.sql")


@pytest.mark.parametrize(("question", "sql"), QUESTIONS, ids=[q for q, _ in QUESTIONS])
def test_the_figures_are_those_of_an_independent_query(
    genie: Asker, truth: Any, question: str, sql: str
) -> None:
    assert rows_of(genie.ask(question)) == expected_of(truth, sql)


@pytest.mark.parametrize(
    "question",
    [
        "weather in Paris",
        "profit margin",
        "sales in Atlantis",
        "sales per employee",
        "average revenue",
        "revenue over 1000 by product",
        "products with more than 100 units",
        "customers who never bought cookies",
        "predict sales next month",
        "why did sales fall in August?",
        "revenue by color",
        "sales in Berlin, Texas",
        "sales of chocolate cake",
        "chocolate cookies revenue",
        "sales this month",
        "sales today",
        "revenue for week 12",
        "show me customer emails",
        "drop table sales_transactions",
        "SELECT * FROM sales_customers",
        "revenue of the cheapest product",
        "Which city sold the most products?",
        "highest and lowest month",
        "revenue in Japan or cookies",
        "top 5 products by 3",
        "top 10% franchises by revenue",
        "franchises with at least 2 reviews",
        "more than 100 orders",
        "at least 3 franchises",
        "≥ 100 units by product",
        "revenue in $",
        "revenue in Tokyo and units in Osaka",
        "revenue in May 2024 and units in June 2024",
        "What was revenue in 2023 and how many customers do we have?",
        "revenue in May in Tokyo and in June in Osaka",
        "cookies in Tokyo and brownies in Osaka by units",
        "how many visa payments",
        "how many visa payment methods",
        "revenue in may 24",
        "average sales by month",
        "average order",
        "median basket",
        "cumulative revenue by month",
        "revenue so far this year",
        "revenue year to date",
        "revenue in May 2024 vs the same month last year",
        "revenue in 2024 excluding May",
        "revenue in the last week of May 2024",
        "revenue in the week of 3 May 2024",
        "revenue by month on 3 May 2024",
        "revenue of the top 3 products by month",
        "customers who bought cookies and not brownies",
        "how many customers bought only cookies",
        "revenue growth in 2024",
        "change in share of revenue by payment method from 2023 to 2024",
        "is revenue in Tokyo higher than in Osaka?",
        "which is better, Tokyo or Osaka?",
        "second best product",
        "revenue between 3 and 9 May 2024",
        "revenue on 03/05/2024",
        "highest revenue day and lowest revenue day",
        "revenue without cookies and Tokyo",
        "revenue in Tokyo and France",
        "revenue from Japanese customers in France",
        "best ten percent of products",
        "top 5 products by units and revenue",
        "revenue and units by product, highest first",
        "customers per country with the fewest franchises",
        "revenue of the largest franchise",
        "Which month had the biggest revenue growth in 2024?",
        "top 3 products by revenue change from April to May 2024",
        "monthly revenue change by year",
        "What about cookies?",
        "and units?",
        "how many franchises does it have?",
        "how many of them are women?",
        "what was the revenue there in June?",
        "How many transactions were that?",
        "revenue in that month",
        "revenue of the top quarter of franchises",
        "how are you",
        "売上",
        "?!",
    ],
)
def test_what_it_does_not_know_is_declined(genie: Asker, question: str) -> None:
    content = genie.ask(question)["content"]
    assert content["queryAttachments"] == []
    assert content["textAttachments"][0].startswith("I have no trusted SQL for this: ")
    assert len(content["suggestedQuestions"]) == 3


@pytest.mark.parametrize(
    "question",
    ["revenue in May 1999", "sales in 2025", "units from 2022 to 2024", "orders on 2030-01-01"],
)
def test_a_period_outside_the_data_is_declined_with_the_period_it_covers(
    genie: Asker, question: str
) -> None:
    (text,) = genie.ask(question)["content"]["textAttachments"]
    assert "covers 1 January 2023 to 31 December 2024" in text


def test_a_day_that_does_not_exist_is_declined(genie: Asker) -> None:
    (text,) = genie.ask("revenue on 31 April 2024")["content"]["textAttachments"]
    assert 'there is no such date as "31 april 2024"' in text


@pytest.mark.parametrize(
    ("question", "hint"),
    [
        ("revenu by city", '(did you mean "revenue" by "revenu"?)'),
        ("custmers in Japan", '(did you mean "customer" by "custmers"?)'),
        ("revenue by ctiy", '(did you mean "city" by "ctiy"?)'),
        ("sales in Tokio", '(did you mean "tokyo" by "tokio"?)'),
    ],
)
def test_a_misspelled_word_is_recognised_but_not_assumed(
    genie: Asker, question: str, hint: str
) -> None:
    content = genie.ask(question)["content"]
    assert content["queryAttachments"] == []
    assert hint in content["textAttachments"][0]


def test_suggestions_are_near_the_question(genie: Asker) -> None:
    near = genie.ask("payment methods of martians")["content"]["suggestedQuestions"]
    assert near[0] == "What share of revenue comes from each payment method?"


def test_what_was_assumed_is_said(genie: Asker) -> None:
    sold = query_of(genie.ask("Which three franchises sold most in May 2024?"))
    assert '"sold most" is read as revenue' in sold["description"]
    assert 'trusted question "Which three franchises' in sold["description"]
    top = query_of(genie.ask("top 5 products in May in Japan"))
    for note in (
        'no figure is named: "top" is read as by revenue',
        '"may" is read as May 2024, the latest in the data',
        '"Japan" is read as country, not customer country',
        "template (figure, group, filter, period, top or bottom)",
    ):
        assert note in top["description"]


@pytest.mark.parametrize(
    ("question", "note"),
    [
        ("weekly revenue change in May 2024", "cuts the first or last week short"),
        ("revenue in May 2024 compared with 2023", "2023 is read as May 2023, to compare equal"),
        ("revenue in Q1 2024 vs H2 2023", "differ in length: Q1 2024 has 91 days and July 2023"),
        ("revenue by week in May 2024", "cuts the first or last week short"),
        ("average basket of the top 5 franchises", '"top" is read as by average basket'),
        ("How many customers bought cookies and brownies?", "Chocolate Brownie counts"),
        ("revenue in Europe", '"Europe" is read as continent, not customer continent'),
        ("customers in May 2024", '"customers" is read as buying customers'),
    ],
)
def test_what_makes_a_figure_less_than_it_seems_is_said(
    genie: Asker, question: str, note: str
) -> None:
    assert note in query_of(genie.ask(question))["description"]


def test_a_follow_up_goes_on_from_the_question_before(genie: Asker, truth: Any) -> None:
    conversation = None
    for question, sql in pairs("follow_ups.sql"):
        reply = genie.ask(question, conversation)
        conversation = reply["conversationId"]
        assert rows_of(reply) == expected_of(truth, sql), question


def test_a_refusal_leaves_the_conversation_where_it_was(genie: Asker, truth: Any) -> None:
    conversation = genie.ask("units in May 2024")["conversationId"]
    assert not genie.ask("and the weather?", conversation)["content"]["queryAttachments"]
    assert not genie.ask("thanks", conversation)["content"]["queryAttachments"]
    sql = "SELECT sum(quantity) FROM sales_transactions WHERE strftime(dateTime, '%Y%m') = '202406'"
    assert rows_of(genie.ask("and in June?", conversation)) == expected_of(truth, sql)


@pytest.mark.parametrize(
    "question",
    ["how many franchises does it have?", "what was its revenue in April?", "units there in June"],
)
def test_a_pronoun_is_never_left_out(genie: Asker, question: str) -> None:
    conversation = genie.ask("Which city sold the most in 2024?")["conversationId"]
    assert not genie.ask(question, conversation)["content"]["queryAttachments"]


def test_conversations_do_not_mix(genie: Asker) -> None:
    one = genie.ask("revenue by city in May 2024")["conversationId"]
    other = genie.ask("units by product in 2023")["conversationId"]
    assert "by city" in query_of(genie.ask("and in June?", one))["title"]
    assert "by product" in query_of(genie.ask("and in June?", other))["title"]


def test_dates_are_plain_dates(genie: Asker) -> None:
    reply = genie.ask("revenue by month in 2024")
    cells = query_of(reply)["statement_response"]["result"]["data_array"]
    assert [date.fromisoformat(row[0]) for row in cells] == [date(2024, m, 1) for m in range(1, 13)]
