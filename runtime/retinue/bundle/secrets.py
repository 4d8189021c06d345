"""A compiled agent → the names of the secrets that it refers to."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from retinue.agent import Agent
from retinue.values import Ref


def secret_names(agent: Agent) -> list[str]:
    """Names, `scope/key`, of every secret anywhere in the agent, sorted."""
    return sorted({ref.name for ref in _refs(agent) if ref.kind == "secret"})


def _refs(value: Any) -> Iterator[Ref]:
    if isinstance(value, Ref):
        yield value
    elif is_dataclass(value):
        for each in fields(value):
            yield from _refs(getattr(value, each.name))
    elif isinstance(value, Mapping):
        yield from _refs(tuple(value.values()))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _refs(item)
