"""databricks.yml and a target's name → what of it decides where apps are, and what they become."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retinue.bundle.bundles import FOLDER
from retinue.compile.document import Dialect, read_document
from retinue.compile.reader import Reader, ReadError
from retinue.compile.report import Report
from retinue.compile.variables import Variables, read_variables
from retinue.diagnostics import CompileError
from retinue.errors import UsageError
from retinue.project import Project

_BUNDLE_FILE = "databricks.yml"
_SUFFIX = "app_suffix"
_REFERENCE = re.compile(r"\$\{([^{}$]*)\}")
_DEFAULT_ROOT = "~/.bundle/${bundle.name}/${bundle.target}"
_MAX_INCLUDES = 200

Tree = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """One target. `layers` are the trees that hold for it: those of all targets, then its own."""

    name: str | None
    variables: Variables
    layers: tuple[Tree, ...]

    @property
    def host(self) -> str | None:
        """The workspace's address, where databricks.yml names it."""
        host = self._last("workspace", "host")
        return host and host.rstrip("/")

    @property
    def profile(self) -> str | None:
        """The profile of the Databricks CLI, likewise."""
        return self._last("workspace", "profile")

    def app_name(self, agent: str) -> str:
        """An agent's app: its own name and the target's suffix.

        Raises UsageError where the suffix is unknown.
        """
        suffix = self.variables.value(_SUFFIX)
        if suffix.value is None:
            raise UsageError(
                f"{suffix.problem}: declare it in {_BUNDLE_FILE}, or give --var {_SUFFIX}=…"
            )
        return agent + suffix.value

    def root(self, user: str) -> str:
        """The workspace folder that the bundle is deployed to by `user`."""
        root = self.text(self._last("workspace", "root_path") or _DEFAULT_ROOT, user)
        home = f"/Workspace/Users/{user}"
        return (home + root[1:] if root.startswith("~") else root).rstrip("/")

    def text(self, text: str, user: str = "") -> str:
        """The text with what is known before a deployment put in; the rest stays as written."""
        known = {
            "bundle.name": self._last("bundle", "name"),
            "bundle.target": self.name,
            "workspace.host": self.host,
            "workspace.current_user.userName": user or None,
            "workspace.current_user.short_name": _short(user) or None,
        }

        def value(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith("var."):
                found = self.variables.value(name[4:]).value
            else:
                found = known.get(name)
            return match[0] if found is None else found

        return _REFERENCE.sub(value, text)

    def resources(self) -> Iterator[tuple[str, str, Tree]]:
        """Kind, key and content of the bundle's resources that `retinue bundle` didn't write."""
        for layer in self._all("resources"):
            for kind, several in layer.items() if isinstance(layer, dict) else ():
                for key, content in several.items() if isinstance(several, dict) else ():
                    if isinstance(content, dict):
                        yield kind, str(key), content

    def permissions(self) -> list[Tree]:
        """Those that the bundle gives to all of its resources."""
        lists = [given for given in self._all("permissions") if isinstance(given, list)]
        return [item for given in lists for item in given if isinstance(item, dict)]

    def _last(self, *path: str) -> str | None:
        found = [*self._all(*path)]
        return str(found[-1]) if found else None

    def _all(self, *path: str) -> Iterator[Any]:
        for layer in self.layers:
            found: Any = layer
            for key in path:
                found = found.get(key) if isinstance(found, dict) else None
            if found is not None:
                yield found


def read_target(project: Project, given: Mapping[str, str], name: str | None) -> Target:
    """The named target, or the default one; `given` are variables' values.

    Raises CompileError for a target that isn't there.
    """
    report = Report()
    reader = Reader(project)
    variables = read_variables(reader, report, given=given, env=os.environ, target=name)
    found = report.diagnostics()
    if any(one.severity == "error" for one in found):
        raise CompileError(found)
    trees = [*_trees(reader)]
    targets = [tree["targets"] for tree in trees if isinstance(tree.get("targets"), dict)]
    own = [several[variables.target] for several in targets if variables.target in several]
    layers = (*trees, *(tree for tree in own if isinstance(tree, dict)))
    return Target(variables.target, variables, layers)


def _trees(reader: Reader) -> Iterator[Tree]:
    """databricks.yml and what it includes, but for what `retinue bundle` makes."""
    main = _tree(reader, _BUNDLE_FILE)
    if main is None:
        return
    yield main
    patterns = main.get("include")
    paths = dict.fromkeys(
        path
        for pattern in (patterns if isinstance(patterns, Sequence) else ())
        for path in reader.matching(str(pattern))
        if path != _BUNDLE_FILE and not path.startswith(f"{FOLDER}/")
    )
    for path in [*paths][:_MAX_INCLUDES]:
        if tree := _tree(reader, path):
            yield tree


def _tree(reader: Reader, path: str) -> Tree | None:
    try:
        document = read_document(path, reader.read(path), Report(), Dialect(lenient=True))
    except ReadError:
        return None
    plain = document.root.plain() if document else None
    return plain if isinstance(plain, dict) else None


def _short(user: str) -> str:
    """How the Databricks CLI shortens a user's name for use in others."""
    return re.sub(r"[^a-zA-Z0-9]", "_", user.partition("@")[0]).lower()
