"""Compiled agents → OpenAI's model objects, and a request's `model` → the agent it means."""

from collections.abc import Collection, Mapping
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


def unauthorised() -> RequestError:
    """No API key, or one that doesn't fit: which of the two, and what would fit, isn't told."""
    # LiteLLM's client tells a wrong key from a wrong request by OpenAI's own first words.
    return RequestError(
        "Incorrect API key provided, or none: send 'Authorization: Bearer KEY' or 'x-api-key'.",
        code="invalid_api_key",
        status=401,
    )


def open_agents(agents: Mapping[str, Agent], closed: Collection[str]) -> Mapping[str, Agent]:
    """Those that a caller may use."""
    return {name: agent for name, agent in agents.items() if name not in closed}


def find_agent(agents: Mapping[str, Agent], model: str | None, closed: Collection[str]) -> Agent:
    """The agent of that name, also as `apps/NAME`; the first one where no name is given.

    `closed` are those that the caller may not use. Raises RequestError: 404 (`model_not_found`),
    which names the known ones, or 401.
    """
    if not model:
        agent = next(iter(agents.values()), None)
    else:
        agent = agents.get(model) or agents.get(model.removeprefix(_APP))
    if agent and agent.name in closed:
        raise unauthorised()
    if agent:
        return agent
    model = model or ""
    known = ", ".join(open_agents(agents, closed))
    asked = "".join(c if c.isprintable() else "?" for c in model[:100])
    raise RequestError(
        f"The model '{asked}' does not exist. Known: {known}.",
        param="model",
        code="model_not_found",
        status=404,
    )
