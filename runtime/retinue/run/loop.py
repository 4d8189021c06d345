"""A model, a toolbox and messages → events. The agent loop, written once."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from retinue.agent import JsonValue, Limits
from retinue.errors import ModelError, RunError
from retinue.run.events import (
    Event,
    FinishReason,
    ModelEvent,
    ModelFinished,
    ReasoningDelta,
    RunFinished,
    StopCause,
    TextDelta,
    ToolFinished,
    ToolStarted,
    TurnStarted,
    Usage,
)
from retinue.run.messages import Message, ToolCall
from retinue.run.ports import Model, ModelRequest, Toolbox


async def run(
    messages: Sequence[Message],
    *,
    model: Model,
    toolbox: Toolbox,
    limits: Limits,
    settings: Mapping[str, JsonValue],
) -> AsyncGenerator[Event, None]:
    """Ask the model, run the tools it calls, ask again, until it answers or a limit is met.

    `messages` begin with the system prompt. The last event is a RunFinished. Raises ModelError,
    and RunError at the deadline. Close the generator (`aclosing`) to stop the run: the model
    call and the tools under way are cancelled.
    """
    deadline = asyncio.get_running_loop().time() + limits.timeout
    progress = _Progress(limits)
    for turn in range(1, limits.max_turns + 1):
        yield TurnStarted(turn)
        answer = _Answer()
        request = ModelRequest(
            messages=(*messages, *progress.messages), tools=toolbox.tools, settings=settings
        )
        async with aclosing(_before(deadline, limits, model.stream(request))) as stream:
            async for event in stream:
                if isinstance(event, ToolCall):
                    answer.calls.append(event)
                else:
                    answer.note(event)
                    yield event
        calls = progress.add_answer(turn, answer)
        if not calls:
            break
        async with aclosing(_call_all(calls, toolbox, deadline, limits)) as results:
            async for result in results:
                if isinstance(result, ToolFinished):
                    progress.results[result.call.id] = result
                yield result
        progress.add_results(calls)
    yield progress.finished()


@dataclass(slots=True)
class _Answer:
    """One model call's output, as it comes in."""

    text: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    finish: ModelFinished | None = None

    def note(self, event: TextDelta | ReasoningDelta | ModelFinished) -> None:
        if isinstance(event, TextDelta):
            self.text.append(event.text)
        elif isinstance(event, ModelFinished):
            self.finish = event


@dataclass(slots=True)
class _Progress:
    """What a run has said and spent, and why it ends."""

    limits: Limits
    messages: list[Message] = field(default_factory=list)
    results: dict[str, ToolFinished] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    turns: int = 0
    tool_calls: int = 0
    reason: FinishReason = "length"
    cause: StopCause | None = "max_turns"

    def add_answer(self, turn: int, answer: _Answer) -> tuple[ToolCall, ...]:
        """Record the answer; the calls to run now, or none when the run ends here."""
        finish = answer.finish
        if finish is None:
            raise ModelError("truncated", "the model's answer ended without a finish reason")
        self.turns = turn
        self.usage += finish.usage
        # A call beside `length` or `content_filter` may have been cut short: it must not run.
        complete = finish.reason in ("tool_calls", "stop")
        calls = self._with_unique_ids(answer.calls) if complete else ()
        if not calls:
            self.messages.append(Message("assistant", "".join(answer.text)))
            return self._end(finish.reason if finish.reason != "tool_calls" else "stop", None)
        over = self._limit_met(len(calls))
        if over:
            self.messages.append(Message("assistant", "".join(answer.text)))
            return self._end("length", over)
        self.tool_calls += len(calls)
        self.messages.append(Message("assistant", "".join(answer.text), tool_calls=calls))
        return calls

    def _end(self, reason: FinishReason, cause: StopCause | None) -> tuple[()]:
        self.reason, self.cause = reason, cause
        return ()

    def _limit_met(self, more: int) -> StopCause | None:
        if self.tool_calls + more > self.limits.max_tool_calls:
            return "max_tool_calls"
        if self.limits.max_tokens and self.usage.total_tokens >= self.limits.max_tokens:
            return "max_tokens"
        return None

    def _with_unique_ids(self, calls: list[ToolCall]) -> tuple[ToolCall, ...]:
        """Models repeat and forget ids; an answer that goes to the wrong call would be a lie."""
        seen = set(self.results)
        unique: list[ToolCall] = []
        for call in calls:
            taken = not call.id or call.id in seen
            fresh = replace(call, id=_new_id(seen)) if taken else call
            seen.add(fresh.id)
            unique.append(fresh)
        return tuple(unique)

    def add_results(self, calls: tuple[ToolCall, ...]) -> None:
        """The answers, in the order of the calls."""
        for call in calls:
            text = self.results[call.id].result.text
            self.messages.append(Message("tool", text, tool_call_id=call.id, name=call.name))

    def finished(self) -> RunFinished:
        messages = tuple(self.messages)
        return RunFinished(self.reason, self.usage, self.turns, messages, self.cause)


def _new_id(taken: set[str]) -> str:
    return next(name for n in count(len(taken) + 1) if (name := f"call_{n}") not in taken)


async def _call_all(
    calls: tuple[ToolCall, ...], toolbox: Toolbox, deadline: float, limits: Limits
) -> AsyncGenerator[ToolStarted | ToolFinished, None]:
    """Start every call at once; yield each as it finishes."""
    tasks = {asyncio.create_task(_timed(call, toolbox)) for call in calls}
    pending = set(tasks)
    try:
        for call in calls:
            yield ToolStarted(call)
        while pending:
            left = max(0.0, deadline - asyncio.get_running_loop().time())
            done, pending = await asyncio.wait(
                pending, timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                raise _too_late(limits)
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


async def _before(
    deadline: float, limits: Limits, events: AsyncIterator[ModelEvent]
) -> AsyncGenerator[ModelEvent, None]:
    """The same events, each awaited no longer than the deadline allows."""
    alarm = _Alarm(deadline)
    try:
        while True:
            task, before = alarm.watch()
            try:
                event = await anext(events)
            except StopAsyncIteration:
                return
            except asyncio.CancelledError:
                if alarm.rang and task.uncancel() <= before:
                    raise _too_late(limits) from None
                raise
            finally:
                alarm.task = None
            if alarm.rang:
                while task.cancelling() > before:
                    task.uncancel()
                raise _too_late(limits)
            yield event
    finally:
        alarm.off()
        if isinstance(events, AsyncGenerator):
            await events.aclose()


class _Alarm:
    """Cancels the task that waits when the deadline comes.

    One timer for a whole stream: `asyncio.timeout_at` around each wait would cost more than the
    rest of the loop.
    """

    def __init__(self, deadline: float) -> None:
        self.rang = False
        self.task: asyncio.Task[Any] | None = None
        self._timer = asyncio.get_running_loop().call_at(deadline, self._ring)

    def watch(self) -> tuple[asyncio.Task[Any], int]:
        """Watch the current task; also how many cancellations it already has to answer for."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a run needs a task")
        self.task = task
        return task, task.cancelling()

    def off(self) -> None:
        self._timer.cancel()

    def _ring(self) -> None:
        self.rang = True
        if self.task:
            self.task.cancel()


def _too_late(limits: Limits) -> RunError:
    return RunError(f"the run did not finish within its limit of {limits.timeout:g} s")
