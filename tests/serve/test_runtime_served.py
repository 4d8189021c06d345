"""The real runtime behind the server: prompt, skill tools and model, each where it belongs."""

from pathlib import Path

import openai
import pytest
from chat_bodies import FUNCTION
from serving import QUESTION

from retinue.agent import Skill
from retinue.run.runtime import Runtime
from retinue.testing import ScriptedModel, agent, calls, says

SKILL = Skill(name="figures", description="How to show figures.", body="Use tables.", root=Path())


def test_a_skill_is_read_inside_the_run(serving):
    model = ScriptedModel(calls(("load_skill", {"name": "figures"})), says("Here is a table."))
    runtime = Runtime(
        [agent("analyst", instructions="Mind the units.", skills=(SKILL,))],
        models={"scripted": lambda _route, _lookup: model},
    )
    with serving(runtime).client as client:
        answer = client.chat.completions.create(
            model="analyst",
            messages=[{"role": "system", "content": "Speak French."}, *QUESTION],
            temperature=0.1,
        )
    assert answer.choices[0].message.content == "Here is a table."
    first, second = model.requests
    assert [m.role for m in first.messages] == ["system", "system", "user"]
    assert first.messages[0].content.startswith("Mind the units.")
    assert first.messages[1].content == "Speak French."
    assert first.settings == {"temperature": 0.1}
    assert "Use tables." in second.messages[-1].content


def test_a_callers_tool_with_the_name_of_an_own_one_is_refused(serving):
    runtime = Runtime(
        [agent("analyst", skills=(SKILL,))],
        models={"scripted": lambda _route, _lookup: ScriptedModel()},
    )
    clash = {"type": "function", "function": {"name": "load_skill"}}
    with serving(runtime).client as client, pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="analyst", messages=QUESTION, tools=[FUNCTION, clash], stream=True
        )
    assert caught.value.param == "tools[1].function.name"
    only = {"mode": "auto", "tools": [clash]}
    with serving(runtime).client as client, pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="analyst",
            messages=QUESTION,
            tools=[FUNCTION, clash],
            tool_choice={"type": "allowed_tools", "allowed_tools": only},
        )
    assert caught.value.param == "tools[1].function.name"
