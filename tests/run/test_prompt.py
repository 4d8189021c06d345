"""The system prompt: variables, their types and sources, skills, notices."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from retinue.agent import Instructions, Skill, Variable
from retinue.errors import RequestError
from retinue.run.caller import Caller
from retinue.run.prompt import Prompt, sample_caller
from retinue.testing import agent

NOON = datetime(2026, 2, 3, 12, 30, tzinfo=UTC)


def prompt(text: str, *variables: Variable, **changes) -> Prompt:
    instructions = Instructions(text=text, origin="prompts/p.md", variables=variables)
    return Prompt(agent(**{"instructions": instructions, **changes}), now=lambda: NOON)


def test_text_without_variables_is_sent_as_it_is():
    plain = agent(instructions=Instructions(text="Keep {{ this }}.", origin="x", literal=True))
    assert Prompt(plain).render(Caller()) == "Keep {{ this }}."


def test_values_come_from_the_request_the_user_and_the_clock():
    made = prompt(
        "{{ region }} {{ who }} {{ today }} {{ hour }}",
        Variable(name="region", source="request.metadata.region", default="EMEA"),
        Variable(name="who", source="user.email"),
        Variable(name="today", source="clock.date"),
        Variable(name="hour", source="clock.time"),
    )
    caller = Caller(metadata={"region": "APAC"}, user_email="a@example.com")
    assert made.render(caller) == "APAC a@example.com 2026-02-03 12:30"
    assert made.render(Caller(user_email="b@example.com")).startswith("EMEA b@example.com")


def test_a_value_from_the_request_is_never_rendered_as_a_template():
    made = prompt("{{ region }}", Variable(name="region", source="request.metadata.region"))
    assert made.render(Caller(metadata={"region": "{{ 1 + 1 }}"})) == "{{ 1 + 1 }}"


@pytest.mark.parametrize(
    ("kind", "text", "rendered"),
    [("integer", "7", "8"), ("number", "0.5", "1.5"), ("boolean", "true", "2")],
)
def test_values_have_their_declared_type(kind, text, rendered):
    made = prompt("{{ x + 1 }}", Variable(name="x", type=kind, source="request.metadata.x"))
    assert made.render(Caller(metadata={"x": text})) == rendered


@pytest.mark.parametrize("kind", ["integer", "number", "boolean"])
def test_a_value_of_the_wrong_type_is_the_callers_mistake(kind):
    made = prompt("{{ x }}", Variable(name="x", type=kind, source="request.metadata.x"))
    with pytest.raises(RequestError, match=kind) as raised:
        made.render(Caller(metadata={"x": "lots"}))
    assert raised.value.param == "metadata.x"


def test_a_missing_required_value_is_the_callers_mistake():
    made = prompt("{{ x }}", Variable(name="x", source="request.metadata.x"))
    with pytest.raises(RequestError, match=r"request\.metadata\.x"):
        made.render(Caller())


def test_skills_and_notices_follow_the_instructions():
    skill = Skill(name="maths", description="Adds <b>", body="", root=Path())
    rendered = prompt("Hi.", skills=(skill,)).render(Caller(), ["The server 'x' is down."])
    assert rendered.startswith("Hi.\n\n<available_skills>")
    assert "Adds &lt;b&gt;" in rendered
    assert rendered.endswith("The server 'x' is down.")


def test_a_sample_caller_fills_every_variable():
    variables = (
        Variable(name="a", source="request.metadata.a"),
        Variable(name="n", type="integer", source="request.metadata.b.n"),
        Variable(name="u", source="user.name"),
    )
    text = Instructions(text="{{ a }} {{ n }} {{ u }}", origin="p", variables=variables)
    tested = agent(instructions=text)
    assert Prompt(tested).render(sample_caller(tested)) == "<a> 1 Sample User"
