"""The loop: order, limits, failure, cancellation."""

import asyncio
from contextlib import aclosing

import pytest

from retinue.agent import Limits
from retinue.errors import ModelError, RunError
from retinue.run.events import (
    ModelFinished,
    RunFinished,
    TextDelta,
    ToolFinished,
    ToolResult,
    ToolStarted,
    TurnStarted,
    Usage,
)
from retinue.run.loop import run
from retinue.run.messages import ImagePart, Message, Thought, ToolCall
from retinue.run.options import RunOptions
from retinue.run.ports import NamedTool, Tool
from retinue.testing import FakeToolbox, ScriptedModel, calls, says

ASK = (Message("system", "Be brief."), Message("user", "hello"))


async def events_of(model, toolbox=None, limits=None, settings=None):
    stream = run(
        ASK,
        model=model,
        toolbox=toolbox or FakeToolbox(),
        limits=limits or Limits(),
        options=RunOptions(settings=settings or {}),
    )
    return [event async for event in stream]


def finished(events) -> RunFinished:
    assert isinstance(events[-1], RunFinished)
    assert sum(isinstance(e, RunFinished) for e in events) == 1
    return events[-1]


async def test_a_plain_answer_streams_and_ends_once():
    model = ScriptedModel(says("one two"))
    events = await events_of(model, settings={"temperature": 0.5})
    assert events[0] == TurnStarted(1)
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "one two"
    assert finished(events).messages == (Message("assistant", "one two"),)
    assert finished(events).reason == "stop"
    assert model.requests[0].messages == ASK
    assert model.requests[0].settings == {"temperature": 0.5}


async def test_tool_results_go_back_in_the_order_of_the_calls():
    async def slow():
        await asyncio.sleep(0.05)
        return "slow"

    def quick():
        return "quick"

    model = ScriptedModel(calls(("slow", {}), ("quick", {})), says("done"))
    events = await events_of(model, FakeToolbox([slow, quick]))
    finishes = [e.result.text for e in events if isinstance(e, ToolFinished)]
    assert finishes == ["quick", "slow"]
    assistant, first, second = model.requests[1].messages[2:]
    assert [c.name for c in assistant.tool_calls] == ["slow", "quick"]
    assert (first.content, first.tool_call_id) == ("slow", "call_1")
    assert (second.content, second.tool_call_id) == ("quick", "call_2")
    assert finished(events).turns == 2


async def test_calls_of_one_turn_run_at_the_same_time():
    together = asyncio.Barrier(3)

    async def meet():
        await asyncio.wait_for(together.wait(), 5)
        return "met"

    model = ScriptedModel(calls(("meet", {}), ("meet", {}), ("meet", {})), says("done"))
    events = await events_of(model, FakeToolbox([meet]))
    assert [e.result.text for e in events if isinstance(e, ToolFinished)] == ["met"] * 3


async def test_every_call_is_announced_before_any_ends():
    model = ScriptedModel(calls(("f", {}), ("f", {})), says("done"))
    events = await events_of(model, FakeToolbox([_named("f")]))
    kinds = [type(e) for e in events if isinstance(e, ToolStarted | ToolFinished)]
    assert kinds == [ToolStarted, ToolStarted, ToolFinished, ToolFinished]


def _named(name):
    def function(**_):
        return "ok"

    function.__name__ = name
    return function


async def test_a_failing_tool_is_told_to_the_model():
    def broken():
        raise ValueError("no such table")

    model = ScriptedModel(calls(("broken", {})), says("sorry"))
    await events_of(model, FakeToolbox([broken]))
    assert "no such table" in model.requests[1].messages[-1].content


async def test_usage_is_summed():
    model = ScriptedModel(
        calls(("f", {}), usage=Usage(10, 5, 3, 2)), says("done", usage=Usage(20, 7, 4, 1))
    )
    events = await events_of(model, FakeToolbox([_named("f")]))
    assert finished(events).usage == Usage(30, 12, 7, 3)


@pytest.mark.parametrize(
    ("limits", "cause", "asked"),
    [
        (Limits(max_turns=3), "max_turns", 3),
        (Limits(max_tool_calls=2), "max_tool_calls", 3),
        (Limits(max_tokens=30), "max_tokens", 2),
    ],
)
async def test_an_endless_tool_loop_is_stopped_by_a_limit(limits, cause, asked):
    model = ScriptedModel(calls(("f", {})))
    events = await events_of(model, FakeToolbox([_named("f")]), limits)
    assert (finished(events).reason, finished(events).cause) == ("length", cause)
    assert len(model.requests) == asked


