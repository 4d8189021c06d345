"""Compiled agents → OpenAI's model objects, and a request's `model` → the agent it means."""

from collections.abc import Mapping
from typing import Any

from retinue.agent import Agent
from retinue.errors import RequestError

OWNER = "retinue"
_APP = "apps/"


def model_list(agents: Mapping[str, Agent], created: int) -> dict[str, Any]:
    """`GET /v1/models`; `created` is in Unix seconds."""
    data = [model_object(agent, created) for agent in agents.values()]
    return {"object": "list", "data": data}


def model_object(agent: Agent, created: int) -> dict[str, Any]:
    """`GET /v1/models/{id}`: OpenAI's four keys, and the description where there is one."""
    keys = {"id": agent.name, "object": "model", "created": created, "owned_by": OWNER}
    return {**keys, "description": agent.description} if agent.description else keys


def find_agent(agents: Mapping[str, Agent], model: str | None) -> Agent:
    """The agent of that name, also as `apps/NAME`; the first one where no name is given.

    Raises RequestError (404, `model_not_found`), which names the known ones.
    """
    if not model:
        return next(iter(agents.values()))
    agent = agents.get(model) or agents.get(model.removeprefix(_APP))
    if agent:
        return agent
    known = ", ".join(agents)
    asked = "".join(c if c.isprintable() else "?" for c in model[:100])
    raise RequestError(
        f"The model '{asked}' does not exist. Known: {known}.",
        param="model",
        code="model_not_found",
        status=404,
    )
