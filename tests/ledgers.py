"""Agents whose tools write into a ledger, and runs of theirs that are asked and answered."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path

from retinue.agent import Agent, Stdio, ToolServer
from retinue.run.approval import Answer, Answers
from retinue.run.caller import Caller
from retinue.run.events import ApprovalRequested, Event, RunFinished
from retinue.run.messages import Message
from retinue.run.options import RunOptions
from retinue.run.runtime import Runtime
from retinue.testing import ScriptedModel

SERVER = Path(__file__).parent / "run" / "servers" / "ledger.py"
ANNA = Caller(principal="user:anna")
ASK = [Message("user", "Book it.")]


class Ledger:
    """The file, and the server whose `book` needs approval."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.txt"
        self.server = ToolServer(
            name="ledger",
            transport=Stdio(command=sys.executable, args=(str(SERVER), str(self.path))),
            require_approval=("book",),
        )

    @property
    def lines(self) -> list[str]:
        return self.path.read_text().splitlines() if self.path.exists() else []


def runtime(models: Mapping[str, ScriptedModel], *agents: Agent, **more) -> Runtime:
    factories = {name: lambda _deployment, _lookup, m=m: m for name, m in models.items()}
    return Runtime(agents, models=factories, **more)


async def play(
    opened: Runtime,
    name: str,
    answers: Answers | None = None,
    *,
    caller: Caller = ANNA,
    conversation: Sequence[Message] = ASK,
) -> list[Event]:
    options = RunOptions(answers=answers)
    async with aclosing(opened.run(name, conversation, caller=caller, options=options)) as events:
        return [event async for event in events]


def end(events: Sequence[Event]) -> RunFinished:
    last = events[-1]
    assert isinstance(last, RunFinished)
    assert last.approvals == tuple(e for e in events if isinstance(e, ApprovalRequested))
    return last


def said(finish: RunFinished, *approve: bool, **more) -> Answers:
    """An answer to each question of a paused run, in order."""
    given = zip(finish.approvals, approve, strict=False)
    return Answers(given=tuple(Answer(asked.id, yes) for asked, yes in given), **more)
