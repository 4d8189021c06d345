"""What a run knows of its trace, without the libraries that record one."""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from retinue.agent import Agent
from retinue.run.budget import Budget
from retinue.run.events import Event
from retinue.run.messages import Message


class Request(Protocol):
    """The request that a run answers. `trace_id`, 32 hex digits, is set when its trace begins, and
    `budget` with the run: it tells what was spent, also of a run that doesn't come to its end.
    """

    id: str
    session: str
    trace_id: str
    budget: Budget | None

    def header(self, name: bytes) -> str | None:
        """A header's value; the name is in lower case."""


def told_of(request: Request | None, budget: Budget) -> Budget:
    """The budget, which the request knows from here on."""
    if request is not None:
        request.budget = budget
    return budget


class Trace(Protocol):
    """The record of one run."""

    def watch(self, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        """The same events, recorded as they pass."""

    def begin(self, agent: Agent, conversation: Sequence[Message]) -> "Trace":
        """The record of a sub-agent's run, within this one."""
