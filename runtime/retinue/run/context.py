"""What a run shares with its tools and sub-agents."""

from dataclasses import dataclass, field

from retinue.run.approval import Resumed
from retinue.run.budget import Budget
from retinue.run.caller import Caller
from retinue.run.sessions import Sessions, SessionsInMemory
from retinue.run.trace import Trace


@dataclass(slots=True)
class RunContext:
    """Whom the run is for, and what it may use.

    A tool sets `handoff` to the name of the agent that is to go on instead. `trace` is None where
    nothing is recorded. `sessions` keeps what the caller's next run is to know. `resumed` is the
    run that was paused and goes on here; a tool that paused gets its own. `agreed` are the ids of
    calls that the user has agreed to.
    """

    budget: Budget
    caller: Caller = field(default_factory=Caller)
    handoff: str | None = None
    trace: Trace | None = None
    sessions: Sessions = field(default_factory=SessionsInMemory)
    resumed: Resumed | None = None
    agreed: frozenset[str] = frozenset()
