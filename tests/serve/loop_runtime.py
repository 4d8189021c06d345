"""A Runtime over scripted models and functions, without the clients: processes start with it."""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence

from retinue.agent import Agent
from retinue.run.approvals import ApprovalGate
from retinue.run.attachments import Attachments
from retinue.run.budget import Budget
from retinue.run.caller import Caller
from retinue.run.context import RunContext
from retinue.run.events import Event
from retinue.run.loop import run
from retinue.run.messages import Message
from retinue.run.options import RunOptions
from retinue.run.ports import Model
from retinue.run.sessions import SessionsInMemory
from retinue.run.trace import Request
from retinue.testing import FakeToolbox, agent


class LoopRuntime:
    """A Runtime's surface over the real loop, with a model and functions per agent."""

    def __init__(
        self,
        models: Model | Mapping[str, Model],
        functions: Iterable[Callable] = (),
        agents: Sequence[Agent] = (),
    ) -> None:
        self.models = models if isinstance(models, Mapping) else {"tester": models}
        compiled = agents or [agent(name, digest=f"digest-of-{name}") for name in self.models]
        self.agents = {a.name: a for a in compiled}
        self.attachments = Attachments()
        self.sessions = SessionsInMemory()
        self.gate = ApprovalGate(b"k")
        self.toolbox = FakeToolbox(functions)
        self.callers: list[Caller] = []
        self.open = False

    async def __aenter__(self):
        self.open = True
        return self

    async def __aexit__(self, *_):
        self.open = False

    def warm(self):
        self.warmed = True

    async def run(
        self,
        name: str,
        conversation: Sequence[Message],
        *,
        options: RunOptions,
        caller: Caller,
        request: Request | None = None,
    ) -> AsyncGenerator[Event, None]:
        self.callers.append(caller)
        budget = Budget(self.agents[name].limits)
        if request is not None:
            request.budget = budget
        events = run(
            conversation,
            model=self.models[name],
            toolbox=self.toolbox,
            options=options,
            context=RunContext(budget),
        )
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()

    def tools(self, _name: str):
        return self.toolbox.tools

    def only_reads(self, _name: str):
        return all(tool.reads for tool in self.toolbox.tools)

    def health(self):
        return {name: {} for name in self.agents}
