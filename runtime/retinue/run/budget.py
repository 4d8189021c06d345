"""Limits and what was spent → what a run may still use, and the limit that stops it."""

import asyncio
from collections.abc import Callable, Sequence

from retinue.agent import Limits
from retinue.errors import RunError
from retinue.run.events import StopCause, Usage
from retinue.run.messages import Message
from retinue.run.room import Room
from retinue.run.window import tokens

MostOfAnswer = Callable[[int], Usage | None]
"""About how many tokens a model is sent → the most that its answer takes; None: nobody knows."""

Cut = Callable[[int, int], Usage]
"""About how many tokens a model was sent, and how many came → what that took."""


class Budget:
    """What one run may use. What is spent here counts in `above` too: the budget of the run that
    called this one, whose limits hold beside the own ones.

    `end` is the deadline in the event loop's time; `seconds` is how long that was from the start.
    `most` tells what an answer may take, for which `room` is kept where several runs may spend of
    a limit at the same time. `cut` prices an answer that broke off.
    """

    def __init__(
        self,
        limits: Limits,
        above: "Budget | None" = None,
        most: MostOfAnswer = lambda _: None,
        cut: Cut = Usage,
    ) -> None:
        self.end: float = asyncio.get_running_loop().time() + limits.timeout
        self.seconds: float = limits.timeout
        self.limits = limits
        self.above = above
        self.usage = Usage()
        self.turns = 0
        self.tool_calls = 0
        self.bounded = limits.max_tokens is not None or limits.max_cost_usd is not None
        self.chain: tuple[Budget, ...] = (self, *(above.chain if above else ()))
        self._most = most
        self._cut = cut
        self.room: Room = above.room if above else Room()
        self._shares = any(budget.bounded for budget in self.chain[1:])
        if above is not None and above.end < self.end:
            self.end, self.seconds = above.end, above.seconds

    async def begin_turn(self, sent: Sequence[Message]) -> StopCause | None:
        """Count a model call that starts now, or name the limit that forbids it.

        Runs at the same time spend of one budget: it may be used up since the last turn, and
        where it is nearly so, the answers under way are waited for.
        """
        cause = await self.begin_answer(sent)
        if not self.has_turns:
            cause = "max_turns"
        if cause:
            self.end_answer()
            return cause
        for budget in self.chain:
            budget.turns += 1
        return None

    async def begin_answer(self, sent: Sequence[Message]) -> StopCause | None:
        """Keep room for an answer, as soon as there is some, or name the limit that forbids it."""
        if self._shares:
            await self.room.take(self, self._most(tokens(sent)))
        return self.met()

    def end_answer(self) -> None:
        """The answer that room was kept for has come, or won't; also of runs under this one."""
        if self._shares:
            self.room.give_back(self)

    def answered(self, usage: Usage) -> None:
        """The model call that began with the turn was answered."""
        self.end_answer()
        self.spend(usage)

    def spend(self, usage: Usage) -> None:
        """A model was asked so much."""
        self.usage += usage
        if self.above:
            self.above.spend(usage)

    def broke_off(self, sent: Sequence[Message], came: Message) -> None:
        """The model call that began with the turn was given up, or failed, amid its answer: it is
        counted by its length, as its provider counts it too and doesn't say.
        """
        self.spend(self._cut(tokens(sent), tokens((came,))))

    def call(self, tools: int) -> None:
        """That many tools are called."""
        self.tool_calls += tools
        if self.above:
            self.above.call(tools)

    def met(self, more_calls: int = 0) -> StopCause | None:
        """The limit that forbids so many more tool calls and what comes after them."""
        if more_calls and self.tool_calls + more_calls > self.limits.max_tool_calls:
            return "max_tool_calls"
        own = self.met_by(self.usage)
        return own or (self.above.met(more_calls) if self.above else None)

    def met_by(self, usage: Usage) -> StopCause | None:
        """The own limit that would be met if so much were spent in all."""
        limits = self.limits
        if limits.max_tokens is not None and usage.total_tokens >= limits.max_tokens:
            return "max_tokens"
        if limits.max_cost_usd is not None and (usage.cost_usd or 0.0) >= limits.max_cost_usd:
            return "max_cost_usd"
        return None

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
