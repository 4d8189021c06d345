"""What a run has spent that doesn't come to its end."""

import asyncio
from contextlib import aclosing

import pytest

from retinue.errors import ModelError, RunError
from retinue.run.events import ModelFinished, ReasoningDelta, TextDelta, Usage
from retinue.run.loop import run
from retinue.run.messages import Message
from retinue.testing import FakeToolbox, ScriptedModel, calls, run_context

# 4 tokens for each message and one for four bytes.
QUESTION = [Message("user", "q" * 96)]
SENT = 28


async def spent(*turns, until: type | None = None, functions=(), **limits) -> Usage:
    """What is spent by a run that fails, or is closed after the first event of a kind."""
    context = run_context(**limits)
    model = ScriptedModel(*turns)
    events = run(QUESTION, model=model, toolbox=FakeToolbox(functions), context=context)
    try:
        async with aclosing(events) as stream:
            async for event in stream:
                if until and isinstance(event, until):
                    break
    except (ModelError, RunError):
        assert until is None
    return context.budget.usage


async def test_an_answer_that_is_given_up_counts_by_its_length():
    used = await spent([TextDelta("a" * 40), 30], until=TextDelta)
    assert used == Usage(SENT, 14)
    thinking = [ReasoningDelta("a" * 20), TextDelta("a" * 40), 30]
    assert await spent(thinking, until=TextDelta) == Usage(SENT, 19)


async def test_one_that_breaks_off_counts_and_one_that_never_began_does_not():
    fails = ModelError("unavailable", "no")
    assert await spent([TextDelta("a" * 40), fails]) == Usage(SENT, 14)
    assert await spent([fails]) == Usage()


async def test_one_that_is_late_counts_also_where_nothing_came():
    assert await spent([30], timeout=0.05) == Usage(SENT, 4)


async def test_what_was_told_counts_as_it_was_told():
    told = Usage(7, 3, cost_usd=0.5)
    assert await spent([TextDelta("a"), ModelFinished("stop", told)], until=ModelFinished) == told


async def test_the_answers_before_count_as_ever():
    def look() -> str:
        """Look."""
        return "ok"

    first = calls(("look", {}), usage=Usage(10, 5, cost_usd=0.25))
    used = await spent(first, [ModelError("unavailable", "no")], functions=[look])
    assert used == Usage(10, 5, cost_usd=0.25)


async def test_a_run_that_is_cancelled_has_spent():
    context = run_context()
    model = ScriptedModel([TextDelta("a" * 40), 30])
    shown = asyncio.Event()

    async def follow() -> None:
        events = run(QUESTION, model=model, toolbox=FakeToolbox(()), context=context)
        async with aclosing(events) as stream:
            async for event in stream:
                if isinstance(event, TextDelta):
                    shown.set()

    running = asyncio.create_task(follow())
    await shown.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert context.budget.usage == Usage(SENT, 14)
