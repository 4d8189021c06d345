"""Agents that ask other agents, and that hand a conversation over, on one budget."""

from collections.abc import Mapping
from contextlib import aclosing

import pytest

from retinue.agent import Agent, Limits, SubAgent
from retinue.errors import ModelError
from retinue.route import Price
from retinue.run.caller import Caller
from retinue.run.events import Event, RunFinished, TextDelta, ToolFinished, Usage
from retinue.run.messages import Message, Thought
from retinue.run.runtime import Runtime
from retinue.testing import ScriptedModel, agent, calls, route, says

ASK = [Message("user", "What was sold?")]
USAGE = Usage(10, 5)
# A cent for each token of an answer.
PRICE = Price(input=0.0, output=10_000.0)


def lead(*others: Agent, mode="tool", **fields) -> Agent:
    subs = tuple(SubAgent(agent=other, mode=mode) for other in others or (digger(),))
    return agent("lead", model=route("lead/m", price=PRICE), sub_agents=subs, **fields)


def digger(**fields) -> Agent:
    return agent("digger", "Dig.", model=route("digger/m"), description="Digs deep.", **fields)


async def play(
    models: Mapping[str, ScriptedModel], asked: Agent, caller: Caller | None = None
) -> list[Event]:
    factories = {name: lambda _deployment, _lookup, m=m: m for name, m in models.items()}
    async with Runtime([asked], models=factories) as runtime:
        assert list(runtime.agents) == ["lead"]
        async with aclosing(runtime.run("lead", ASK, caller=caller)) as events:
            return [event async for event in events]


def end(events: list[Event]) -> RunFinished:
    (found,) = [event for event in events if isinstance(event, RunFinished)]
    assert events[-1] is found
    return found


async def test_a_sub_agent_is_asked_and_its_answer_is_the_tools():
    models = {
        "lead": ScriptedModel(calls(("ask_digger", {"question": "How much?"})), says("It was 7.")),
        "digger": ScriptedModel(says("7 loaves")),
    }
    events = await play(models, lead())
    assert [e.result.text for e in events if isinstance(e, ToolFinished)] == ["7 loaves"]
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "It was 7."
    (tool,) = models["lead"].requests[0].tools
    assert tool.name == "ask_digger"
    assert "Digs deep." in tool.description
    asked = models["digger"].requests[0].messages
    assert [(m.role, m.content) for m in asked] == [("system", "Dig."), ("user", "How much?")]


async def test_what_sub_agents_spend_is_the_runs_too():
    models = {
        "lead": ScriptedModel(calls(("ask_digger", {"question": "?"}), usage=USAGE), says("ok")),
        "digger": ScriptedModel(says("dug", usage=Usage(100, 50))),
    }
    finish = end(await play(models, lead()))
    assert finish.usage.input_tokens == 10 + 100 + 10
    assert finish.turns == 3


@pytest.mark.parametrize(
    ("limits", "cause"),
    [
        (Limits(max_tokens=100), "max_tokens"),
        (Limits(max_turns=2), "max_turns"),
        (Limits(max_tool_calls=3), "max_tool_calls"),
    ],
)
async def test_the_limits_of_the_first_agent_hold_for_all(limits, cause):
    """Each asks for one more tool for ever."""
    models = {
        "lead": ScriptedModel(calls(("ask_digger", {"question": "?"}), usage=USAGE)),
        "digger": ScriptedModel(calls(("ask_other", {"question": "?"}), usage=USAGE)),
        "other": ScriptedModel(calls(("load_skill", {}), usage=USAGE)),
    }
    other = agent("other", model=route("other/m"))
    middle = digger(sub_agents=(SubAgent(agent=other),))
    finish = end(await play(models, lead(middle, limits=limits)))
    assert (finish.reason, finish.cause) == ("length", cause)
    assert sum(len(model.requests) for model in models.values()) < 12


async def test_a_sub_agent_that_fails_costs_its_own_answer_only():
    models = {
        "lead": ScriptedModel(calls(("ask_digger", {"question": "?"})), says("Without it.")),
        "digger": ScriptedModel([ModelError("auth", "the model refused")]),
    }
    events = await play(models, lead())
    (result,) = [e.result for e in events if isinstance(e, ToolFinished)]
    assert result.is_error
    assert result.text == "digger could not answer: the model refused"
    assert end(events).reason == "stop"


async def test_a_sub_agent_stopped_by_its_own_limit_says_so():
    models = {
        "lead": ScriptedModel(calls(("ask_digger", {"question": "?"})), says("ok")),
        "digger": ScriptedModel([TextDelta("So far 3."), *calls(("ask_x", {}))]),
    }
    events = await play(models, lead(digger(limits=Limits(max_turns=1))))
    (result,) = [e.result for e in events if isinstance(e, ToolFinished)]
    assert "So far 3." in result.text
    assert "stopped before it was done: max_turns" in result.text


async def test_the_deadline_of_the_first_agent_holds_for_all():
    models = {
        "lead": ScriptedModel([TextDelta("Asking."), *calls(("ask_digger", {"question": "?"}))]),
        "digger": ScriptedModel([30.0]),
    }
    events = await play(models, lead(limits=Limits(timeout=0.2)))
    assert end(events).cause == "timeout"
    assert models["digger"].cancelled == 1


