"""The turns of a run so far → whether it goes on, with what, and how it ended."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count

from retinue.errors import ModelError
from retinue.run.approval import Paused, Resumed, Waiting
from retinue.run.budget import Budget
from retinue.run.events import (
    Event,
    FinishReason,
    ReasoningDelta,
    RunFinished,
    StopCause,
    TextDelta,
    ToolFinished,
    ToolProgressed,
    ToolResult,
    ToolStarted,
)
from retinue.run.messages import ImagePart, Message, TextPart, ToolCall
from retinue.run.options import RunOptions
from retinue.run.output import OutputCheck
from retinue.run.ports import Tool, Toolbox, ToolChoice
from retinue.run.turn import Turn
from retinue.run.untrusted import as_read

_NOT_BESIDE = (
    "The user has to agree to this call, and can't be asked beside a call of the caller's own "
    "tools: make it again by itself."
)


class Progress:
    """What a run has said and spent, and why it ends.

    `messages` are the run's own; `aside` are a wrong answer and its correction, which only the
    next turn sees. `own_calls` are the agent's own calls of the last turn; `under` are runs under
    some of them that go on, by the calls' ids. `paused` is there when the run waits for the user.
    """

    def __init__(self, budget: Budget, options: RunOptions, resumed: Resumed | None = None) -> None:
        self.messages: list[Message] = []
        self.aside: tuple[Message, ...] = ()
        self.goes_on = True
        self.own_calls: tuple[ToolCall, ...] = ()
        self.under: Mapping[str, Resumed] = {}
        self.paused: Paused | None = None
        self._results: dict[str, Message] = {}
        self._images: dict[str, tuple[ImagePart, ...]] = {}
        self._waiting: dict[str, Waiting] = {}
        self._said: tuple[Message, ...] = ()
        self.check = OutputCheck(options.output) if options.output else None
        self._budget = budget
        self._options = options
        self._callers = frozenset(tool.name for tool in self.callers_tools)
        self._callers_calls: tuple[ToolCall, ...] = ()
        self._reason: FinishReason = "stop"
        self._cause: StopCause | None = None
        self._repaired = False
        if resumed:
            self._resume(resumed)

    def _resume(self, resumed: Resumed) -> None:
        """Take up the run where it was paused: what was refused has its answer."""
        paused = resumed.paused
        self.messages += paused.messages
        self.own_calls = paused.messages[-1].tool_calls
        done = (*paused.messages, *paused.results)
        self._results = {m.tool_call_id: m for m in done if m.tool_call_id}
        self._images = dict(paused.images)
        self._said = resumed.said
        runs = ((waiting.call.id, resumed.under(waiting)) for waiting in paused.waiting)
        self.under = {call_id: run for call_id, run in runs if run}
        for waiting in paused.waiting:
            path = (waiting.call.id,)
            if waiting.within is None and path not in resumed.allowed:
                self._refuse(waiting.call, refusal((resumed.reasons or {}).get(path, "")))
        self._budget.call(len(self.calls_to_make))

    def _refuse(self, call: ToolCall, why: str) -> None:
        self._results[call.id] = Message("tool", why, tool_call_id=call.id, name=call.name)

    @property
    def calls_to_make(self) -> tuple[ToolCall, ...]:
        """The agent's own calls of the last turn that nothing keeps from being made."""
        done = self._results.keys() | self._waiting.keys()
        return tuple(call for call in self.own_calls if call.id not in done)

    def ask_first(self, toolbox: Toolbox) -> None:
        """Keep back the calls of the last turn that the user has to agree to."""
        about = {tool.name: tool.description for tool in toolbox.tools}
        for call in self.own_calls:
            if not toolbox.needs_approval(call):
                continue
            if self._callers_calls:
                self._refuse(call, _NOT_BESIDE)
            else:
                self._waiting[call.id] = Waiting(call, about.get(call.name, ""))

    @property
    def turns(self) -> int:
        return self._budget.turns

    @property
    def callers_tools(self) -> tuple[Tool, ...]:
        """The caller's tools, which it may want told of and not called."""
        given, allowed = self._options.tools, self._options.allowed
        if self._options.tool_choice == "none":
            return ()
        return given if allowed is None else tuple(tool for tool in given if tool.name in allowed)

    @property
    def tool_choice(self) -> ToolChoice:
        """The caller's choice, until it is met: required for ever, a run would never answer."""
        chosen = self._options.tool_choice
        return "auto" if self.turns > 1 or chosen == "none" or not self._options.tools else chosen

    def add_answer(self, turn: Turn) -> Iterator[Event]:
        """Record a turn; what is to be shown of a text that was held back."""
        finish = turn.finish
        if finish is None:
            raise ModelError("truncated", "the model's answer ended without a finish reason")
        self.own_calls, self.aside = (), ()
        self._budget.answered(finish.usage)
        # A call beside `length` or `content_filter` may have been cut short: it must not run.
        complete = finish.reason in ("tool_calls", "stop")
        calls = self._with_unique_ids(turn.calls) if complete else ()
        if calls:
            if self.check and turn.text:
                yield ReasoningDelta(turn.text)
            self._add_calls(turn, calls)
        else:
            yield from self._add_text(turn, finish.reason)

    def _add_calls(self, turn: Turn, calls: tuple[ToolCall, ...]) -> None:
        own = tuple(call for call in calls if call.name not in self._callers)
        over = self._budget.met(len(own)) if own else None
        if over:
            self.messages.append(turn.message())
            return self.stop("length", over)
        self._budget.call(len(own))
        self.own_calls = own
        self._callers_calls = tuple(call for call in calls if call.name in self._callers)
        self.messages.append(turn.message(calls))
        if self._callers_calls:
            return self.stop("tool_calls", None)
        if not self._budget.has_turns:
            self.stop("length", "max_turns")
        return None

    def _add_text(self, turn: Turn, reason: FinishReason) -> Iterator[Event]:
        text = turn.text
        # A refusal is an answer too, and has no form.
        refused = turn.refused and not text
        if self.check and not refused and reason in ("stop", "tool_calls"):
            checked = self.check.check(text)
            text = checked.text
            if checked.problem:
                self._repair(turn, checked.problem, self.check)
                return
        if self.check and text:
            yield TextDelta(text)
        self.messages.append(Message("assistant", text))
        self.stop("stop" if reason == "tool_calls" else reason, self._cut_by(reason))

    def _repair(self, turn: Turn, problem: str, check: OutputCheck) -> None:
        """Let the model answer once more. Raises ModelError when it has had its chance."""
        if self._repaired or not self._budget.has_turns or self._budget.met():
            raise ModelError(
                "bad_output", f"the model's answer is not of the form asked for: {problem}"
            )
        self._repaired = True
        self.aside = (turn.message(), Message("user", check.repair(problem)))

    def _cut_by(self, reason: FinishReason) -> StopCause | None:
        """Whether an answer was cut by what the run had left, not by its own limit."""
        return self._budget.met() if reason == "length" else None

    def stop(self, reason: FinishReason, cause: StopCause | None) -> None:
        """The run ends, once the calls under way are answered."""
        self.goes_on = False
        self._reason, self._cause = reason, cause

    def _with_unique_ids(self, calls: list[ToolCall]) -> tuple[ToolCall, ...]:
        """Models repeat and forget ids; an answer that goes to the wrong call would be a lie."""
        seen = set(self._results)
        unique: list[ToolCall] = []
        for call in calls:
            taken = not call.id or call.id in seen
            fresh = replace(call, id=_new_id(seen)) if taken else call
            seen.add(fresh.id)
            unique.append(fresh)
        return tuple(unique)

    def note(
        self, event: ToolStarted | ToolProgressed | ToolFinished
    ) -> ToolStarted | ToolProgressed | ToolFinished | None:
        """Keep a result; the event, if it is to be shown. A call that waits has no result yet."""
        if not isinstance(event, ToolFinished):
            return event
        call, result = event.call, event.result
        if result.paused and not self._callers_calls:
            self._waiting[call.id] = Waiting(call, within=result.paused)
            return None
        if result.paused:
            event = replace(event, result=ToolResult(_NOT_BESIDE, is_error=True))
        text = as_read(event.result)
        self._results[call.id] = Message("tool", text, tool_call_id=call.id, name=call.name)
        if event.result.images:
            self._images[call.id] = event.result.images
        return event

    def add_results(self, handoff: str | None) -> bool:
        """Record the results, in the order of the calls; whether all of them are there.

        Where the user has to agree to some of the calls, the run is paused instead: `handoff` is
        the agent that goes on after them.
        """
        calls, results, waiting = self.own_calls, self._results, self._waiting
        there = [results[call.id] for call in calls if call.id in results]
        if waiting and len(there) + len(waiting) == len(calls):
            self.paused = Paused(
                messages=tuple(self.messages),
                results=tuple(there),
                images=tuple(self._images.items()),
                waiting=tuple(waiting[call.id] for call in calls if call.id in waiting),
                handoff=handoff,
            )
            self.stop("stop", None)
            return False
        self.messages += there
        images = [image for call in calls for image in self._images.get(call.id, ())]
        if images:
            # Providers take images from users alone.
            text = TextPart("The images that the tools returned, in their order:")
            self.messages.append(Message("user", text.text, parts=(text, *images)))
        self.messages += self._said
        self._said, self._images = (), {}
        return len(there) == len(calls)

    @property
    def answered(self) -> bool:
        """Whether the caller has some text, beside which an end for want of time makes sense."""
        return self.check is None and any(m.content for m in self.messages if m.role == "assistant")

    def finished(self) -> RunFinished:
        """The run's last event."""
        return RunFinished(
            self._reason,
            self._budget.usage,
            self._budget.turns,
            _without_waiting(self.paused) if self.paused else tuple(self.messages),
            self._cause,
            self._callers_calls,
            self.paused,
        )


def refusal(reason: str) -> str:
    """What the model is told of a call that the user did not agree to."""
    said = f" They say: {reason}" if reason else ""
    return f"The user did not agree to this call, and it was not made.{said}"


def _without_waiting(paused: Paused) -> tuple[Message, ...]:
    """The run's messages without calls that have no answer, which no model would take."""
    *before, last = paused.messages
    done = {message.tool_call_id for message in paused.results}
    calls = tuple(call for call in last.tool_calls if call.id in done)
    if not calls and not last.content:
        return tuple(before)
    thoughts = last.thoughts if calls else ()
    return (*before, replace(last, tool_calls=calls, thoughts=thoughts), *paused.results)


def _new_id(taken: set[str]) -> str:
    return next(name for n in count(len(taken) + 1) if (name := f"call_{n}") not in taken)
