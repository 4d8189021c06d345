"""Connections and built-in tools → the one `Toolbox` of an agent, whose calls never raise."""

import asyncio
import hashlib
import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial

import orjson

from retinue.agent import ToolServer
from retinue.diagnostics import did_you_mean
from retinue.errors import ToolError
from retinue.run.caller import Caller
from retinue.run.context import RunContext
from retinue.run.events import ToolResult
from retinue.run.mcp import Connection, UserConnection, UsersTools
from retinue.run.mcp.conversations import goes_on, in_conversation
from retinue.run.messages import ToolCall
from retinue.run.pins import PinCheck
from retinue.run.ports import Tool
from retinue.run.schema import Check, bounded_check, full_check
from retinue.values import JsonValue

log = logging.getLogger(__name__)

Arguments = dict[str, JsonValue]

_LONGEST_NAME = 64
_LONGEST_ARGUMENTS = 1_000_000


Source = Connection | UserConnection | UsersTools
"""A server as a toolbox knows it."""

Run = Callable[[Arguments, RunContext], Awaitable[ToolResult]]


def _never(_: Arguments) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A tool of our own. `run` gets arguments that fit its parameters; it may raise ToolError.

    `asks` says of such arguments whether the user has to agree to the call first.
    """

    tool: Tool
    run: Run
    asks: Callable[[Arguments], bool] = _never


@dataclass(slots=True)
class _Entry:
    """A tool under the name the model knows. `source` is None for a built-in tool."""

    tool: Tool
    run: Run
    source: Source | None = None
    asks: Callable[[Arguments], bool] = _never
    _check: Check | None = None

    @property
    def callable_now(self) -> bool:
        return self.source is None or self.source.available

    def complaints(self, arguments: Arguments) -> list[str]:
        """Where the arguments don't fit the schema, at most a few."""
        if self._check is None:
            made = full_check if self.source is None else bounded_check
            self._check = made(self.tool.parameters)
        return self._check(arguments)


class AgentToolbox:
    """The tools of one agent's servers, named `server__tool`, and its built-in ones.

    Connections may be shared with other toolboxes; they are not closed here. `pins` say which of
    the tools may be used.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        built_ins: Sequence[BuiltIn] = (),
        pins: PinCheck | None = None,
    ) -> None:
        self._pins = pins
        self._sources = tuple(sources)
        self._built_ins = tuple(built_ins)
        self._seen: object = None
        self._entries: dict[str, _Entry] = {}

    async def of(self, caller: Caller) -> "AgentToolbox":
        """The toolbox as a run of the caller has it: itself, unless a server's tools are for each
        user to list.
        """
        if all(_is_common(source) for source in self._sources):
            return self
        shown = (_shown(source, caller) for source in self._sources)
        return AgentToolbox(await asyncio.gather(*shown), self._built_ins, self._pins)

    @property
    def tools(self) -> tuple[Tool, ...]:
        """Built-in tools, then each server's in its own order; none of a server that is down."""
        return tuple(entry.tool for entry in self._known().values() if entry.callable_now)

    @property
    def only_reads(self) -> bool:
        """Whether it is known of every tool that it changes nothing. Those of a server that is down
        may be called all the same, as a call has it tried again.
        """
        return not self.missing and all(tool.reads for tool in self.tools)

    @property
    def notices(self) -> tuple[str, ...]:
        return tuple(
            f"The tool server '{server.name}' is not available: {problem}."
            for server, problem in self.missing
        )

    @property
    def missing(self) -> tuple[tuple[ToolServer, str], ...]:
        """The servers that are down, and why, in one clause."""
        return tuple(
            (source.server, source.problem or "it is still starting")
            for source in self._sources
            if not source.available
        )

    def needs_approval(self, call: ToolCall) -> bool:
        """Whether the user has to agree first. A call that can't be made needs none."""
        entry = self._known().get(call.name)
        if entry is None or not entry.callable_now or entry.asks is _never:
            return False
        try:
            return entry.asks(_checked(entry, call.arguments))
        except ToolError:
            return False

    async def call(self, call: ToolCall, context: RunContext) -> ToolResult:
        try:
            entry = self._entry(call.name)
            arguments = _checked(entry, call.arguments)
            if call.id not in context.agreed:
                _check_free(entry, arguments)
            return await entry.run(arguments, context)
        except ToolError as error:
            return ToolResult(str(error), is_error=True)
        except Exception:
            # A bug of ours or a server's surprise: the run goes on, and the log has the details.
            log.exception("the tool '%s' failed unexpectedly", call.name)
            return ToolResult(f"The tool '{call.name}' failed unexpectedly.", is_error=True)

    def server_of(self, name: str) -> ToolServer | None:
        """The server that the tool of this name is one of; None for a built-in tool."""
        entry = self._known().get(name)
        return entry.source.server if entry and entry.source else None

    def _entry(self, name: str) -> _Entry:
        entries = self._known()
        if name in entries:
            return entries[name]
        hint = did_you_mean(name, [n for n, entry in entries.items() if entry.callable_now])
        raise ToolError(f"There is no tool '{name[:80]}'" + (f": {hint}" if hint else "."))

    def _known(self) -> dict[str, _Entry]:
        """Every tool by name, worked out anew only when a server's list has changed."""
        seen = tuple(source.tools for source in self._sources)
        if seen != self._seen:
            self._entries, self._seen = self._named(), seen
        return self._entries

    def _named(self) -> dict[str, _Entry]:
        entries = {b.tool.name: _Entry(b.tool, b.run, asks=b.asks) for b in self._built_ins}
        found = [(source, tool) for source in self._sources for tool in self._admitted(source)]
        names = exposed_names([(s.server.name, _renamed(s, tool.name)) for s, tool in found])
        for name, (source, tool) in zip(names, found, strict=True):
            reads = tool.reads and source.server.trusted
            shown = Tool(name, tool.description, tool.parameters, reads=reads)
            asks = _always if _asked_first(source, tool.name) else _never
            entries[name] = _Entry(shown, _caller(source, tool), source, asks)
        return entries

    def _admitted(self, source: Source) -> Sequence[Tool]:
        if self._pins is None:
            return source.tools
        complete = isinstance(source, Connection)
        return self._pins.admitted(source.server, source.tools, complete=complete)


