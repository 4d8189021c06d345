"""Retries, fallbacks and deadlines of one model call, over scripted deployments."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from retinue.errors import ModelError, ModelFault
from retinue.route import Deployment, Price, Route, Timeouts
from retinue.run.events import (
    ModelEvent,
    ModelFinished,
    ModelRetried,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from retinue.run.messages import Message
from retinue.run.models.routed import RoutedModel
from retinue.run.ports import Model, ModelRequest, Tool
from retinue.run.references import environment
from retinue.testing import ScriptedModel, calls, route, says

HELLO = ModelRequest(messages=(Message("user", "hi"),))


def fault(kind: ModelFault, **fields: Any) -> ModelError:
    return ModelError(kind, f"the model is unwell: {kind}", **fields)


def routed(chosen: Route, models: Mapping[str, Model]) -> RoutedModel:
    """A route over scripted models, by deployment id."""
    return RoutedModel(chosen, {"": lambda d, _: models[d.model]}, environment({}))


async def ask(model: Model, request: ModelRequest = HELLO) -> list[ModelEvent]:
    return [event async for event in model.stream(request)]


def said(events: Sequence[ModelEvent]) -> str:
    return "".join(e.text for e in events if isinstance(e, TextDelta))


def hops(events: Sequence[ModelEvent]) -> list[tuple[str, str, str]]:
    return [(e.model, e.fault, e.next) for e in events if isinstance(e, ModelRetried)]


@pytest.mark.parametrize("kind", ["rate_limit", "timeout", "unavailable", "truncated"])
async def test_a_passing_fault_is_tried_again(kind: ModelFault) -> None:
    model = ScriptedModel([fault(kind, retry_after=0.0)], says("hello"))
    events = await ask(routed(route("a"), {"a": model}))
    assert said(events) == "hello"
    assert hops(events) == [("a", kind, "a")]
    assert len(model.requests) == 2


@pytest.mark.parametrize(
    "kind", ["auth", "bad_request", "content_filter", "context_window", "not_found"]
)
async def test_what_would_fail_again_is_not_tried_again(kind: ModelFault) -> None:
    model = ScriptedModel([fault(kind)], says("hello"))
    with pytest.raises(ModelError) as caught:
        await ask(routed(route("a"), {"a": model}))
    assert caught.value.kind == kind
    assert len(model.requests) == 1


async def test_a_used_up_quota_is_not_tried_again() -> None:
    model = ScriptedModel([fault("rate_limit", permanent=True)])
    with pytest.raises(ModelError) as caught:
        await ask(routed(route("a"), {"a": model}))
    assert caught.value.permanent
    assert len(model.requests) == 1


async def test_what_is_about_tools_goes_along_with_tools_alone() -> None:
    model = ScriptedModel(says("hello"), says("hello"), says("hello"))
    own = routed(route("a", settings={"parallel_tool_calls": False, "seed": 1}), {"a": model})
    given = {"parallel_tool_calls": True}
    tools = (Tool("add", "", {"type": "object"}),)
    for request in (HELLO, replace(HELLO, settings=given), replace(HELLO, tools=tools)):
        await ask(own, request)
    sent = [request.settings for request in model.requests]
    assert sent == [{"seed": 1}, {"seed": 1}, {"seed": 1, "parallel_tool_calls": False}]


async def test_retries_are_counted() -> None:
    model = ScriptedModel([fault("unavailable", retry_after=0.0)])
    with pytest.raises(ModelError):
        await ask(routed(route("a", retries=3), {"a": model}))
    assert len(model.requests) == 4


async def test_nothing_is_repeated_after_output() -> None:
    model = ScriptedModel([TextDelta("hel"), fault("unavailable")], says("hello"))
    seen: list[ModelEvent] = []
    with pytest.raises(ModelError):
        async for event in routed(route("a"), {"a": model}).stream(HELLO):
            seen += [event]
    assert said(seen) == "hel"
    assert len(model.requests) == 1


async def test_part_of_a_tool_call_is_no_output_yet() -> None:
    model = ScriptedModel([ToolCallDelta(), fault("truncated", retry_after=0.0)], calls(("f", {})))
    events = await ask(routed(route("a"), {"a": model}))
    assert not any(isinstance(event, ToolCallDelta) for event in events)
    assert isinstance(events[-1], ModelFinished)


async def test_a_stream_without_a_finish_is_an_error() -> None:
    with pytest.raises(ModelError) as caught:
        await ask(routed(route("a"), {"a": ScriptedModel([TextDelta("half")])}))
    assert caught.value.kind == "truncated"


async def test_a_named_wait_is_kept() -> None:
    model = ScriptedModel([fault("rate_limit", retry_after=0.2)], says("hello"))
    start = asyncio.get_running_loop().time()
    await ask(routed(route("a"), {"a": model}))
    assert asyncio.get_running_loop().time() - start >= 0.2


@pytest.mark.parametrize(
    ("limits", "deadline"), [({"timeout": Timeouts(total=1)}, None), ({}, 1.0), ({}, None)]
)
async def test_a_wait_that_is_too_long_is_told_and_not_waited_for(
    limits: dict[str, Any], deadline: float | None
) -> None:
    """Longer than the call's time, than the run's, or than any wait."""
    model = ScriptedModel([fault("rate_limit", retry_after=31.0)])
    end = asyncio.get_running_loop().time() + deadline if deadline else None
    with pytest.raises(ModelError) as caught:
        await ask(routed(route("a", **limits), {"a": model}), replace(HELLO, deadline=end))
    assert caught.value.retry_after == 31.0
    assert len(model.requests) == 1


async def test_the_next_route_is_asked_when_retries_are_used_up() -> None:
    models = {"a": ScriptedModel([fault("unavailable", retry_after=0.0)]), "b": ScriptedModel()}
    chosen = route("a", retries=1, fallbacks=(route("b", settings={"seed": 7}),))
    events = await ask(routed(chosen, models), replace(HELLO, settings={"temperature": 0.5}))
    assert hops(events) == [("a", "unavailable", "a"), ("a", "unavailable", "b")]
    assert models["b"].requests[0].settings == {"seed": 7, "temperature": 0.5}
    assert isinstance(events[-1], ModelFinished)
    assert events[-1].model == "b"


@pytest.mark.parametrize(
    ("kind", "fallback_on", "asked"),
    [
        ("auth", ("rate_limit",), False),
        ("auth", ("auth",), True),
        ("context_window", ("context_window",), True),
        ("content_filter", ("rate_limit", "timeout", "unavailable"), False),
        ("truncated", ("unavailable",), True),
        ("bad_request", ("unavailable", "auth"), False),
    ],
)
async def test_a_fallback_is_asked_for_the_faults_that_are_named(
    kind: ModelFault, fallback_on: tuple[str, ...], asked: bool
) -> None:
    models = {"a": ScriptedModel([fault(kind)]), "b": ScriptedModel()}
    chosen = route("a", retries=0, fallback_on=fallback_on, fallbacks=(route("b"),))
    if asked:
        assert hops(await ask(routed(chosen, models))) == [("a", kind, "b")]
    else:
        with pytest.raises(ModelError, match=kind):
            await ask(routed(chosen, models))
    assert len(models["b"].requests) == asked


async def test_when_all_fail_the_first_routes_fault_counts_and_each_is_told() -> None:
    models = {
        "a": ScriptedModel([ModelError("rate_limit", "a is busy", retry_after=7.0)]),
        "b": ScriptedModel([ModelError("auth", "b refused")]),
    }
    chosen = route("a", fallbacks=(route("b"),))
    with pytest.raises(ModelError, match="a is busy; then b refused") as caught:
        await ask(routed(chosen, models))
    assert (caught.value.kind, caught.value.retry_after) == ("rate_limit", 7.0)


async def test_a_route_that_is_down_is_skipped_and_the_skip_told() -> None:
    models = {"a": ScriptedModel([fault("unavailable")]), "b": ScriptedModel()}
    model = routed(route("a", retries=0, fallbacks=(route("b"),)), models)
    for _ in range(3):
        await ask(model)
    events = await ask(model)
    assert len(models["a"].requests) == 3
    assert hops(events) == [("a", "unavailable", "b")]


async def test_another_deployment_is_asked_at_once() -> None:
    models = {"a": ScriptedModel([fault("auth")]), "b": ScriptedModel()}
    both = Route(deployments=(Deployment(model="a", weight=1000), Deployment(model="b")))
    model = routed(both, models)
    while not models["a"].requests:
        events = await ask(model)
    assert said(events) == "ok"
    assert hops(events) == [("a", "auth", "b")]
    # It rests from now on.
    await asyncio.gather(*(ask(model) for _ in range(20)))
    assert len(models["a"].requests) == 1


async def test_deployments_are_drawn_by_weight() -> None:
    models = {"a": ScriptedModel(), "b": ScriptedModel()}
    both = Route(deployments=(Deployment(model="a", weight=9), Deployment(model="b", weight=1)))
    model = routed(both, models)
    for _ in range(400):
        await ask(model)
    # 40 are expected of b; outside of these bounds it is no draw by weight.
    assert 10 < len(models["b"].requests) < 90


@pytest.mark.parametrize(
    ("limits", "steps", "words"),
    [
        (Timeouts(total=0.1), [30.0], "did not answer within 0.1 s"),
        (Timeouts(first_token=0.1), [30.0], "no output within 0.1 s"),
        (Timeouts(idle=0.1), [TextDelta("a"), 30.0], "paused for more than 0.1 s"),
        (Timeouts(total=0.2, idle=0.1), [TextDelta("."), 0.05] * 20, "did not answer within 0.2 s"),
    ],
)
async def test_deadlines(limits: Timeouts, steps: list[Any], words: str) -> None:
    model = ScriptedModel(steps)
    with pytest.raises(ModelError, match=words) as caught:
        await asyncio.wait_for(ask(routed(route("a", timeout=limits, retries=0), {"a": model})), 5)
    assert caught.value.kind == "timeout"
    assert model.cancelled == 1


async def test_pieces_of_a_tool_call_keep_a_call_alive() -> None:
    steps = [ReasoningDelta("hm"), *[0.06, ToolCallDelta()] * 4, *calls(("f", {}))]
    model = routed(route("a", timeout=Timeouts(idle=0.2), retries=0), {"a": ScriptedModel(steps)})
    assert isinstance((await ask(model))[-1], ModelFinished)


async def test_no_first_token_in_time_is_tried_again_within_the_total() -> None:
    model = ScriptedModel([30.0], says("hello"))
    chosen = route("a", timeout=Timeouts(total=30, first_token=0.1))
    assert said(await ask(routed(chosen, {"a": model}))) == "hello"


async def test_closing_the_call_closes_it_at_the_deployment() -> None:
    model = ScriptedModel([TextDelta("a"), 30.0])
    stream = routed(route("a"), {"a": model}).stream(HELLO)
    await anext(stream)
    await stream.aclose()
    assert model.cancelled == 1


async def test_closing_while_waiting_for_a_retry() -> None:
    model = ScriptedModel([fault("rate_limit", retry_after=20.0)])
    task = asyncio.create_task(ask(routed(route("a"), {"a": model})))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cost_is_told_where_the_price_is_known() -> None:
    price = Price(input=3, output=15, cached_input=0.3, cache_write=3.75)
    usage = Usage(1_000_000, 100_000, cached_tokens=500_000, cache_write_tokens=100_000)
    model = ScriptedModel(says("ok", usage=usage))
    (*_, priced) = await ask(routed(route("a", price=price), {"a": model}))
    assert isinstance(priced, ModelFinished)
    assert priced.usage.cost_usd == pytest.approx(0.4 * 3 + 0.5 * 0.3 + 0.1 * 3.75 + 0.1 * 15)


async def test_hops_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    model = ScriptedModel([fault("unavailable", retry_after=0.0)], says("hello"))
    with caplog.at_level(logging.WARNING):
        await ask(routed(route("a"), {"a": model}))
    assert "unavailable at 'a'; asking 'a'" in caplog.text


async def test_all_models_are_warmed_and_closed() -> None:
    models = {"a": ScriptedModel(), "b": ScriptedModel()}
    model = routed(route("a", fallbacks=(route("b"),)), models)
    await model.warm()
    await model.aclose()
    assert all(one.warmed and one.closed for one in models.values())


@pytest.mark.parametrize(
    ("model", "own", "given", "most", "sent"),
    [
        ("a", {"max_tokens": 80}, {}, 100, {"max_tokens": 80}),
        ("a", {"max_tokens": 80}, {}, 30, {"max_tokens": 30}),
        ("a", {}, {"max_completion_tokens": 80}, 30, {"max_completion_tokens": 30}),
        ("a", {}, {}, 30, {"max_tokens": 30}),
        # More than a model gives would be refused.
        ("a", {}, {}, 1_000_000, {}),
        ("openai/gpt-4o", {}, {}, 1_000_000, {}),
        ("openai/gpt-4o", {}, {}, 10_000, {"max_tokens": 10_000}),
    ],
)
async def test_no_more_tokens_are_asked_for_than_the_run_has_left(
    model: str, own: Any, given: Any, most: int, sent: Any
) -> None:
    scripted = ScriptedModel(says("ok"))
    request = replace(HELLO, settings=given, most_tokens=most)
    await ask(routed(route(model, settings=own), {model: scripted}), request)
    assert scripted.requests[0].settings == sent


async def down(chosen: Route, models: Mapping[str, Model]) -> RoutedModel:
    """A route whose first model has failed three times."""
    model = routed(chosen, models)
    for _ in range(3):
        with pytest.raises(ModelError):
            await ask(model)
    return model


async def test_a_route_is_skipped_only_for_what_it_would_be_fallen_back_for() -> None:
    models = {"a": ScriptedModel([fault("auth")]), "b": ScriptedModel(says("hello"))}
    chosen = route("a", retries=0, fallbacks=(route("b"),), fallback_on=("rate_limit",))
    model = await down(chosen, models)
    with pytest.raises(ModelError, match="auth"):
        await ask(model)
    assert not models["b"].requests


async def test_callers_whose_tokens_are_refused_do_not_put_a_deployment_to_rest() -> None:
    models = {"a": ScriptedModel([fault("auth")]), "b": ScriptedModel(says("hello"))}
    chosen = route("a", auth="user", fallbacks=(route("b"),), fallback_on=("auth",))
    model = routed(chosen, models)
    for _ in range(4):
        assert said(await ask(model)) == "hello"
    assert len(models["a"].requests) == 4