async def test_the_caller_is_the_sub_agents_too():
    models = {
        "lead": ScriptedModel(calls(("ask_digger", {"question": "?"})), says("ok")),
        "digger": ScriptedModel(says("dug")),
    }
    await play(models, lead(), caller=Caller(token="the-callers"))
    assert models["digger"].requests[0].user_token == "the-callers"


async def test_a_conversation_is_handed_over():
    models = {
        "lead": ScriptedModel(
            [
                TextDelta("One moment."),
                Thought("hm", signature="s"),
                *calls(("hand_over_to_digger", {"reason": "hard"})),
            ]
        ),
        "digger": ScriptedModel(says("I dug 7.")),
    }
    events = await play(models, lead(mode="handoff"))
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "One moment.I dug 7."
    assert len(models["lead"].requests) == 1
    system, *rest = models["digger"].requests[0].messages
    assert system.content == "Dig."
    # Another model's thoughts would be refused.
    assert not any(m.thoughts for m in rest)
    assert [(m.role, m.content) for m in rest] == [
        ("user", "What was sold?"),
        ("assistant", "One moment."),
        ("system", "The agent lead handed this conversation over to you."),
    ]
    finish = end(events)
    assert finish.turns == 2
    assert [m.role for m in finish.messages] == ["assistant", "tool", "assistant"]


async def test_of_two_handovers_the_first_counts():
    models = {
        "lead": ScriptedModel(
            calls(("hand_over_to_digger", {"reason": "a"}), ("hand_over_to_other", {"reason": "b"}))
        ),
        "digger": ScriptedModel(says("dug")),
        "other": ScriptedModel(says("other")),
    }
    other = agent("other", model=route("other/m"))
    await play(models, lead(digger(), other, mode="handoff"))
    assert not models["other"].requests


@pytest.mark.parametrize(
    ("limits", "cause", "turns"),
    [(Limits(max_turns=3), "max_turns", 3), (Limits(max_tokens=20), "max_tokens", 2)],
)
async def test_agents_asked_at_the_same_time_spend_of_one_budget(limits, cause, turns):
    several = [("ask_digger", {"question": "?"})] * 4
    models = {
        "lead": ScriptedModel(calls(*several, usage=USAGE)),
        "digger": ScriptedModel([0.05, *says("dug", usage=USAGE)]),
    }
    finish = end(await play(models, lead(limits=limits)))
    assert (finish.reason, finish.cause) == ("length", cause)
    assert len(models["lead"].requests) == 1
    assert finish.turns == turns


class Meter(ScriptedModel):
    """How many of its answers were under way at once, at most."""

    def __init__(self, *turns) -> None:
        super().__init__(*turns)
        self.now = self.most = 0

    async def stream(self, request):
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            async with aclosing(super().stream(request)) as events:
                async for event in events:
                    yield event
        finally:
            self.now -= 1


@pytest.mark.parametrize(
    ("limits", "settings", "at_once", "answers"),
    [
        # Nobody knows how long an answer may get: one at a time.
        (Limits(max_tokens=200), {}, 1, 2),
        # Two of 100 tokens fit, a third may begin beside them, and that is the one beyond.
        (Limits(max_tokens=315), {"max_tokens": 100}, 3, 3),
        (Limits(max_cost_usd=3.05), {"max_tokens": 100}, 3, 3),
        (Limits(max_tokens=100_000), {"max_tokens": 100}, 6, 6),
        (Limits(), {}, 6, 6),
    ],
)
async def test_what_is_spent_beyond_a_limit_is_one_answer_however_many_are_asked_at_once(
    limits, settings, at_once, answers
):
    digs = Meter([0.05, *says("dug", usage=Usage(0, 100, cost_usd=1.0))])
    models = {
        "lead": ScriptedModel(
            calls(*[("ask_digger", {"question": "?"})] * 6, usage=USAGE), says("ok")
        ),
        "digger": digs,
    }
    asked = agent("digger", "", model=route("digger/m", settings=settings, price=PRICE))
    finish = end(await play(models, lead(asked, limits=limits)))
    assert (digs.most, len(digs.requests)) == (at_once, answers)
    if limits.max_tokens:
        assert finish.usage.total_tokens < limits.max_tokens + 100 or answers == 6


async def test_a_sub_agent_that_fails_leaves_its_room_to_the_others():
    models = {
        "lead": ScriptedModel(
            calls(*[("ask_digger", {"question": "?"})] * 3, usage=USAGE), says("ok", usage=USAGE)
        ),
        "digger": ScriptedModel(
            [0.01, ModelError("auth", "no")], [0.01, ModelError("auth", "no")], says("dug")
        ),
    }
    events = await play(models, lead(limits=Limits(max_tokens=1_000)))
    texts = [e.result.text for e in events if isinstance(e, ToolFinished)]
    assert texts.count("dug") == 1
    assert len(texts) == 3
    assert end(events).reason == "stop"
