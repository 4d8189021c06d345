"""A model, a toolbox and messages → events. The agent loop, written once."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from retinue.agent import Limits
from retinue.errors import RunError
from retinue.run.deadline import Deadline, before
from retinue.run.events import Event, ToolFinished, ToolStarted, TurnStarted
from retinue.run.messages import Message, ToolCall
from retinue.run.options import RunOptions
from retinue.run.ports import Model, ModelRequest, Toolbox
from retinue.run.progress import Progress
from retinue.run.turn import Turn


async def run(
    messages: Sequence[Message],
    *,
    model: Model,
    toolbox: Toolbox,
    limits: Limits,
    options: RunOptions | None = None,
    user_token: str | None = None,
) -> AsyncGenerator[Event, None]:
    """Ask the model, run the tools it calls, ask again, until it answers or a limit is met.

    `messages` begin with the system prompt. The last event is a RunFinished. Raises ModelError,
    and RunError at the deadline, unless there is an answer already and only tools are waited for.
    Close the generator (`aclosing`) to stop the run: the model call and the tools under way are
    cancelled.
    """
    options = options or RunOptions()
    progress = Progress(limits, options)
    end = asyncio.get_running_loop().time() + limits.timeout
    while progress.goes_on:
        yield TurnStarted(progress.turns + 1)
        turn = Turn(progress.check)
        request = ModelRequest(
            messages=(*messages, *progress.messages, *progress.aside),
            tools=(*toolbox.tools, *progress.callers_tools),
            tool_choice=progress.tool_choice,
            settings=progress.settings(),
            output=options.output,
            user_token=user_token,
            deadline=end,
        )
        events = before(Deadline(end), model.stream(request), lambda: _too_late(limits))
        async with aclosing(events) as stream:
            async for event in stream:
                shown = turn.take(event)
                if shown is not None:
                    yield shown
        for held in progress.add_answer(turn):
            yield held
        if progress.own_calls:
            async with aclosing(_call_all(progress.own_calls, toolbox, end)) as results:
                async for result in results:
                    progress.note(result)
                    yield result
            if progress.add_results():
                continue
            if not progress.answered:
                raise _too_late(limits)
            progress.stop("length", "timeout")
    yield progress.finished()


async def _call_all(
    calls: Sequence[ToolCall], toolbox: Toolbox, end: float
) -> AsyncGenerator[ToolStarted | ToolFinished, None]:
    """Start every call at once; yield each as it finishes, until the deadline."""
    tasks = {asyncio.create_task(_timed(call, toolbox)) for call in calls}
    pending = set(tasks)
    try:
        for call in calls:
            yield ToolStarted(call)
        while pending:
            left = max(0.0, end - asyncio.get_running_loop().time())
            done, pending = await asyncio.wait(
                pending, timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                return
            for task in done:
                yield task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _timed(call: ToolCall, toolbox: Toolbox) -> ToolFinished:
    start = time.monotonic()
    result = await toolbox.call(call)
    return ToolFinished(call, result, time.monotonic() - start)


def _too_late(limits: Limits) -> RunError:
    return RunError(f"the run did not finish within its limit of {limits.timeout:g} s")
