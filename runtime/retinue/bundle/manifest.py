"""A compiled agent and its app's plan → `agent.json`: what they are, to be compared later.

The file lies in the app's folder. `retinue plan` reads the one that was deployed last, and shows
what differs; `retinue rollback` takes from it how the app was started.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from retinue import __version__
from retinue.agent import Agent, Databricks, Limits, Skill, SubAgent, Twin
from retinue.bundle.agents import BundledAgent
from retinue.bundle.plan import AppPlan
from retinue.bundle.written import Written
from retinue.values import JsonValue, Ref, Template

FILE = "agent.json"
VERSION = 1

Tree = Mapping[str, JsonValue]

# What follows from files and has no meaning of its own, and what the app's plan says.
_LEFT_OUT = frozenset({"app", "digest", "name", "skills", "sources", "unsupported"})
_PARTS = ("instructions", "mcp_servers", "skills", "sub_agents")
_NO_PART = frozenset({"literal", "origin"})


def manifest(bundled: BundledAgent, plan: AppPlan) -> dict[str, JsonValue]:
    """What a person would review of an agent and those that it calls, as JSON.

    References stay as they are written, so that no secret is in it and one form serves all
    targets. What is empty is left out.
    """
    agents: dict[str, JsonValue] = {
        agent.name: _agent(agent, bundled.written)
        for agent in sorted(bundled.all, key=lambda agent: agent.name)
    }
    env: dict[str, JsonValue] = {
        variable.name: {"value_from": variable.value_from}
        if variable.value_from is not None
        else variable.value or ""
        for variable in plan.env
    }
    return {
        "version": VERSION,
        "agent": plan.agent,
        "runtime": __version__,
        "agents": agents,
        "command": list(plan.command),
        "env": env,
    }


def in_parts(tree: Tree) -> dict[str, JsonValue]:
    """The same with an empty part where an agent has none, so that of a part that is new or gone
    each thing in it is told by itself.
    """
    agents = tree.get("agents")
    padded: dict[str, JsonValue] = {
        name: {**{part: {} for part in _PARTS}, **agent}
        for name, agent in (agents.items() if isinstance(agents, dict) else ())
        if isinstance(agent, dict)
    }
    return {**tree, "agents": padded}


def as_bytes(tree: Tree) -> bytes:
    """The file's content: the same tree gives the same bytes."""
    return f"{json.dumps(tree, indent=1, sort_keys=True, ensure_ascii=False)}\n".encode()


def _agent(agent: Agent, written: Written) -> dict[str, JsonValue]:
    whole = _object(agent, written, _LEFT_OUT)
    if agent.skills:
        whole["skills"] = {skill.name: _skill(skill, agent) for skill in agent.skills}
    return whole


def _skill(skill: Skill, agent: Agent) -> JsonValue:
    """Its files by what they hold: a skill's text is too long to be compared line by line."""
    below = f"skills/{skill.name}/"
    files: dict[str, JsonValue] = {
        source.path.removeprefix(below): source.sha256[:16]
        for source in agent.sources
        if source.path.startswith(below)
    }
    return {"description": skill.description, "scripts": skill.scripts, "files": files}


def _object(value: Any, written: Written, left_out: frozenset[str]) -> dict[str, JsonValue]:
    """Its fields, but for those that are empty, and those of its parts that are as they are by
    default: a later runtime may have more of them.
    """
    part = not isinstance(value, Agent | Limits)
    plain = {
        each.name: _plain(getattr(value, each.name), written)
        for each in fields(value)
        if each.name not in left_out
        and not (part and each.name != "auth" and getattr(value, each.name) == each.default)
    }
    return {key: item for key, item in plain.items() if item not in (None, "", [], {})}


def _plain(value: Any, written: Written) -> JsonValue:
    """Any part of a compiled agent."""
    if isinstance(value, str):
        return written.text(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Template | Ref):
        return written.text(str(value))
    if isinstance(value, SubAgent):  # the agent itself is told beside this one
        return {"name": value.agent.name, "mode": value.mode}
    if isinstance(value, Databricks):
        target = value.target if value.target is not None else value.written
        space = {"warehouse": written.text(value.space.warehouse)} if value.space else {}
        return {"kind": value.kind, "target": written.text(str(target)), **space}
    if isinstance(value, Path | Twin):  # on this machine, or for it alone
        return None
    if is_dataclass(value):
        return _object(value, written, _NO_PART)
    if isinstance(value, Mapping):
        return {str(key): _plain(item, written) for key, item in value.items()}
    if isinstance(value, Sequence):
        return _listed(value, written)
    return written.text(str(value))


def _listed(value: Sequence[Any], written: Written) -> JsonValue:
    """A list; one of pairs, or of things that have a name, as an object, where order is nothing."""
    pairs = [item for item in value if isinstance(item, tuple) and len(item) == 2]
    if value and len(pairs) == len(value) and all(isinstance(key, str) for key, _ in pairs):
        return {key: _plain(item, written) for key, item in pairs}
    items = [_plain(item, written) for item in value]
    named = {str(item["name"]): item for item in items if isinstance(item, dict) and "name" in item}
    if items and len(named) == len(items):
        return {
            name: {key: each for key, each in item.items() if key != "name"}
            for name, item in named.items()
        }
    return items
