"""The turns of a run so far → whether it goes on, with what, and how it ended."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

from retinue.errors import ModelError
from retinue.run.budget import Budget
from retinue.run.events import (
    Event,
    FinishReason,
    ReasoningDelta,
    RunFinished,
    StopCause,
    TextDelta,
    ToolFinished,
    ToolStarted,
)
from retinue.run.messages import Message, TextPart, ToolCall
from retinue.run.options import RunOptions
from retinue.run.output import OutputCheck
from retinue.run.ports import Tool, ToolChoice
from retinue.run.turn import Turn
from retinue.run.untrusted import as_read


class Progress:
    """What a run has said and spent, and why it ends.

    `messages` are the run's own; `aside` are a wrong answer and its correction, which only the
    next turn sees. `own_calls` are the agent's own calls of the last turn.
    """

    def __init__(self, budget: Budget, options: RunOptions) -> None:
        self.messages: list[Message] = []
        self.aside: tuple[Message, ...] = ()
        self.results: dict[str, ToolFinished] = {}
        self.goes_on = True
        self.own_calls: tuple[ToolCall, ...] = ()
        self.check = OutputCheck(options.output) if options.output else None
        self._budget = budget
        self._options = options
        self._callers = frozenset(tool.name for tool in self.callers_tools)
        self._callers_calls: tuple[ToolCall, ...] = ()
        self._reason: FinishReason = "stop"
        self._cause: StopCause | None = None
        self._repaired = False

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
        self._budget.spend(finish.usage)
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
        seen = set(self.results)
        unique: list[ToolCall] = []
        for call in calls:
            taken = not call.id or call.id in seen
            fresh = replace(call, id=_new_id(seen)) if taken else call
            seen.add(fresh.id)
            unique.append(fresh)
        return tuple(unique)

    def note(self, event: ToolStarted | ToolFinished) -> None:
        """Keep a result."""
        if isinstance(event, ToolFinished):
            self.results[event.call.id] = event

    def add_results(self) -> bool:
        """Record the results, in the order of the calls; whether all of them are there."""
        there = [self.results[call.id] for call in self.own_calls if call.id in self.results]
        self.messages += [
            Message("tool", as_read(done.result), tool_call_id=done.call.id, name=done.call.name)
            for done in there
        ]
        images = tuple(image for done in there for image in done.result.images)
        if images:
            # Providers take images from users alone.
            text = TextPart("The images that the tools returned, in their order:")
            self.messages.append(Message("user", text.text, parts=(text, *images)))
        return len(there) == len(self.own_calls)

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
            tuple(self.messages),
            self._cause,
            self._callers_calls,
        )


def _new_id(taken: set[str]) -> str:
    return next(name for n in count(len(taken) + 1) if (name := f"call_{n}") not in taken)
