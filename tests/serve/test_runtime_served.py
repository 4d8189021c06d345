"""The real runtime behind the server: prompt, skill tools and model, each where it belongs."""

from pathlib import Path

import openai
import pytest
from chat_bodies import FUNCTION
from serving import QUESTION

from retinue.agent import Skill, SubAgent
from retinue.run.runtime import Runtime
from retinue.testing import ScriptedModel, agent, calls, route, says

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


def test_a_handoff_is_a_step_in_every_wire(serving):
    models = {
        "front": ScriptedModel(
            *[calls(("hand_over_to_digger", {"reason": "It digs."})), says("Dug up.")]
        ),
        "digger": ScriptedModel(says("Dug up.")),
    }
    digger = agent("digger", model=route("digger/m"))
    front = agent(
        "front", model=route("front/m"), sub_agents=(SubAgent(agent=digger, mode="handoff"),)
    )

    def fresh(**options):
        models["front"].requests.clear()
        factories = {name: lambda _d, _l, m=m: m for name, m in models.items()}
        return serving(Runtime([front], models=factories), **options)

    told = "hand_over_to_digger"
    with fresh().client as client:
        chat = client.chat.completions.create(model="front", messages=QUESTION)
        assert told in chat.choices[0].message.reasoning_content
        assert chat.choices[0].message.content == "Dug up."
    with fresh().client as client:
        pieces = list(client.chat.completions.create(model="front", messages=QUESTION, stream=True))
        assert told in "".join(str(piece.model_dump()) for piece in pieces)
    with fresh().client as client:
        response = client.responses.create(model="front", input="hi")
        assert response.output_text == "Dug up."
        assert told in str([item.model_dump() for item in response.output])
    with fresh().http as http:
        answer = http.post("/invocations", json={"input": [{"role": "user", "content": "hi"}]})
        assert told in answer.text


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
