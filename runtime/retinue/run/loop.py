"""A model, a toolbox and messages → events. The agent loop, written once."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from retinue.agent import Limits
from retinue.errors import RunError
from retinue.run.approval import Resumed
from retinue.run.budget import Budget
from retinue.run.context import RunContext
from retinue.run.deadline import Deadline
from retinue.run.events import Event, ToolFinished, ToolProgressed, ToolStarted, TurnStarted
from retinue.run.messages import Message, ToolCall
from retinue.run.options import RunOptions
from retinue.run.ports import Model, ModelRequest, Toolbox
from retinue.run.progress import Progress
from retinue.run.telling import Telling
from retinue.run.turn import Turn

_GIVEN_UP = (asyncio.CancelledError, GeneratorExit, RunError)


async def run(
    messages: Sequence[Message],
    *,
    model: Model,
    toolbox: Toolbox,
    limits: Limits | None = None,
    options: RunOptions | None = None,
    context: RunContext | None = None,
) -> AsyncGenerator[Event, None]:
    """Ask the model, run the tools it calls, ask again, until it answers or a limit is met.

    `messages` begin with the system prompt; `limits` are for a run without a `context`. The last
    event is a RunFinished. A run whose user has to agree to calls ends `paused` once the others
    are made, and goes on as `context.resumed`. Raises ModelError, and RunError at the deadline,
    unless there is an answer already and only tools are waited for. Close the generator
    (`aclosing`) to stop the run: the model call and the tools under way are cancelled.
    """
    options = options or RunOptions()
    context = context or RunContext(Budget(limits or Limits()))
    budget = context.budget
    progress = Progress(budget, options, context.resumed)
    if context.resumed:
        context.handoff = context.resumed.paused.handoff
        context.agreed = context.resumed.agreed
        # What is called from here on isn't what was paused.
        context.resumed = None
    if progress.own_calls:
        async with aclosing(_act(progress, toolbox, context)) as results:
            async for result in results:
                yield result
    while progress.goes_on:
        sent = (*messages, *progress.messages, *progress.aside)
        if over := await budget.begin_turn(sent):
            progress.stop("length", over)
            break
        yield TurnStarted(progress.turns)
        turn = Turn(progress.check)
        request = ModelRequest(
            messages=sent,
            tools=(*toolbox.tools, *progress.callers_tools),
            tool_choice=progress.tool_choice,
            settings=options.settings,
            output=options.output,
            most_tokens=budget.tokens,
            user_token=context.caller.token,
            deadline=budget.end,
        )
        events = Deadline(budget.end).within(model.stream(request), budget.too_late)
        try:
            async with aclosing(events) as stream:
                async for event in stream:
                    shown = turn.take(event)
                    if shown is not None:
                        yield shown
        except BaseException as error:
            _broke_off(budget, sent, turn, error)
            raise
        for held in progress.add_answer(turn):
            yield held
        if progress.own_calls:
            progress.ask_first(toolbox)
            async with aclosing(_act(progress, toolbox, context)) as results:
                async for result in results:
                    yield result
    yield progress.finished()


def _broke_off(budget: Budget, sent: Sequence[Message], turn: Turn, error: BaseException) -> None:
    """Whoever hangs up before the end has had an answer, too."""
    if turn.finish is not None:
        budget.spend(turn.finish.usage)
    elif turn.begun or isinstance(error, _GIVEN_UP):
        budget.broke_off(sent, turn.came)


async def _act(
    progress: Progress, toolbox: Toolbox, context: RunContext
) -> AsyncGenerator[ToolStarted | ToolProgressed | ToolFinished, None]:
    """Make the calls of the last turn, and see whether the run goes on."""
    results = _call_all(progress.calls_to_make, progress.under, toolbox, context)
    async with aclosing(results):
        async for result in results:
            shown = progress.note(result)
            if shown is not None:
                yield shown
    complete = progress.add_results(context.handoff)
    if progress.paused:
        return
    if complete and not context.budget.over:
        if context.handoff:
            progress.stop("stop", None)
    elif progress.answered:
        progress.stop("length", "timeout")
    else:
        raise context.budget.too_late()


async def _call_all(
    calls: Sequence[ToolCall],
    under: Mapping[str, Resumed],
    toolbox: Toolbox,
    context: RunContext,
) -> AsyncGenerator[ToolStarted | ToolProgressed | ToolFinished, None]:
    """Start every call at once; yield what each tells, and each as it finishes, until the deadline.

    `under` are the runs under calls, by the calls' ids, that go on.
    """
    telling = Telling()
    tasks = {
        asyncio.create_task(_timed(call, toolbox, _within(context, under.get(call.id)), telling))
        for call in calls
    }
    pending = set(tasks)
    try:
        for call in calls:
            yield ToolStarted(call)
        while pending:
            left = max(0.0, context.budget.end - asyncio.get_running_loop().time())
            waited: set[asyncio.Future[Any]] = {*pending, telling.told}
            done, _ = await asyncio.wait(waited, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                return
            for line in telling.take():
                yield line
            finished, pending = pending & done, pending - done
            for task in finished:
                yield task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _within(context: RunContext, resumed: Resumed | None) -> RunContext:
    """The context of a call: the run's own, as a tool may hand the conversation over in it."""
    return context if resumed is None else replace(context, resumed=resumed)


async def _timed(
    call: ToolCall, toolbox: Toolbox, context: RunContext, telling: Telling
) -> ToolFinished:
    telling.begin(call)
    start = time.monotonic()
    result = await toolbox.call(call, context)
    return ToolFinished(call, result, time.monotonic() - start)
