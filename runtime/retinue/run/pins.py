"""What a server lists, and what the agent's lock holds → the tools to use, and what differs."""

import difflib
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from retinue.agent import Agent, ToolServer
from retinue.pins import Pin, ServerPins
from retinue.run.approval_text import shown
from retinue.run.ports import Tool

log = logging.getLogger(__name__)

_Told = tuple[str, str, str]
"""A server, its tool, and the hash of that as it was found; empty where it wasn't."""

_MOST_LINES = 40
_MOST_TOLD = 50
_MOST_REMEMBERED = 5_000
_LONGEST_LINE = 200


@dataclass(frozen=True, slots=True)
class Drift:
    """A tool that isn't as it was: `locked` or `found` is None where it wasn't, or isn't, there."""

    name: str
    locked: Pin | None
    found: Pin | None

    @property
    def how(self) -> Literal["added", "removed", "changed"]:
        if self.locked is None:
            return "added"
        return "removed" if self.found is None else "changed"

    def lines(self) -> Iterator[str]:
        """What a person reads of it: of a change only what differs."""
        name = shown(self.name)[:_LONGEST_LINE]
        if self.locked is None or self.found is None:
            yield f"{'+' if self.locked is None else '-'} {name}: {self.how}"
            return
        for what, old, new in (
            ("description", self.locked.description, self.found.description),
            ("parameters", _indented(self.locked), _indented(self.found)),
        ):
            if old != new:
                yield f"~ {name}: its {what} changed"
                yield from (f"    {line}" for line in _changed(old, new))


def pinned(server: str, tools: Iterable[Tool]) -> ServerPins:
    """The tools as a lock holds them."""
    pins = (Pin.of(tool.name, tool.description, tool.parameters) for tool in tools)
    return ServerPins(server, tuple(sorted(pins, key=lambda pin: pin.name)))


def drift(locked: ServerPins, found: ServerPins) -> list[Drift]:
    """Every tool in which the two differ, by name."""
    old = {pin.name: pin for pin in locked.tools}
    new = {pin.name: pin for pin in found.tools}
    names = sorted(old.keys() | new.keys())
    return [Drift(n, old.get(n), new.get(n)) for n in names if old.get(n) != new.get(n)]


def _indented(pin: Pin) -> str:
    return json.dumps(json.loads(pin.parameters), indent=2, sort_keys=True, ensure_ascii=False)


def _changed(old: str, new: str) -> Iterator[str]:
    compared = difflib.unified_diff(old.splitlines(), new.splitlines(), n=0, lineterm="")
    lines = [line for line in compared if not line.startswith(("---", "+++", "@@"))]
    for line in lines[:_MOST_LINES]:
        yield f"{line[0]} {shown(line[1:])}"[:_LONGEST_LINE]
    if len(lines) > _MOST_LINES:
        yield f"… and {len(lines) - _MOST_LINES} more lines"


class PinCheck:
    """The pins of one agent, against whatever its servers list.

    Each difference is logged once, to however many users a server lists its tools.
    """

    def __init__(self, agent: Agent) -> None:
        self._agent = agent.name
        self._pins = {one.server: one for one in agent.pins}
        # The oldest first.
        self._told: dict[_Told, None] = {}

    def admitted(
        self, server: ToolServer, tools: Sequence[Tool], *, complete: bool
    ) -> Sequence[Tool]:
        """The tools that may be used: with `pin: strict` those that are as they were locked.

        A list that isn't `complete`, as one user's, may lack some without having lost them.
        """
        locked = self._pins.get(server.name)
        if locked is None and server.pin == "strict":
            locked = ServerPins(server.name, ())
        if locked is None or not tools:
            return tools
        found = drift(locked, pinned(server.name, tools))
        self._tell(server, [one for one in found if complete or one.how != "removed"])
        if server.pin == "warn":
            return tools
        refused = {one.name for one in found}
        return [tool for tool in tools if tool.name not in refused]

    def _tell(self, server: ToolServer, found: Sequence[Drift]) -> None:
        new = [one for one in found if _told(server, one) not in self._told]
        if not new:
            return
        self._told.update((_told(server, one), None) for one in new)
        while len(self._told) > _MOST_REMEMBERED:
            del self._told[next(iter(self._told))]
        lines = [line for one in new[:_MOST_TOLD] for line in one.lines()]
        strict = server.pin == "strict"
        log.log(
            logging.ERROR if strict else logging.WARNING,
            "the tools of '%s' are not as the lock of '%s' has them%s; `retinue lock %s` takes "
            "them as they are:\n%s",
            server.name,
            self._agent,
            ", and what differs is not used" if strict else "",
            self._agent,
            "\n".join(f"  {line}" for line in lines),
        )


def _told(server: ToolServer, one: Drift) -> _Told:
    return server.name, one.name, one.found.sha256 if one.found else ""
