"""Entries of `sub_agents` that say where an agent is → RemoteAgents."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from retinue.agent import Databricks, Http, RemoteAgent
from retinue.compile.conduct_spec import SubAgentSpec
from retinue.compile.databricks import SHAPES
from retinue.compile.references import HEADER_NAME, reference
from retinue.compile.report import Report, quoted
from retinue.compile.tree import Node, Path
from retinue.diagnostics import Location
from retinue.values import Text

_LONGEST_NAME = 48
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_OWN_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
_ELSEWHERE = ("url", "databricks")
_ONLY_WITH: Mapping[str, tuple[str, ...]] = {
    "alias": _ELSEWHERE,
    "description": _ELSEWHERE,
    "timeout": _ELSEWHERE,
    "headers": ("url",),
    "api_key": ("url",),
    "auth": ("databricks",),
}


def is_remote(spec: SubAgentSpec) -> bool:
    """Whether the entry says where its agent is, and so means none of the project."""
    return spec.url is not None or spec.databricks is not None


def compile_remote_agents(
    specs: Sequence[SubAgentSpec], written: Mapping[Location, str], root: Node, report: Report
) -> tuple[RemoteAgent, ...]:
    """The agents elsewhere that have no mistake; those of the others go to `report`.

    `root` is a tree with references replaced, `written` what stood at some places before.
    """
    taken = {spec.agent for spec in specs if not is_remote(spec)}
    made: list[RemoteAgent] = []
    for index, spec in enumerate(specs):
        entry = _Entry(spec, ("sub_agents", index), written, root, report)
        entry.check_keys()
        found = entry.compile() if is_remote(spec) else None
        if found is None:
            continue
        if found.name in taken:
            message = f"two sub-agents are called {quoted(found.name)} here"
            hint = "give one of them an `alias`"
            report.error(entry.place("agent"), message, "duplicate-agent", hint)
        taken.add(found.name)
        made.append(found)
    return tuple(made)


@dataclass(frozen=True, slots=True)
class _Entry:
    spec: SubAgentSpec
    path: Path
    written: Mapping[Location, str]
    root: Node
    report: Report

    def place(self, *key: str) -> Location:
        return self.root.at((*self.path, *key))

    def check_keys(self) -> None:
        given = self.root.find(self.path).entries
        here = [kind for kind in _ELSEWHERE if kind in given]
        if len(here) > 1:
            self._conflict("databricks", "'url' and 'databricks' exclude each other", "keep one")
        for key, owners in _ONLY_WITH.items():
            if key in given and not set(owners) & set(here):
                owner = "' or '".join(owners)
                what = f"'{key}' goes with '{owner}', and this entry has none"
                self._conflict(key, what, "remove it")
        if here and self.spec.mode == "handoff":
            what = "an agent elsewhere can be asked, and can't take over the conversation"
            self._conflict("mode", what, "remove 'mode'")

    def _conflict(self, key: str, message: str, hint: str) -> None:
        place = self.root.key((*self.path, key))
        self.report.error(place, message, "conflicting-keys", hint)

    def compile(self) -> RemoteAgent | None:
        spec = self.spec
        # Its own name may be a model's, such as openai/gpt-5, and a tool is named after it here.
        name = spec.alias or _NOT_IN_A_NAME.sub("-", spec.agent).strip("-")[:_LONGEST_NAME]
        if not name or not _OWN_NAME.fullmatch(spec.agent):
            message = f"{quoted(spec.agent)} can't be an agent's name"
            self.report.error(self.place("agent"), message, "bad-name")
        transport = self._transport()
        if transport is None:
            return None
        return RemoteAgent(
            name=name,
            agent=spec.agent,
            transport=transport,
            api_key=reference(
                spec.api_key, self.root, (*self.path, "api_key"), self.report, line=True
            ),
            description=spec.description,
            auth=spec.auth or "app",
            timeout=spec.timeout,
        )

    def _transport(self) -> Http | Databricks | None:
        spec = self.spec
        if spec.url is not None:
            path = (*self.path, "url")
            url = reference(spec.url, self.root, path, self.report, url=True)
            headers = tuple((name, self._header(name)) for name in spec.headers)
            return Http(url=url, headers=headers) if url else None
        if spec.databricks is None:
            return None
        path = (*self.path, "databricks", "app")
        app = reference(spec.databricks.app, self.root, path, self.report)
        pattern, wanted = SHAPES["app"]
        if isinstance(app, str) and not pattern.fullmatch(app):
            self.report.error(self.root.at(path), f"expected {wanted}", "wrong-value")
        written = self.written.get(self.root.at(path), str(spec.databricks.app))
        return Databricks(kind="app", target=app, written=written)

    def _header(self, name: str) -> Text:
        path = (*self.path, "headers", name)
        if not HEADER_NAME.fullmatch(name):
            message = f"{quoted(name)} can't be a name in 'headers'"
            self.report.error(self.root.key(path), message, "bad-name")
        value = reference(self.spec.headers[name], self.root, path, self.report, line=True)
        return value or ""