async def test_repeated_and_missing_ids_are_made_unique():
    turn = [ToolCall(i, "f", "{}") for i in ("", "x", "x", "call_1")]
    model = ScriptedModel([*turn, ModelFinished("tool_calls")], [turn[1], *says("")], says("done"))
    events = await events_of(model, FakeToolbox([_named("f")]))
    ids = [e.call.id for e in events if isinstance(e, ToolStarted)]
    assert len(ids) == len(set(ids)) == 5
    answered = [m.tool_call_id for m in finished(events).messages if m.role == "tool"]
    assert answered == ids


async def test_calls_beside_a_cut_off_answer_never_run():
    model = ScriptedModel([ToolCall("1", "f", '{"a": '), ModelFinished("length")])
    toolbox = FakeToolbox([_named("f")])
    events = await events_of(model, toolbox)
    assert toolbox.calls == []
    assert finished(events).reason == "length"


async def test_calls_beside_stop_do_run():
    model = ScriptedModel([ToolCall("1", "f", "{}"), ModelFinished("stop")], says("done"))
    toolbox = FakeToolbox([_named("f")])
    await events_of(model, toolbox)
    assert len(toolbox.calls) == 1


async def test_a_stream_without_a_finish_is_an_error():
    with pytest.raises(ModelError) as raised:
        await events_of(ScriptedModel([TextDelta("half an ans")]))
    assert raised.value.kind == "truncated"


async def test_the_deadline_stops_a_silent_model():
    model = ScriptedModel([TextDelta("a"), 30.0])
    with pytest.raises(RunError, match=r"0\.05 s"):
        await events_of(model, limits=Limits(timeout=0.05))
    assert model.cancelled == 1


async def test_the_deadline_stops_a_dripping_model():
    model = ScriptedModel([step for _ in range(200) for step in (TextDelta("."), 0.01)])
    with pytest.raises(RunError):
        await events_of(model, limits=Limits(timeout=0.1))
    assert model.cancelled == 1


async def test_the_deadline_stops_a_hanging_tool():
    cancelled = []

    async def hang():
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    with pytest.raises(RunError):
        await events_of(
            ScriptedModel(calls(("hang", {}))), FakeToolbox([hang]), Limits(timeout=0.05)
        )
    assert cancelled == [True]


async def test_closing_the_run_stops_the_model_and_the_tools():
    cancelled = []

    async def hang():
        try:
            await asyncio.sleep(30)
        finally:
            cancelled.append(True)

    model = ScriptedModel(calls(("hang", {})))
    stream = run(ASK, model=model, toolbox=FakeToolbox([hang]), limits=Limits())
    async with aclosing(stream):
        async for event in stream:
            if isinstance(event, ToolStarted):
                await asyncio.sleep(0.01)
                break
    assert cancelled == [True]


async def test_a_model_that_raises_timeout_error_itself_is_not_taken_for_the_deadline():
    with pytest.raises(TimeoutError):
        await events_of(ScriptedModel([TimeoutError()]))


LOOKUP = Tool("lookup", "The caller's own.", {"type": "object"})


async def with_callers_tools(model, toolbox=None, **options):
    options = RunOptions(tools=(LOOKUP,), **options)
    box = toolbox or FakeToolbox()
    stream = run(ASK, model=model, toolbox=box, limits=Limits(), options=options)
    return [event async for event in stream]


async def test_a_call_of_a_callers_tool_ends_the_run():
    model = ScriptedModel(calls(("lookup", {"id": 7})))
    end = finished(await with_callers_tools(model))
    assert (end.reason, end.cause) == ("tool_calls", None)
    assert [(call.name, call.arguments) for call in end.calls] == [("lookup", '{"id": 7}')]
    assert end.messages[-1].tool_calls == end.calls
    assert [tool.name for tool in model.requests[0].tools] == ["lookup"]


async def test_the_agents_own_calls_beside_it_are_run_first():
    def own():
        return "mine"

    model = ScriptedModel(calls(("lookup", {}), ("own", {})))
    events = await with_callers_tools(model, FakeToolbox([own]))
    assert [e.call.name for e in events if isinstance(e, ToolStarted)] == ["own"]
    end = finished(events)
    assert [call.name for call in end.calls] == ["lookup"]
    assert [m.role for m in end.messages] == ["assistant", "tool"]


