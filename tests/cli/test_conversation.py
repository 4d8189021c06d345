"""A run as JSON."""

import json

from retinue.agent import Limits
from retinue.cli.conversation import JsonTranscript
from retinue.run.loop import run
from retinue.run.messages import Message
from retinue.testing import FakeToolbox, ScriptedModel, calls, says


def look():
    return "RAW ROWS"


async def told(model, limits=None) -> dict:
    toolbox = FakeToolbox([look])
    question = [Message("user", "hello")]
    events = run(question, model=model, toolbox=toolbox, limits=limits or Limits())
    transcript = JsonTranscript()
    return json.loads(transcript.text(await transcript.show(events)))


async def test_the_answer_the_steps_and_the_usage():
    found = await told(ScriptedModel(calls(("look", {})), says("done")))
    assert found["answer"] == "done"
    assert [step["result"] for step in found["steps"]] == ["RAW ROWS"]
    assert found["finish_reason"] == "stop"
    assert found["turns"] == 2
    assert found["usage"] == {"input_tokens": 20, "output_tokens": 6}


async def test_a_tool_result_is_never_taken_for_the_answer():
    found = await told(ScriptedModel(calls(("look", {}))), Limits(max_turns=1))
    assert found["answer"] == ""
    assert (found["finish_reason"], found["cause"]) == ("length", "max_turns")
