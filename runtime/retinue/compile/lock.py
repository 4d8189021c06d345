"""An agent's lock file → the tools that it was written for, and the other way round.

Format: JSON, `agents/NAME.lock`. The hash is `Pin`'s:
`{"version": 1, "servers": {SERVER: {TOOL: {"sha256", "description", "parameters"}}}}`.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from retinue.agent import ToolServer
from retinue.compile.reader import Reader, ReadError
from retinue.compile.report import Report
from retinue.compile.spec import is_agent_name
from retinue.compile.tree import Node
from retinue.diagnostics import Location
from retinue.pins import Pin, ServerPins
from retinue.values import JsonValue

MAX_LOCK = 10_000_000
"""Bytes; a server may list tools of 8 MB."""

_ANEW = "remove the file, run `retinue lock {}`, and review what it holds"


class _Tool(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    sha256: str
    description: str
    parameters: dict[str, Any]


class _Lock(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    version: Literal[1]
    servers: Annotated[dict[str, dict[str, _Tool]], Field(max_length=100)]


def lock_path(agent: str) -> str:
    """Where the lock of an agent is, relative to the project's root."""
    return f"agents/{agent}.lock"


def compile_lock(
    name: str, servers: Iterable[ToolServer], root: Node, reader: Reader, report: Report
) -> tuple[tuple[ServerPins, ...], tuple[str, ...]]:
    """What the agent's lock holds, and the file, if there is one. Mistakes go to `report`."""
    if not is_agent_name(name):
        return (), ()  # it is told as what it is
    path = lock_path(name)
    try:
        pins = read_lock(reader.read(path, MAX_LOCK))
        files: tuple[str, ...] = (path,)
    except ReadError as error:
        if error.code != "file-not-found":
            report.error(Location(path), str(error), error.code)
        pins, files = (), ()
    except ValueError as error:
        report.error(Location(path), str(error), "bad-lock", _ANEW.format(name))
        return (), ()
    locked = {one.server for one in pins}
    for server in servers:
        if server.pin == "strict" and server.name not in locked:
            place = root.at(("mcp_servers", server.name, "tools", "pin"))
            message = f"'{server.name}' is not locked: none of its tools can be called"
            report.warning(place, message, "not-locked", f"run `retinue lock {name}`")
    return pins, files


def read_lock(data: bytes) -> tuple[ServerPins, ...]:
    """The pins of each server. Raises ValueError for anything but a whole lock."""
    try:
        lock = _Lock.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))[:100]
        raise ValueError(f"the lock can't be read: {where or 'it'}: {first['msg'][:100]}") from None
    return tuple(
        ServerPins(server, tuple(_pin(server, name, tool) for name, tool in tools.items()))
        for server, tools in lock.servers.items()
    )


def _pin(server: str, name: str, tool: _Tool) -> Pin:
    pin = Pin.of(name, tool.description, tool.parameters)
    if pin.sha256 != tool.sha256:
        raise ValueError(f"the entry of '{server}', '{name[:80]}' does not fit its hash")
    return pin


def lock_text(servers: Iterable[ServerPins]) -> str:
    """The lock, the same for the same tools in any order."""
    told: Mapping[str, JsonValue] = {
        one.server: {
            pin.name: {
                "sha256": pin.sha256,
                "description": pin.description,
                "parameters": json.loads(pin.parameters),
            }
            for pin in one.tools
        }
        for one in servers
    }
    # In ASCII, so that whoever reviews a change sees what would not be drawn.
    whole = {"version": 1, "servers": told}
    return json.dumps(whole, indent=2, sort_keys=True) + "\n"
