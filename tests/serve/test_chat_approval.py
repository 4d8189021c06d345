"""Questions in a chat: what is shown, what is read back, and what is taken for a yes."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinue.run.approval import Paused
from retinue.run.approval_ids import ApprovalIds, Bound
from retinue.run.consent import reading
from retinue.run.events import ApprovalRequested, RunFinished, Usage
from retinue.run.messages import ImagePart, Message, ToolCall
from retinue.serve.wire.chat_approval import answered, questions

IDS = ApprovalIds(b"k")
YES = Message("user", "yes")


def asked(*arguments: str, about: str = "Books it.", agent: str = "tester") -> RunFinished:
    found = []
    for n, text in enumerate(arguments):
        call = ToolCall(f"c{n}", "ledger__book", text)
        id_ = IDS.make("00" * 8, n, 99, Bound("", "tester", "", agent, call))
        found.append(ApprovalRequested(id_, call, about, agent, 99))
    paused = Paused(agent="tester")
    return RunFinished("stop", Usage(), 1, (), paused=paused, approvals=tuple(found))


def read(text: str, said: Message = YES):
    return answered([Message("user", "hi"), Message("assistant", text), said])


def test_a_question_shows_all_that_is_agreed_to():
    text = questions(asked('{"text": "a", "sum": 1.50}'))
    assert text.startswith(
        "**May I call `ledger__book`?**\n\n> Books it.\n\n"
        '```json\n{\n  "text": "a",\n  "sum": 1.5\n}\n```\n\n[approval]: # (mcpr_'
    )
    assert text.endswith(
        ")\n\nAnswer **yes** to allow this call once, or **no**. Anything else is taken for a no."
    )


def test_nothing_hides_in_a_question():
    arguments = json.dumps({"to": "a\u202eb\u200b```\n```"}, ensure_ascii=False)
    text = questions(asked(arguments, about="Pays\n\n![x](https://x.test)<b>", agent="other"))
    assert "May the agent `other` call" in text
    assert '"a\\u202eb\\u200b```\\n```"' in text
    assert "> Pays !\\[x\\](https://x.test)\\<b\\>\n" in text
    _, answers = read(text)
    assert answers
    (answer,) = answers.given
    assert answer.call
    assert json.loads(answer.call.arguments) == json.loads(arguments)


@pytest.mark.parametrize("arguments", [["{}"], ['{"a": 1}', '{"a": 2}'], [""]])
@pytest.mark.parametrize("lead", ["", "I would.\n\n", "**May I call `x`?**\n\n"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_what_was_asked_is_read_back(arguments, lead, ends):
    finish = asked(*arguments)
    text = (lead + questions(finish)).replace("\n", ends) + ends
    conversation, answers = read(text)
    assert answers
    assert [a.id for a in answers.given] == [one.id for one in finish.approvals]
    assert all(a.approve for a in answers.given)
    assert (answers.drop, answers.said) == (2, 0)
    assert answers.lead == lead.strip()
    note = conversation[1].content
    assert note.endswith("(The user was asked whether `ledger__book` may be called.)")
    assert "mcpr_" not in note
    assert conversation[2] == YES


def test_long_arguments_are_cut_and_can_only_be_known_where_the_run_is_kept():
    finish = asked(json.dumps({"text": "x" * 20_000}))
    text = questions(finish)
    assert len(text) < 9_000
    assert "more characters" in text
    _, answers = read(text)
    assert answers
    assert answers.given[0].call is None


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("mcpr_", "mcpx_"),
        lambda text: text + "\n\nAnd now to the weather.",
        lambda text: text.replace("May I call", "Shall I use"),
        lambda text: text.replace("```json", "```"),
        lambda text: f"<!-- {text} -->",
    ],
)
def test_an_edited_question_is_a_message(change):
    text = change(questions(asked("{}")))
    conversation, answers = read(text)
    assert answers is None
    assert conversation[1].content == text


def test_only_the_last_message_answers_and_only_in_words():
    question = Message("assistant", questions(asked("{}")))
    assert answered([question, YES, Message("assistant", "Done."), YES])[1] is None
    assert answered([question])[1] is None
    assert answered([Message("user", question.content), YES])[1] is None
    picture = Message("user", "yes", parts=(ImagePart("https://x.test/a.png"),))
    _, answers = answered([question, picture])
    assert answers
    assert not answers.given[0].approve


def test_something_else_is_a_no_and_is_heard():
    _, answers = read(questions(asked("{}")), Message("user", "yes, but to b"))
    assert answers
    assert not answers.given[0].approve
    assert (answers.drop, answers.said) == (2, 1)


@pytest.mark.parametrize(
    ("said", "closed"),
    [
        ("Fine.", ""),
        ("```\nx\n```", ""),
        ("```py\nx", "```\n\n"),
        ("~~~~\n~~~\n```", "~~~~\n\n"),
        ("Say yes!\n\n<!--", "-->\n\n"),
        ("<details><summary>x</summary>", "</details>\n\n"),
        ("a < b <br> <https://x.test>", ""),
    ],
)
def test_what_was_said_before_can_not_hide_it(said, closed):
    finish = replace(asked("{}"), messages=(Message("assistant", said),))
    text = questions(finish)
    assert text.startswith(f"{closed}**May I call")
    _, answers = read(f"{said}\n\n{text}")
    assert answers


@given(st.text())
def test_any_text_is_read_without_a_fault(text):
    for shown in (text, text + questions(asked("{}")), questions(asked("{}")) + text):
        read(shown, Message("user", text))


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none() | st.floats(0, 1)))
def test_any_arguments_come_back_as_they_were(arguments):
    written = json.dumps(arguments)
    _, answers = read(questions(asked(written)))
    assert answers
    call = answers.given[0].call
    assert call is None or json.loads(call.arguments) == arguments


@pytest.mark.parametrize(
    "words",
    [
        "yes",
        "Yes!",
        " y ",
        "**YES**",
        "Yes, please.",
        "ok, go ahead",
        "do it",
        "i agree",
        "👍",
        "Ja, bitte.",
        "sí",
        "oui, d\u2019accord",
    ],
)
def test_a_clear_yes(words):
    assert reading(words) == "yes"


@pytest.mark.parametrize(
    "words", ["no", "No, thanks.", "don\u2019t do it", "nein", "stop", "cancel it"]
)
def test_a_clear_no(words):
    assert reading(words) == "no"


@pytest.mark.parametrize(
    "words",
    [
        "",
        "yes?",
        "yes no",
        "yes, but b",
        "yes if it is free",
        "of course not",
        "please",
        "thank you",
        "what would it do",
        "no, go ahead",
        "yes " * 100,
        "yesterday",
        "say yes",
    ],
)
def test_anything_else(words):
    assert reading(words) == "other"
