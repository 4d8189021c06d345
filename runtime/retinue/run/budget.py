"""Limits and what was spent → what a run may still use, and the limit that stops it."""

import asyncio

from retinue.agent import Limits
from retinue.errors import RunError
from retinue.run.events import StopCause, Usage


class Budget:
    """What one run may use. What is spent here counts in `above` too: the budget of the run that
    called this one, whose limits hold beside the own ones.

    `end` is the deadline in the event loop's time; `seconds` is how long that was from the start.
    """

    def __init__(self, limits: Limits, above: "Budget | None" = None) -> None:
        self.end: float = asyncio.get_running_loop().time() + limits.timeout
        self.seconds: float = limits.timeout
        self.limits = limits
        self.above = above
        self.usage = Usage()
        self.turns = 0
        self.tool_calls = 0
        if above is not None and above.end < self.end:
            self.end, self.seconds = above.end, above.seconds

    def begin_turn(self) -> StopCause | None:
        """Count a model call that starts now, or name the limit that forbids it.

        Sub-agents that run at the same time spend of one budget, so it may be used up since the
        last turn.
        """
        cause = self.met() if self.has_turns else "max_turns"
        budget = self if cause is None else None
        while budget:
            budget.turns += 1
            budget = budget.above
        return cause

    def spend(self, usage: Usage) -> None:
        """A model call was answered."""
        self.usage += usage
        if self.above:
            self.above.spend(usage)

    def call(self, tools: int) -> None:
        """That many tools are called."""
        self.tool_calls += tools
        if self.above:
            self.above.call(tools)

    def met(self, more_calls: int = 0) -> StopCause | None:
        """The limit that forbids so many more tool calls and what comes after them."""
        limits, usage = self.limits, self.usage
        if more_calls and self.tool_calls + more_calls > limits.max_tool_calls:
            return "max_tool_calls"
        if limits.max_tokens is not None and usage.total_tokens >= limits.max_tokens:
            return "max_tokens"
        if limits.max_cost_usd is not None and (usage.cost_usd or 0.0) >= limits.max_cost_usd:
            return "max_cost_usd"
        return self.above.met(more_calls) if self.above else None

    @property
    def over(self) -> bool:
        """Whether the deadline has passed."""
        return asyncio.get_running_loop().time() >= self.end

    def too_late(self) -> RunError:
        """What to raise at the end."""
        return RunError(f"the run did not finish within its limit of {self.seconds:g} s")

    @property
    def has_turns(self) -> bool:
        """Whether the model may be asked once more."""
        own = self.turns < self.limits.max_turns
        return own and (self.above is None or self.above.has_turns)

    @property
    def tokens(self) -> int | None:
        """How many tokens are left; None for any number."""
        most = self.limits.max_tokens
        own = None if most is None else max(1, most - self.usage.total_tokens)
        outer = self.above.tokens if self.above else None
        return own if outer is None else outer if own is None else min(own, outer)
