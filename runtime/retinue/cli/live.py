"""Compiled agents → what a verb that runs them tells and does beside it."""

import signal
from collections.abc import Sequence
from types import FrameType

from retinue.agent import Agent
from retinue.diagnostics import CompileError
from retinue.offline import missing_twins
from retinue.offline.genie.space import load_space

OFFLINE_BANNER = (
    "OFFLINE: no language model and no workspace. A deterministic stand-in answers from local data."
)


def stop_like_interrupted() -> None:
    """Let SIGTERM and SIGHUP end a verb as Ctrl-C does: tool servers are stopped, not orphaned."""
    for name in ("SIGTERM", "SIGHUP"):
        if number := getattr(signal, name, None):
            signal.signal(number, _interrupt)


def _interrupt(_number: int, frame: FrameType | None) -> None:
    # Called, not raised anew: a signal raised inside a handler may wait for the next one.
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):
        handler(signal.SIGINT, frame)


def offline_gaps(agents: Sequence[Agent]) -> list[str]:
    """A line for every server that the offline twins leave out."""
    return [
        f"{agent.name}: '{name}' has no `offline:` twin and is left out"
        for agent in agents
        for name in missing_twins(agent)
    ]


def example(agents: Sequence[Agent], *, offline: bool) -> tuple[str, str]:
    """An agent and a question to try: offline, one that its local space can answer."""
    stand_ins = [(agent, s.twin) for agent in agents for s in agent.mcp_servers if s.twin]
    for agent, stand_in in stand_ins if offline else ():
        try:
            return agent.name, load_space(stand_in.path).questions[0].ask
        except (CompileError, IndexError):
            continue  # its server tells what is wrong with it
    return agents[0].name, "What can you do?"