def _always(_: Arguments) -> bool:
    return True


def _asked_first(source: Source, tool: str) -> bool:
    return any(fnmatchcase(tool, glob) for glob in source.server.require_approval)


def _is_common(source: Source) -> bool:
    """Whether its tools are the same for all callers."""
    return not isinstance(source, UserConnection) or source.listed


async def _shown(source: Source, caller: Caller) -> Source:
    return source if not isinstance(source, UserConnection) else await source.shown_to(caller)


def _renamed(source: Source, tool: str) -> str:
    """What the agent calls a tool; a name that another tool of the server has isn't given away."""
    name = dict(source.server.rename).get(tool, tool)
    return tool if any(other.name == name for other in source.tools) else name


def exposed_names(tools: Sequence[tuple[str, str]]) -> list[str]:
    """A name for each (server, tool) that every provider takes: ^[A-Za-z0-9_-]{1,64}$, unique.

    `server__tool` where that will do; with a hash of the two at its end where it had to be cut,
    or where two tools would have the same name. It doesn't depend on the order of the tools.
    """
    plain = [re.sub(r"[^A-Za-z0-9_-]", "_", f"{server}__{tool}") for server, tool in tools]
    taken = Counter(plain)
    return [
        name if len(name) <= _LONGEST_NAME and taken[name] == 1 else _hashed(name, *tool)
        for name, tool in zip(plain, tools, strict=True)
    ]


def _hashed(name: str, server: str, tool: str) -> str:
    digest = hashlib.sha256(f"{server}\0{tool}".encode(errors="replace")).hexdigest()[:8]
    return f"{name[: _LONGEST_NAME - 9]}_{digest}"


def _caller(source: Source, tool: Tool) -> Run:
    async def run(arguments: Arguments, context: RunContext) -> ToolResult:
        if isinstance(source, Connection):
            return await source.call(tool.name, arguments)
        return await source.call(tool.name, arguments, context.caller)

    async def going_on(arguments: Arguments, context: RunContext) -> ToolResult:
        call = partial(run, context=context)
        return await in_conversation(source.server, tool, arguments, context, call)

    return going_on if goes_on(tool) else run


def _checked(entry: _Entry, text: str) -> Arguments:
    """The arguments, parsed and valid. Raises ToolError, which tells the model what to mend."""
    name = entry.tool.name
    arguments = _parsed(name, text)
    complaints = entry.complaints(arguments)
    if complaints and None in arguments.values():
        # Many models write null for what they would leave out.
        required = entry.tool.parameters.get("required")
        needed = required if isinstance(required, list) else []
        arguments = {k: v for k, v in arguments.items() if v is not None or k in needed}
        complaints = entry.complaints(arguments)
    if complaints:
        raise ToolError(f"The arguments of '{name}' don't fit its schema: {'; '.join(complaints)}.")
    return arguments


def checked_arguments(tool: Tool, text: str) -> Arguments:
    """Arguments of a tool of our own. Raises ToolError."""
    arguments = _parsed(tool.name, text)
    if complaints := full_check(tool.parameters)(arguments):
        raise ToolError(f"The arguments of '{tool.name}' don't fit: {'; '.join(complaints)}.")
    return arguments


def _check_free(entry: _Entry, arguments: Arguments) -> None:
    """Raises ToolError where the user has to agree first, whoever makes the call."""
    if entry.asks(arguments):
        raise ToolError(f"The user has not agreed to this call of '{entry.tool.name}'.")


def _parsed(name: str, text: str) -> Arguments:
    if len(text) > _LONGEST_ARGUMENTS:
        raise ToolError(
            f"The arguments of '{name}' are too long: {len(text):,} characters of "
            f"{_LONGEST_ARGUMENTS:,} allowed."
        )
    # Many models send nothing at all to a tool without parameters.
    if not text.strip():
        return {}
    try:
        arguments = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ToolError(f"The arguments of '{name}' are not valid JSON: {error.msg}.") from error
    if not isinstance(arguments, dict):
        raise ToolError(f"The arguments of '{name}' must be a JSON object.")
    return arguments
