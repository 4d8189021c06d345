"""Compiled agents → the list of their prompts."""

from collections.abc import Mapping
from typing import Any

from retinue.agent import Agent, Variable


def prompt_list(agents: Mapping[str, Agent], *, texts: bool) -> dict[str, Any]:
    """`GET /v1/prompts`. A prompt is its author's: with `texts` it is told too."""
    data = [_prompt(agent, texts=texts) for agent in agents.values()]
    return {"object": "list", "data": data}


def _prompt(agent: Agent, *, texts: bool) -> dict[str, Any]:
    own = agent.instructions
    told: dict[str, Any] = {
        "id": agent.name,
        "object": "prompt",
        "origin": own.origin,
        "variables": [_variable(one) for one in own.variables],
    }
    return {**told, "text": own.text} if texts else told


def _variable(one: Variable) -> dict[str, Any]:
    return {
        "name": one.name,
        "type": one.type,
        "required": one.required,
        "source": one.source,
    }
