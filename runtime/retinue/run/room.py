"""Runs that spend of one budget at the same time → which of them may ask its model now."""

import asyncio
from typing import TYPE_CHECKING

from retinue.run.events import Usage

if TYPE_CHECKING:
    from retinue.run.budget import Budget


class Room:
    """What the answers under way may take, of a run and all the runs under it.

    Another may begin while that leaves something of every limit: so what is spent beyond a limit
    is one answer's at most.
    """

    def __init__(self) -> None:
        self._kept: dict[Budget, Usage | None] = {}
        self._given_back = asyncio.Event()

    async def take(self, budget: "Budget", most: Usage | None) -> None:
        """Wait until the run may ask its model, and keep room for an answer of at most so much;
        None where that isn't known.
        """
        while not all(map(self._leaves_some, budget.chain)):
            await self._given_back.wait()
        self._kept[budget] = most

    def give_back(self, budget: "Budget") -> None:
        """The answer that the run, or one under it, waited for is there or won't come."""
        for one in [kept for kept in self._kept if budget in kept.chain]:
            del self._kept[one]
        given_back, self._given_back = self._given_back, asyncio.Event()
        given_back.set()

    def _leaves_some(self, budget: "Budget") -> bool:
        if not budget.bounded:
            return True
        total = budget.usage
        for one, most in self._kept.items():
            if budget not in one.chain:
                continue
            if most is None:
                return False
            total += most
        # A limit that is met already is the run's own to find.
        return total is budget.usage or budget.met_by(total) is None
