"""Tools as they were when their agent was locked."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from retinue.values import JsonValue


@dataclass(frozen=True, slots=True)
class Pin:
    """A tool as it was when the agent was locked, by the server's own name.

    `parameters` is its JSON Schema as canonical JSON; `sha256`, in hex, is over all three.
    """

    name: str
    description: str
    parameters: str
    sha256: str

    @classmethod
    def of(cls, name: str, description: str, parameters: Mapping[str, JsonValue]) -> "Pin":
        """The pin of such a tool."""
        text = json.dumps(parameters, sort_keys=True, separators=(",", ":"))
        whole = json.dumps([name, description, text])
        return cls(name, description, text, hashlib.sha256(whole.encode()).hexdigest())


@dataclass(frozen=True, slots=True)
class ServerPins:
    """The tools of one server."""

    server: str
    tools: tuple[Pin, ...]
