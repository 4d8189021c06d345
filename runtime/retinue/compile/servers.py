"""`mcp_servers` of a spec → ToolServers."""

import json
import pathlib
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from retinue.agent import Databricks, Http, Stdio, ToolServer
from retinue.compile.databricks import ManagedServer
from retinue.compile.interpolate import Pending
from retinue.compile.mistakes import stands_for
from retinue.compile.named import TRANSPORTS
from retinue.compile.reader import Reader
from retinue.compile.references import HEADER_NAME, reference
from retinue.compile.report import Report, quoted
from retinue.compile.server_spec import ServerSpec
from retinue.compile.tree import Node, Path
from retinue.diagnostics import Location
from retinue.values import Text

_NAME = re.compile(r"[a-z0-9_-]{1,32}")
_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,48}")
_ENV_NAME = re.compile(r"[^=\0]+")
_ONLY_WITH: Mapping[str, str] = {
    "args": "command",
    "env": "command",
    "headers": "url",
    "auth": "databricks",
    "offline": "databricks",
}


def compile_servers(
    specs: Mapping[str, ServerSpec],
    written: Mapping[Location, str],
    root: Node,
    reader: Reader,
    report: Report,
) -> tuple[ToolServer, ...]:
    """The servers that have no mistake; the mistakes of the others go to `report`.

    `root` is a tree with references replaced, `written` what stood at some places before.
    """
    servers = (_Server(name, spec, written, root, reader, report) for name, spec in specs.items())
    return tuple(made for server in servers if (made := server.compile()))


@dataclass(frozen=True, slots=True)
class _Server:
    """One server of one tree."""

    name: str
    spec: ServerSpec
    written: Mapping[Location, str]
    root: Node
    reader: Reader
    report: Report

    @property
    def _path(self) -> Path:
        return ("mcp_servers", self.name)

    @property
    def _managed(self) -> ManagedServer:
        return ManagedServer(self._path, self.written, self.root, self.reader, self.report)

    def compile(self) -> ToolServer | None:
        self._check_name()
        kind = self._kind()
        if kind is not None:
            self._check_keys(kind)
        transport = self._transport()
        managed = transport if isinstance(transport, Databricks) else None
        twin = self._managed.twin(self.spec.offline, managed)
        if transport is None:
            return None
        return ToolServer(
            name=self.name,
            transport=transport,
            auth=self.spec.auth or "app",
            twin=twin,
            include=tuple(self.spec.tools.include),
            exclude=tuple(self.spec.tools.exclude),
            rename=self._renamed(),
            descriptions=tuple(self.spec.tools.descriptions.items()),
            require_approval=tuple(self.spec.tools.require_approval),
            resources=self.spec.tools.resources,
            prompts=self.spec.tools.prompts,
            max_result=self.spec.tools.max_result,
            pin=self.spec.tools.pin,
            required=self.spec.required,
            trusted=self.spec.trusted,
            timeout=self.spec.timeout,
            connect_timeout=self.spec.connect_timeout,
        )

    def _check_name(self) -> None:
        if not _NAME.fullmatch(self.name) or "__" in self.name:
            message = f"{quoted(self.name)} can't be a server's name"
            hint = "a-z, 0-9, hyphens and single underscores, at most 32 characters"
            self.report.error(self.root.key(self._path), message, "bad-name", hint)

    def _given(self) -> set[str]:
        node = self.root.find(self._path)
        return {*node.entries, *node.absent}

    def _kind(self) -> str | None:
        """The key that says where the server is; an error unless there is exactly one."""
        given = [kind for kind in TRANSPORTS if kind in self._given()]
        if len(given) == 1:
            return given[0]
        if given:
            place = self.root.key((*self._path, given[1]))
            message = f"'{given[0]}' and '{given[1]}' exclude each other"
            self.report.error(place, message, "conflicting-keys", "keep one of them")
        elif not any(stands_for(kind, self.root, self._path) for kind in TRANSPORTS):
            message = "the server lacks one of 'databricks', 'url' and 'command'"
            self.report.error(self.root.key(self._path), message, "missing-key")
        return None

    def _check_keys(self, kind: str) -> None:
        for key, owner in _ONLY_WITH.items():
            if key in self.root.find(self._path).entries and owner != kind:
                message = f"'{key}' goes with '{owner}', and this server has '{kind}'"
                place = self.root.key((*self._path, key))
                self.report.error(place, message, "conflicting-keys", "remove it")

    def _transport(self) -> Stdio | Http | Databricks | None:
        spec = self.spec
        if spec.command is not None:
            self._check_command(spec.command)
            args = [self._text(arg, "args", n) for n, arg in enumerate(spec.args)]
            env = self._named(spec.env, "env", _ENV_NAME)
            return Stdio(command=spec.command, args=tuple(args), env=env)
        if spec.url is not None:
            url = reference(spec.url, self.root, (*self._path, "url"), self.report, url=True)
            headers = self._named(spec.headers, "headers", HEADER_NAME)
            return Http(url=url, headers=headers) if url else None
        return self._managed.transport(spec.databricks) if spec.databricks else None

    def _check_command(self, command: str) -> None:
        """A command and its arguments in one text would be looked for as one file."""
        if not _holds_arguments(command) or pathlib.Path(command).exists():
            return
        try:
            program, *args = shlex.split(command)
        except ValueError:
            program, *args = command.split()
        shown = ", ".join(json.dumps(arg, ensure_ascii=False) for arg in args)
        given = f" and `args: [{shown[:200]}]`" if args else ""
        hint = f"write `command: {program[:60]}`{given}"
        place = self.root.at((*self._path, "command"))
        message = "no shell reads this: a command is one program, without arguments"
        self.report.error(place, message, "wrong-value", hint)

    def _text(self, value: Text | Pending, key: str, inner: str | int) -> Text:
        path = (*self._path, key, inner)
        return reference(value, self.root, path, self.report, line=key == "headers") or ""

    def _named(
        self, values: Mapping[str, Text | Pending], key: str, names: re.Pattern[str]
    ) -> tuple[tuple[str, Text], ...]:
        for name in values:
            if not names.fullmatch(name):
                place = self.root.key((*self._path, key, name))
                self.report.error(place, f"{quoted(name)} can't be a name in '{key}'", "bad-name")
        return tuple((name, self._text(value, key, name)) for name, value in values.items())

    def _renamed(self) -> tuple[tuple[str, str], ...]:
        path = (*self._path, "tools", "rename")
        renamed = self.spec.tools.rename
        for tool, name in renamed.items():
            place = self.root.at((*path, tool))
            if not _TOOL_NAME.fullmatch(name):
                hint = "letters, digits, hyphens and underscores, at most 48"
                message = f"{quoted(name)} can't be a tool's name"
                self.report.error(place, message, "bad-name", hint)
            elif [*renamed.values()].index(name) != [*renamed].index(tool):
                message = f"two tools are renamed to {quoted(name)}"
                self.report.error(place, message, "duplicate-tool", "give one another name")
        return tuple(renamed.items())


def _holds_arguments(command: str) -> bool:
    """Whether it is more than a program; the folders in a path may have blanks in their names."""
    words = command.split()
    if words == [command] or not words:
        return False
    options = any(word.startswith("-") for word in words[1:])
    return options or "/" not in words[0] or len(command.rpartition("/")[2].split()) > 1
