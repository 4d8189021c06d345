"""The check of an answer's form, and what the loop makes of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinue.agent import Limits
from retinue.errors import ModelError
from retinue.run.events import (
    Event,
    ModelFinished,
    ReasoningDelta,
    RefusalDelta,
    RunFinished,
    TextDelta,
)
from retinue.run.loop import run
from retinue.run.messages import Message
from retinue.run.options import RunOptions
from retinue.run.output import OutputCheck
from retinue.run.ports import OutputFormat
from retinue.testing import FakeToolbox, ScriptedModel, calls, says

PRICE = {
    "type": "object",
    "properties": {"price": {"$ref": "#/$defs/amount"}},
    "required": ["price"],
    "additionalProperties": False,
    "$defs": {"amount": {"type": "number", "minimum": 0}},
}
FORM = OutputFormat(schema=PRICE)


async def ask(model: ScriptedModel, form: OutputFormat | None = FORM, **fields: Any) -> list[Event]:
    stream = run(
        (Message("user", "How much?"),),
        model=model,
        toolbox=fields.pop("toolbox", FakeToolbox()),
        limits=fields.pop("limits", Limits()),
        options=RunOptions(output=form),
    )
    return [event async for event in stream]


def said(events: list[Event]) -> str:
    return "".join(e.text for e in events if isinstance(e, TextDelta))


@pytest.mark.parametrize(
    "text", ['{"price": 3}', '```json\n{"price": 3}\n```', '\n```\n{"price": 3}\n```\n']
)
def test_json_is_taken_out_of_what_models_wrap_it_in(text: str) -> None:
    checked = OutputCheck(FORM).check(text)
    assert (checked.text, checked.problem) == ('{"price": 3}', None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("three", "not valid JSON (line 1, column 1)"),
        ('{"price": ', "not valid JSON"),
        ('{"price": "3"}', "price: '3' is not of type 'number'"),
        ('{"price": -1}', "minimum"),
        ("{}", "'price' is a required property"),
        ("[]", "is not of type 'object'"),
        ('{"price": 1} and more', "not valid JSON"),
        ('{"price": NaN}', "not valid JSON"),
        ("", "not valid JSON"),
    ],
)
def test_what_is_wrong_is_told(text: str, problem: str) -> None:
    assert problem in str(OutputCheck(FORM).check(text).problem)


def test_any_object_will_do_without_a_schema() -> None:
    check = OutputCheck(OutputFormat())
    assert check.check('{"a": 1}').problem is None
    assert check.check("[1]").problem == "it is not a JSON object"


def test_a_pattern_of_a_caller_cant_hold_us_up_and_an_authors_counts() -> None:
    schema = {"type": "string", "pattern": "^(a+)+$"}
    evil = '"' + "a" * 40 + '!"'
    assert OutputCheck(OutputFormat(schema=schema)).check(evil).problem is None
    own = OutputFormat(schema={"type": "string", "pattern": "^a$"}, trusted=True)
    assert "does not match" in str(OutputCheck(own).check('"b"').problem)


@pytest.mark.parametrize("reference", ["#/$defs/none", "http://127.0.0.1:9/x.json", "#"])
def test_a_reference_that_leads_nowhere_or_round_is_no_crash(reference: str) -> None:
    OutputCheck(OutputFormat(schema={"$ref": reference})).check('{"a": 1}')


@given(st.text(max_size=200))
def test_any_text_can_be_checked(text: str) -> None:
    OutputCheck(FORM).check(text)


async def test_a_right_answer_is_shown_once_it_is_known_to_be_right() -> None:
    fenced = [TextDelta("```json\n"), TextDelta('{"price": 3}\n```'), ModelFinished("stop")]
    events = await ask(ScriptedModel(fenced))
    assert [e.text for e in events if isinstance(e, TextDelta)] == ['{"price": 3}']
    assert isinstance(events[-1], RunFinished)
    assert events[-1].messages == (Message("assistant", '{"price": 3}'),)


async def test_a_wrong_answer_is_repaired_once() -> None:
    model = ScriptedModel(says('{"price": "x"}'), says('{"price": 3}'))
    events = await ask(model)
    assert said(events) == '{"price": 3}'
    wrong, correction = model.requests[1].messages[-2:]
    assert (wrong.role, wrong.content) == ("assistant", '{"price": "x"}')
    assert "'x' is not of type 'number'" in correction.content
    assert '"required": ["price"]' in correction.content
    assert isinstance(events[-1], RunFinished)
    assert [m.content for m in events[-1].messages] == ['{"price": 3}']
    assert events[-1].usage.output_tokens == 4


async def test_an_answer_that_stays_wrong_is_an_error_that_says_why() -> None:
    model = ScriptedModel(says("three"))
    with pytest.raises(ModelError, match="not valid JSON") as caught:
        await ask(model)
    assert caught.value.kind == "bad_output"
    assert len(model.requests) == 2


async def test_it_works_together_with_tools() -> None:
    def look() -> str:
        return "3"

    model = ScriptedModel([TextDelta("Let me look."), *calls(("look", {}))], says('{"price": 3}'))
    events = await ask(model, toolbox=FakeToolbox([look]))
    assert said(events) == '{"price": 3}'
    assert ReasoningDelta("Let me look.") in events
    assert all(request.output is FORM for request in model.requests)


async def test_an_answer_that_was_cut_by_its_limit_is_no_wrong_one() -> None:
    model = ScriptedModel(says('{"pri', reason="length"))
    events = await ask(model)
    assert said(events) == '{"pri'
    assert isinstance(events[-1], RunFinished)
    assert events[-1].reason == "length"


async def test_a_refusal_is_not_held_to_the_form_of_an_answer() -> None:
    model = ScriptedModel([RefusalDelta("No."), ModelFinished("stop")])
    events = await ask(model)
    assert RefusalDelta("No.") in events
    assert isinstance(events[-1], RunFinished)
    assert len(model.requests) == 1