@pytest.mark.parametrize(
    ("choice", "first", "second"),
    [
        ("auto", "auto", "auto"),
        ("required", "required", "auto"),
        (NamedTool("lookup"), NamedTool("lookup"), "auto"),
    ],
)
async def test_a_choice_of_tools_holds_for_the_first_turn(choice, first, second):
    def own():
        return "mine"

    model = ScriptedModel(calls(("own", {})), says("done"))
    await with_callers_tools(model, FakeToolbox([own]), tool_choice=choice)
    assert [request.tool_choice for request in model.requests] == [first, second]


async def test_the_choice_of_none_hides_the_callers_tools_and_not_the_agents():
    def own():
        return "mine"

    model = ScriptedModel(says("done"))
    await with_callers_tools(model, FakeToolbox([own]), tool_choice="none")
    assert [tool.name for tool in model.requests[0].tools] == ["own"]
    assert model.requests[0].tool_choice == "auto"


async def test_of_the_callers_tools_the_model_has_those_that_are_allowed():
    other = Tool("other", "", {"type": "object"})
    options = RunOptions(tools=(LOOKUP, other), allowed=frozenset({"other"}))
    model = ScriptedModel(calls(("lookup", {})), calls(("other", {})))
    stream = run(ASK, model=model, toolbox=FakeToolbox(), limits=Limits(), options=options)
    end = finished([event async for event in stream])
    assert [tool.name for tool in model.requests[0].tools] == ["other"]
    assert [call.name for call in end.calls] == ["other"]


async def test_what_a_run_may_cost():
    def own():
        return "mine"

    usage = Usage(10, 5, cost_usd=0.4)
    model = ScriptedModel(calls(("own", {}), usage=usage))
    events = await events_of(model, FakeToolbox([own]), Limits(max_cost_usd=1.0))
    assert finished(events).cause == "max_cost_usd"
    assert finished(events).reason == "length"
    assert finished(events).usage.cost_usd == pytest.approx(1.2)
    assert len(model.requests) == 3


async def test_an_answer_gets_no_more_tokens_than_the_run_has_left():
    def own():
        return "mine"

    model = ScriptedModel(
        calls(("own", {}), usage=Usage(60, 10)),
        says("cut", usage=Usage(20, 10), reason="length"),
    )
    limits = Limits(max_tokens=100)
    events = await events_of(model, FakeToolbox([own]), limits, {"max_completion_tokens": 80})
    assert [request.most_tokens for request in model.requests] == [100, 30]
    assert (finished(events).reason, finished(events).cause) == ("length", "max_tokens")


async def test_the_deadline_leaves_an_answer_that_only_waits_for_tools():
    async def hang():
        await asyncio.sleep(30)

    model = ScriptedModel([TextDelta("Let me look."), *calls(("hang", {}))])
    events = await events_of(model, FakeToolbox([hang]), Limits(timeout=0.1))
    assert (finished(events).reason, finished(events).cause) == ("length", "timeout")


async def test_thoughts_go_back_with_the_results_and_are_not_shown():
    def own():
        return "mine"

    thought = Thought("hm", signature="s")
    model = ScriptedModel([thought, *calls(("own", {}))], [thought, *says("done")])
    events = await events_of(model, FakeToolbox([own]))
    assert model.requests[1].messages[2].thoughts == (thought,)
    assert thought not in events
    assert finished(events).messages[-1].thoughts == ()


async def test_images_follow_the_results_of_their_turn():
    image = ImagePart("data:image/png;base64,AAAA")

    class Pictures(FakeToolbox):
        async def call(self, call, _):
            return ToolResult(f"[{call.id}]", images=(image,), server="s")

    model = ScriptedModel(calls(("a", {}), ("b", {})), says("two cats"))
    events = [event async for event in run([Message("user", "?")], model=model, toolbox=Pictures())]
    first, second, pictures = model.requests[1].messages[-3:]
    assert (first.tool_call_id, second.tool_call_id) == ("call_1", "call_2")
    assert first.content == '<tool_output from="s">\n[call_1]\n</tool_output>'
    assert pictures.role == "user"
    assert pictures.parts[1:] == (image, image)
    assert events[-1].messages[-1].content == "two cats"


async def test_a_loop_stops_where_its_user_has_to_agree():
    def pay():
        raise AssertionError("nobody agreed")

    def look():
        return "seen"

    model = ScriptedModel(calls(("look", {}), ("pay", {})))
    finish = finished(await events_of(model, FakeToolbox([look, pay], asks_for=["pay"])))
    assert finish.reason == "stop"
    assert finish.paused
    assert [waiting.call.name for waiting in finish.paused.waiting] == ["pay"]
    assert [message.content for message in finish.paused.results] == ["seen"]
    assert len(model.requests) == 1
