"""Declared prompt variables → Variables: names, types, defaults and sources checked."""

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass

from retinue.agent import Variable, VariableType
from retinue.compile.fields import reread
from retinue.compile.interpolate import Resolved
from retinue.compile.report import Report, quoted
from retinue.compile.spec import VariableSpec
from retinue.compile.tree import Node, Path
from retinue.diagnostics import Location, did_you_mean
from retinue.values import JsonValue

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = frozenset({*keyword.kwlist, "true", "false", "none", "loop", "self", "context"})
_METADATA = re.compile(r"request\.metadata\.[A-Za-z0-9_.-]{1,64}")
_SOURCES = (
    "user.email", "user.name", "user.id", "clock.date", "clock.time", "clock.datetime",
)  # fmt: skip
_TYPES: Mapping[VariableType, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


@dataclass(frozen=True, slots=True)
class PromptVariables:
    """The variables declared at `path` of a tree."""

    root: Node
    path: Path
    report: Report

    def compile(self, specs: Mapping[str, VariableSpec]) -> tuple[Variable, ...]:
        """The variables; what is wrong with them goes to the report."""
        return tuple(self._variable(*item) for item in specs.items())

    def _variable(self, name: str, spec: VariableSpec) -> Variable:
        path = (*self.path, name)
        self._check_name(name)
        kind, default = self._typed_default(path, spec)
        if spec.source is not None:
            self._check_source(spec.source, self.root.at((*path, "source")))
        elif default is None and "default" not in self.root.find(path).absent:
            message = f"the variable '{name}' has neither a default nor a source"
            self.report.error(self.root.key(path), message, "missing-key", "give it one of them")
        required = default is None if spec.required is None else spec.required
        return Variable(
            name=name, type=kind, default=default, source=spec.source, required=required
        )

    def _check_name(self, name: str) -> None:
        if not is_name(name):
            message = f"{quoted(name)} can't be a variable's name"
            hint = "use letters, digits and underscores, and no word that Jinja2 or Python reserves"
            self.report.error(self.root.key((*self.path, name)), message, "bad-name", hint)

    def _typed_default(self, path: Path, spec: VariableSpec) -> tuple[VariableType, JsonValue]:
        default = spec.default
        if isinstance(default, Resolved):
            default = str(default) if spec.type in (None, "string") else reread(default)
        if default is None or spec.type is None:
            return spec.type or _type_of(default), default
        if not isinstance(default, _TYPES[spec.type]) or (
            isinstance(default, bool) and spec.type != "boolean"
        ):
            place = self.root.at((*path, "default"))
            message = f"the default is not of the type {spec.type}"
            self.report.error(place, message, "wrong-type", "change the default, or the type")
        return spec.type, default

    def _check_source(self, source: str, place: Location) -> None:
        if source in _SOURCES or _METADATA.fullmatch(source):
            return
        known = ("request.metadata.KEY", *_SOURCES)
        near = did_you_mean(source[:60], known)
        if source.startswith("env."):
            near = f"the environment is read at compile time: default: ${{{source[:60]}}}"
        elif not (near and near.startswith("did")):
            near = f"one of: {', '.join(known)}"
        self.report.error(place, f"unknown source {quoted(source)}", "unknown-source", near)


def is_name(name: str) -> bool:
    """Whether a prompt can read a variable of that name."""
    return _NAME.fullmatch(name) is not None and name not in _RESERVED


def _type_of(default: JsonValue) -> VariableType:
    if isinstance(default, bool):
        return "boolean"
    if isinstance(default, int | float):
        return "integer" if isinstance(default, int) else "number"
    return "string"
