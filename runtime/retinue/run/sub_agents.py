"""An agent's sub-agents → tools that ask them, or hand the conversation over to them."""

from collections.abc import Awaitable, Callable, Iterable

from retinue.agent import Agent
from retinue.errors import ModelError, NotReadyError, PromptError, RequestError, RunError, ToolError
from retinue.run.context import RunContext
from retinue.run.events import RunFinished, ToolResult
from retinue.run.ports import Tool
from retinue.run.remote import Remote
from retinue.run.toolbox import Arguments, BuiltIn
from retinue.values import JsonValue

Ask = Callable[[str, str, RunContext], Awaitable[RunFinished]]
"""An agent's name, a question and the asking run's context → how the sub-agent's run ended."""

_FAULTS = (ModelError, NotReadyError, PromptError, RequestError, RunError)


def sub_agent_tools(
    agent: Agent, ask: Ask, elsewhere: Iterable[Remote] = ()
) -> tuple[BuiltIn, ...]:
    """`ask_NAME` or `hand_over_to_NAME` for each sub-agent, `ask_NAME` for each one `elsewhere`."""
    here = (
        _handoff(sub.agent) if sub.mode == "handoff" else _question(sub.agent, ask)
        for sub in agent.sub_agents
    )
    return (*here, *map(_question_elsewhere, elsewhere))


def with_sub_agents(agents: Iterable[Agent]) -> dict[str, Agent]:
    """The agents by name, and all that they call, directly or not."""
    known: dict[str, Agent] = {}
    pending = list(agents)
    while pending:
        agent = pending.pop()
        if agent.name not in known:
            known[agent.name] = agent
            pending += [sub.agent for sub in agent.sub_agents]
    return known


def _question(other: Agent, ask: Ask) -> BuiltIn:
    async def run(arguments: Arguments, context: RunContext) -> ToolResult:
        try:
            end = await ask(other.name, str(arguments["question"]), context)
        except _FAULTS as error:
            raise ToolError(f"{other.name} could not answer: {error}") from error
        if end.paused:
            return ToolResult("", paused=end.paused)
        said = [m.content for m in end.messages if m.role == "assistant" and m.content]
        text = said[-1] if said else ""
        if end.cause:
            text = f"{text}\n\n({other.name} was stopped before it was done: {end.cause})".lstrip()
        return ToolResult(text)

    return BuiltIn(_asking(other.name, other.description), run)


def _question_elsewhere(remote: Remote) -> BuiltIn:
    async def run(arguments: Arguments, context: RunContext) -> ToolResult:
        return await remote.ask(str(arguments["question"]), context)

    return BuiltIn(_asking(remote.agent.name, remote.agent.description), run)


def _asking(name: str, description: str) -> Tool:
    described = f"Ask the agent {name}. {description}".strip()
    asked = "The question, with all that is needed to answer it: nothing else is passed on."
    return _tool(f"ask_{name}", described, "question", asked)


def _handoff(other: Agent) -> BuiltIn:
    async def run(_: Arguments, context: RunContext) -> ToolResult:
        context.handoff = context.handoff or other.name
        return ToolResult(f"{context.handoff} goes on with the conversation.")

    described = f"Let the agent {other.name} go on with this conversation. {other.description}"
    reason = "Why, in a sentence, and what the other agent should know."
    return BuiltIn(_tool(f"hand_over_to_{other.name}", described.strip(), "reason", reason), run)


def _tool(name: str, description: str, parameter: str, about: str) -> Tool:
    schema: dict[str, JsonValue] = {
        "type": "object",
        "properties": {parameter: {"type": "string", "minLength": 1, "description": about}},
        "required": [parameter],
        "additionalProperties": False,
    }
    return Tool(name, description, schema)
