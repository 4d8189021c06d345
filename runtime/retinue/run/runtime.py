"""Agents → open models and tool servers, shared by every run."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Self

from retinue.agent import Agent, ToolServer
from retinue.errors import NotReadyError, NotSupportedError, RequestError
from retinue.run.approval_ids import signing_key
from retinue.run.approvals import ApprovalGate, Approvals
from retinue.run.attachments import Attachments
from retinue.run.budget import Budget
from retinue.run.caller import Caller
from retinue.run.compaction import Compacting, Summaries
from retinue.run.context import RunContext
from retinue.run.events import Event, RunFinished
from retinue.run.loop import run
from retinue.run.mcp import Connection, UserConnection
from retinue.run.messages import Message
from retinue.run.models import MODELS, open_model
from retinue.run.models.dearest import cut_off, dearest
from retinue.run.models.media import check_parts, takes_images
from retinue.run.models.priced import check_prices
from retinue.run.options import RunOptions
from retinue.run.pins import PinCheck
from retinue.run.ports import Lookup, Model, ModelFactory, OutputFormat, Tool
from retinue.run.prompt import Prompt
from retinue.run.references import environment
from retinue.run.remote import Remote
from retinue.run.run_toolbox import READ_ON, RunToolbox
from retinue.run.sandbox.process import tell_missing_layers
from retinue.run.sessions import Sessions, SessionsInMemory
from retinue.run.settings import check_bounds
from retinue.run.skill_scripts import may_run
from retinue.run.skills import skill_tools
from retinue.run.sub_agents import sub_agent_tools, with_sub_agents
from retinue.run.toolbox import AgentToolbox
from retinue.run.trace import Request, Trace, told_of
from retinue.values import JsonValue

if TYPE_CHECKING:
    from retinue.run.tracing import Tracing


@dataclass(frozen=True, slots=True)
class _Ready:
    """An agent with everything that a run of it needs."""

    agent: Agent
    model: Model
    toolbox: AgentToolbox
    prompt: Prompt
    summaries: Summaries = field(default_factory=Summaries)

    def model_for(self, budget: Budget) -> Model:
        """The model as one run asks it."""
        bound = self.agent.compaction
        return Compacting(self.model, bound, budget, self.summaries) if bound else self.model


class Runtime:
    """Every model and tool server that the agents need, opened once: `async with Runtime(agents)`.

    The agents that they call are opened too, and not run by themselves.

    Equal servers share a connection. A server that is down costs its own tools; the agents work
    on, and it is tried again. `models` maps a provider to what opens its routes; `patience` is
    how long opening waits for servers that are slow, in seconds: they go on in the background.
    `sessions` keeps what a session's next run is to know, by default in memory.
    Runs that wait for their user's word are kept in `approvals`, in memory unless given. Who
    serves may change both: `sessions`, and `approvals` of the `gate`.
    Raises NotSupportedError when an agent's files ask for what can't be done.
    """

    def __init__(
        self,
        agents: Iterable[Agent],
        *,
        models: Mapping[str, ModelFactory] = MODELS,
        lookup: Lookup | None = None,
        patience: float = 20.0,
        sessions: Sessions | None = None,
        approvals: Approvals | None = None,
    ) -> None:
        self.agents: Mapping[str, Agent] = {agent.name: agent for agent in agents}
        known = with_sub_agents(self.agents.values())
        _refuse_unsupported(known.values())
        check_prices(known.values())
        self._models = models
        self._patience = patience
        self._lookup = lookup or environment()
        self.sessions = sessions or SessionsInMemory()
        self.gate = ApprovalGate(signing_key(self._lookup), approvals)
        self._connections: dict[ToolServer, Connection | UserConnection] = {}
        self._remote: list[Remote] = []
        self._background: list[asyncio.Task[None]] = []
        self.attachments = Attachments()
        self._traced = any(agent.observability for agent in known.values())
        self._tracing: Tracing | None = None
        self._ready = {name: self._prepare(agent) for name, agent in known.items()}

    def _prepare(self, agent: Agent) -> _Ready:
        connections = [self._connection(server) for server in agent.mcp_servers]
        remote = [Remote(each, self._lookup) for each in agent.remote_agents]
        self._remote += remote
        others = sub_agent_tools(agent, self._ask, remote)
        built_ins = (*skill_tools(agent.skills), *others)
        return _Ready(
            agent,
            open_model(agent.model, self._models, self._lookup),
            AgentToolbox(connections, built_ins, PinCheck(agent)),
            Prompt(agent),
        )

    def _connection(self, server: ToolServer) -> Connection | UserConnection:
        if server not in self._connections:
            kind = UserConnection if server.auth == "user" else Connection
            self._connections[server] = kind(server, self._lookup)
        return self._connections[server]

    async def __aenter__(self) -> Self:
        if self._traced:
            # Off the start-up path of those who don't want it: OpenTelemetry's SDK.
            from retinue.run.tracing import Tracing  # noqa: PLC0415

            self._tracing = Tracing(self.agents.values(), self._lookup)
        starting = [asyncio.create_task(c.start()) for c in self._connections.values()]
        self._background += starting
        try:
            if starting:
                await asyncio.wait(starting, timeout=self._patience)
        except BaseException:
            # Stopped while opening: nobody will come back to close it.
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _close(self) -> None:
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        closing = [c.aclose() for c in self._connections.values()]
        closing += [ready.model.aclose() for ready in self._ready.values()]
        closing += [remote.aclose() for remote in self._remote]
        await asyncio.gather(*closing)
        if self._tracing:
            await self._tracing.aclose()

    def warm(self) -> None:
        """Get the models ready in the background, so that the first run doesn't wait for it."""
        starting = [ready.model.warm() for ready in self._ready.values()]
        if any(may_run(skill) for ready in self._ready.values() for skill in ready.agent.skills):
            starting.append(tell_missing_layers())
        self._background += [asyncio.create_task(one) for one in starting]

    def run(
        self,
        name: str,
        conversation: Sequence[Message],
        *,
        options: RunOptions | None = None,
        caller: Caller | None = None,
        request: Request | None = None,
    ) -> AsyncGenerator[Event, None]:
        """The events of one run of the agent `name`, for `request`, of which its trace tells.

        A run that needs its user's word ends with questions (`RunFinished.approvals`), and goes
        on in a run of the same conversation with `options.answers`. Raises KeyError for an unknown
        name, RequestError when the request lacks what the prompt requires, asks for what the agent
        doesn't allow or its model can't take, or answers no open question, NotReadyError when a
        required tool server is down, and what `retinue.run.loop.run` raises. Close it (`aclosing`)
        to stop the run.
        """
        given, by = options or RunOptions(), caller or Caller()
        if self._tracing is None:
            return self._run(name, conversation, given, by, request=request)
        return self._traced_run(
            self._tracing, name, conversation, given, caller=by, request=request
        )

    async def _traced_run(
        self,
        tracing: "Tracing",
        name: str,
        conversation: Sequence[Message],
        options: RunOptions,
        *,
        caller: Caller,
        request: "Request | None",
    ) -> AsyncGenerator[Event, None]:
        agent = self._ready[name].agent
        trace = tracing.begin(agent, conversation, caller, request)
        budget = told_of(request, _budget(agent, options))
        asked = RunContext(budget, caller, trace=trace, sessions=self.sessions)
        events = self._run(name, conversation, options, caller, asked)
        async with aclosing(_watched(events, trace)) as watched:
            async for event in watched:
                yield event

    async def _run(
        self,
        name: str,
        conversation: Sequence[Message],
        options: RunOptions,
        caller: Caller,
        asked: RunContext | None = None,
        *,
        within: bool = False,
        request: "Request | None" = None,
    ) -> AsyncGenerator[Event, None]:
        """The run of `name`, and of the agents that it hands the conversation over to.

        `within` another run there is nobody to ask: that one is paused with it.
        """
        agent = self._ready[name].agent
        if any(message.parts for message in conversation):
            conversation = await self.attachments.read(
                conversation, agent.model, caller, agent.serving.file_urls
            )
            check_parts(conversation, agent.model)
        budget = asked.budget if asked else told_of(request, _budget(agent, options))
        trace = asked.trace if asked else None
        resumed = asked.resumed if asked else None
        if options.answers and not within:
            conversation, resumed = await self.gate.resume(
                agent, conversation, options.answers, caller
            )
        given, spent = conversation, budget
        before: tuple[Message, ...] = ()
        if resumed:
            conversation, before = (*conversation, *resumed.paused.handed), resumed.paused.before
            if resumed.paused.agent != name:
                name = resumed.paused.agent
                spent = _budget(self._ready[name].agent, above=budget)
        while True:
            ready = self._ready[name]
            toolbox = await self._toolbox(ready, caller)
            system = ready.prompt.render(caller, toolbox.notices)
            context = RunContext(
                spent, caller, trace=trace, sessions=self.sessions, resumed=resumed
            )
            resumed = None
            events = run(
                (Message("system", system), *conversation) if system else conversation,
                model=ready.model_for(spent),
                toolbox=RunToolbox(toolbox, partial(takes_images, ready.agent.model)),
                options=_allowed(options, ready.agent, toolbox),
                context=context,
            )
            async with aclosing(events):
                async for event in events:
                    if not isinstance(event, RunFinished):
                        yield event
                        continue
                    end = event
            if end.paused:
                handed = tuple(conversation[len(given) :])
                end = replace(
                    end, paused=replace(end.paused, agent=name, handed=handed, before=before)
                )
                if not within:
                    end = await self.gate.ask(agent, given, end, caller)
                    for question in end.approvals:
                        yield question
            if end.paused or context.handoff is None or end.reason != "stop":
                if spent is budget:
                    yield end
                    return
                messages = (*before, *end.messages)
                yield replace(end, messages=messages, usage=budget.usage, turns=budget.turns)
                return
            note = Message("system", f"The agent {name} handed this conversation over to you.")
            said = [
                replace(m, tool_calls=(), thoughts=())
                for m in end.messages
                if m.role == "assistant"
            ]
            conversation = (*conversation, *(m for m in said if m.content), note)
            before += end.messages
            name = context.handoff
            spent = _budget(self._ready[name].agent, above=spent)

    async def _ask(self, name: str, question: str, asking: RunContext) -> RunFinished:
        """A sub-agent's answer. Raises what `run` does."""
        agent = self._ready[name].agent
        conversation = (Message("user", question),)
        trace = asking.trace and asking.trace.begin(agent, conversation)
        budget = _budget(agent, above=asking.budget)
        context = RunContext(
            budget,
            asking.caller,
            trace=trace,
            sessions=self.sessions,
            resumed=asking.resumed,
        )
        events = self._run(name, conversation, RunOptions(), asking.caller, context, within=True)
        try:
            async with aclosing(_watched(events, trace)) as watched:
                ends = [event async for event in watched if isinstance(event, RunFinished)]
        finally:
            budget.end_answer()
        return ends[-1]

    async def _toolbox(self, ready: _Ready, caller: Caller) -> AgentToolbox:
        """The caller's, with every server that the agent requires."""
        for server in ready.agent.mcp_servers:
            connection = self._connections[server]
            if server.required and isinstance(connection, UserConnection):
                await connection.require(caller)
        toolbox = await ready.toolbox.of(caller)
        for server, why in toolbox.missing:
            if server.required:
                name = ready.agent.name
                raise NotReadyError(f"{name} needs the tool server '{server.name}': {why}")
        return toolbox

    def system_prompt(self, name: str, caller: Caller | None = None) -> str:
        """The system prompt as a run by `caller` would send it now."""
        ready = self._ready[name]
        return ready.prompt.render(caller or Caller(), ready.toolbox.notices)

    def tools(self, name: str) -> tuple[Tool, ...]:
        """What the agent can call now."""
        return self._ready[name].toolbox.tools

    def only_reads(self, name: str) -> bool:
        """Whether all the agent's tools are known, and none of them changes anything."""
        return self._ready[name].toolbox.only_reads

    def health(self) -> dict[str, JsonValue]:
        """Each agent's tool servers: `{agent: {server: {"state", "problem", "tools": n,
        "latency_seconds", "protocol"}}}`; the time is what getting ready took.
        """
        return {
            name: {server.name: self._server_health(server) for server in agent.mcp_servers}
            for name, agent in self.agents.items()
        }

    def _server_health(self, server: ToolServer) -> JsonValue:
        connection = self._connections[server]
        return {
            "state": connection.state,
            "problem": connection.problem,
            "tools": len(connection.tools),
            "latency_seconds": connection.latency and round(connection.latency, 3),
            "protocol": connection.protocol,
        }


