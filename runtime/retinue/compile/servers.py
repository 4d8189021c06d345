"""`mcp_servers` of a spec → ToolServers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from retinue.agent import Databricks, DatabricksKind, Http, Stdio, ToolServer, Twin
from retinue.compile.interpolate import Pending
from retinue.compile.mistakes import stands_for
from retinue.compile.named import TRANSPORTS
from retinue.compile.reader import Reader
from retinue.compile.references import HEADER_NAME, reference
from retinue.compile.report import Report, quoted
from retinue.compile.server_spec import DatabricksSpec, OfflineSpec, ServerSpec
from retinue.compile.tree import Node, Path
from retinue.diagnostics import Location
from retinue.errors import ProjectError
from retinue.values import Text

_NAME = re.compile(r"[a-z0-9_-]{1,32}")
_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,48}")
_IN_CATALOG = re.compile(r"[^\s./]+(?:\.[^\s./]+){1,2}")
_SHAPES: Mapping[str, tuple[re.Pattern[str], str]] = {
    "functions": (_IN_CATALOG, "CATALOG.SCHEMA or CATALOG.SCHEMA.FUNCTION"),
    "vector_search": (_IN_CATALOG, "CATALOG.SCHEMA or CATALOG.SCHEMA.INDEX"),
    "connection": (re.compile(r"[^\s./]+"), "a connection's name"),
    "app": (re.compile(r"[a-z0-9-]{2,30}"), "an app's name: a-z, 0-9 and hyphens"),
}
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

    def compile(self) -> ToolServer | None:
        self._check_name()
        kind = self._kind()
        if kind is not None:
            self._check_keys(kind)
        transport = self._transport()
        twin = self._twin(self.spec.offline)
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
            require_approval=tuple(self.spec.tools.require_approval),
            required=self.spec.required,
            timeout=self.spec.timeout,
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
            args = [self._text(arg, "args", n) for n, arg in enumerate(spec.args)]
            env = self._named(spec.env, "env", _ENV_NAME)
            return Stdio(command=spec.command, args=tuple(args), env=env)
        if spec.url is not None:
            url = reference(spec.url, self.root, (*self._path, "url"), self.report, url=True)
            headers = self._named(spec.headers, "headers", HEADER_NAME)
            return Http(url=url, headers=headers) if url else None
        return self._databricks()

    def _databricks(self) -> Databricks | None:
        if self.spec.databricks is None:
            return None
        path = (*self._path, "databricks")
        spec = self.spec.databricks
        every: Mapping[DatabricksKind, Text | Pending | bool | None] = {
            "genie_space": spec.genie_space,
            "genie": spec.genie,
            "sql": spec.sql,
            "functions": spec.functions,
            "vector_search": spec.vector_search,
            "connection": spec.connection,
            "app": spec.app,
        }
        given = {kind: value for kind, value in every.items() if value is not None}
        if len(given) != 1:
            self._not_one_kind(list(given), path)
            return None
        ((kind, target),) = given.items()
        if isinstance(target, bool):
            return Databricks(kind=kind, target="")
        path = (*path, kind)
        found = reference(target, self.root, path, self.report)
        shape = _SHAPES.get(kind)
        if isinstance(found, str) and shape and not shape[0].fullmatch(found):
            self.report.error(self.root.at(path), f"expected {shape[1]}", "wrong-value")
        written = self.written.get(self.root.at(path), str(target))
        return Databricks(kind=kind, target=found, written=written)

    def _not_one_kind(self, given: list[DatabricksKind], path: Path) -> None:
        if given:
            place = self.root.key((*path, given[1]))
            message = f"'{given[0]}' and '{given[1]}' exclude each other"
            self.report.error(place, message, "conflicting-keys", "keep one of them")
        elif not self.root.find(path).absent:
            hint = f"add 'genie_space: <id>', or one of: {', '.join(DatabricksSpec.model_fields)}"
            message = "the server lacks a kind such as 'genie_space'"
            self.report.error(self.root.key(path), message, "missing-key", hint)

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

    def _twin(self, spec: OfflineSpec | None) -> Twin | None:
        if spec is None:
            return None
        place = self.root.at((*self._path, "offline", "genie_space"))
        try:
            path = self.reader.project.inside(spec.genie_space)
        except ProjectError as error:
            self.report.error(place, str(error), "path-outside")
            return None
        if not path.is_dir():
            message = f"there is no folder {quoted(spec.genie_space)}"
            self.report.error(place, message, "file-not-found")
        return Twin(kind="genie_space", path=path)
