"""Compiled agents → what is told of them: no prompt, no address, no secret."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from retinue.agent import Agent
from retinue.run.ports import Tool


def agent_list(
    agents: Mapping[str, Agent], tools: Callable[[str], Sequence[Tool]]
) -> dict[str, Any]:
    """`GET /v1/agents`; `tools` gives what an agent can call now."""
    data = [_agent(agent, tools(name)) for name, agent in agents.items()]
    return {"object": "list", "data": data}


def _agent(agent: Agent, tools: Sequence[Tool]) -> dict[str, Any]:
    return {
        "id": agent.name,
        "object": "agent",
        "description": agent.description,
        "model": agent.model.model,
        "tools": [{"name": tool.name, "description": tool.description} for tool in tools],
        "skills": [skill.name for skill in agent.skills],
        "digest": agent.digest,
    }


def agent_info(agent: Agent) -> dict[str, Any]:
    """`GET /agent/info`, in the form of MLflow's AgentServer (mlflow 3.18)."""
    return {"name": agent.name, "use_case": "agent", "agent_api": "responses"}


def readiness(
    agents: Mapping[str, Agent], health: Mapping[str, Any]
) -> tuple[str, Mapping[str, bool]]:
    """`ready`, `degraded` or `not_ready`, and of each agent whether it can run.

    `health` is `Runtime.health()`. An agent can't run while a tool server that it requires is down.
    """
    able = {name: _can_run(agent, health[name]) for name, agent in agents.items()}
    if all(able.values()):
        return "ready", able
    return ("degraded" if any(able.values()) else "not_ready"), able


def _can_run(agent: Agent, servers: Mapping[str, Any]) -> bool:
    """As `Connection.available` has it: right after a loss it may, once the server is back."""
    for server in agent.mcp_servers:
        told = servers.get(server.name, {})
        back_soon = told.get("state") == "connecting" and told.get("tools")
        if server.required and told.get("state") != "up" and not back_soon:
            return False
    return True
