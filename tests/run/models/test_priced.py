"""Costs: of a run, its limit, and a limit that can't be kept for want of a price."""

from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from retinue.agent import Agent, Limits, SubAgent
from retinue.errors import NotSupportedError
from retinue.route import Price, Route
from retinue.run.events import RunFinished, Usage
from retinue.run.messages import Message
from retinue.run.runtime import Runtime
from retinue.testing import ScriptedModel, agent, calls, route, says

A_DOLLAR = Usage(1_000_000, 0)
PRICE = Price(input=1.0, output=2.0)


def limited(model: Route, most: float = 2.0) -> Agent:
    return agent(model=model, limits=Limits(max_cost_usd=most))


async def last_event(one: Agent, *turns: Any) -> RunFinished:
    models = {"scripted": lambda *_: ScriptedModel(*turns)}
    async with Runtime([one], models=models) as runtime:
        async with aclosing(runtime.run(one.name, [Message("user", "go")])) as run:
            events = [event async for event in run]
    assert isinstance(events[-1], RunFinished)
    return events[-1]


async def test_a_run_stops_before_it_costs_more_than_its_limit() -> None:
    again = calls(("no_such_tool", {}), usage=A_DOLLAR)
    end = await last_event(limited(route("scripted/x", price=PRICE)), again)
    assert (end.reason, end.cause, end.turns) == ("length", "max_cost_usd", 2)
    assert end.usage.cost_usd == pytest.approx(2.0)


async def test_a_run_below_its_limit_goes_on() -> None:
    turns = calls(("no_such_tool", {}), usage=A_DOLLAR), says("done", usage=A_DOLLAR)
    end = await last_event(limited(route("scripted/x", price=PRICE)), *turns)
    assert (end.reason, end.cause) == ("stop", None)


async def test_without_a_price_the_cost_is_unknown() -> None:
    end = await last_event(agent(), says("done"))
    assert end.usage.cost_usd is None


async def test_a_model_of_the_list_needs_no_price_of_its_own() -> None:
    models = {"": lambda *_: ScriptedModel(says("done", usage=A_DOLLAR))}
    one = limited(route("anthropic/claude-sonnet-4-5"), most=5)
    async with Runtime([one], models=models) as runtime:
        async with aclosing(runtime.run(one.name, [Message("user", "go")])) as run:
            events = [event async for event in run]
    assert isinstance(events[-1], RunFinished)
    assert events[-1].usage.cost_usd == pytest.approx(3.0)


def test_a_limit_on_costs_needs_the_price_of_every_model() -> None:
    unpriced = route("databricks/mine", fallbacks=(route("openai/gpt-4o"), route("azure/ours")))
    with pytest.raises(NotSupportedError) as caught:
        Runtime([limited(unpriced)], models={"": lambda *_: ScriptedModel()})
    assert "'databricks/mine', 'azure/ours'" in str(caught.value)
    assert "gpt-4o" not in str(caught.value)
    assert "price:" in str(caught.value)
    Runtime([agent(model=unpriced)], models={"": lambda *_: ScriptedModel()})


def test_a_sub_agent_spends_of_the_same_budget_and_needs_a_price_too() -> None:
    def calling(model: str) -> Agent:
        called = SubAgent(agent=agent("b", model=route(model)))
        return replace(limited(route("scripted/x", price=PRICE)), sub_agents=(called,))

    models = {"": lambda *_: ScriptedModel()}
    Runtime([calling("gpt-4o")], models=models)
    with pytest.raises(NotSupportedError, match="'azure/ours'"):
        Runtime([calling("azure/ours")], models=models)