def _refuse_unsupported(agents: Iterable[Agent]) -> None:
    """Nothing is ignored: a key that isn't built yet stops the start. Raises NotSupportedError."""
    lines = dict.fromkeys(str(key) for agent in agents for key in agent.unsupported)
    if lines:
        raise NotSupportedError("\n".join(["these agents can't be run yet:", *lines]))


def _budget(
    agent: Agent, options: RunOptions | None = None, *, above: Budget | None = None
) -> Budget:
    limits = agent.limits
    if options and options.timeout is not None:
        limits = replace(limits, timeout=options.timeout)
    return Budget(limits, above, partial(dearest, agent.model), partial(cut_off, agent.model))


def _watched(
    events: AsyncGenerator[Event, None], trace: Trace | None
) -> AsyncGenerator[Event, None]:
    return trace.watch(events) if trace else events


def _allowed(options: RunOptions, agent: Agent, toolbox: AgentToolbox) -> RunOptions:
    """The options, with the agent's own form of answers. Raises RequestError."""
    check_bounds(agent.model.bounds, options.settings)
    own = {tool.name for tool in (*toolbox.tools, READ_ON)} if options.tools else set()
    for index, tool in enumerate(options.tools):
        if tool.name in own:
            raise RequestError(
                f"the agent has a tool named '{tool.name}' itself: give yours another name",
                param=f"tools[{index}].function.name",
            )
    if options.output is None and agent.output_schema is not None:
        form = OutputFormat(schema=agent.output_schema, trusted=True)
        return replace(options, output=form)
    return options
