"""Every `${...}` in a document's strings → plain text, or references that are resolved at use.

The grammar, the same in every string: `${env.X}`, `${env.X:-default}`, `${var.x}`,
`${secret.scope/key}`, `${workspace.host}`; `$${` stands for a literal `${`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from retinue.compile.report import Report, quoted
from retinue.compile.tree import Document, Node, Path
from retinue.compile.variables import Variables
from retinue.diagnostics import Location, did_you_mean
from retinue.values import Ref, Template, Text

Kind = Literal["env", "var", "secret", "workspace"]

_NO_TEXTS: Mapping[str, str] = MappingProxyType({})
_OPENING = re.compile(r"\$\$\{|\$\{")
_NAMES: Mapping[str, re.Pattern[str]] = {
    "env": re.compile(r"[A-Za-z_][A-Za-z0-9_]*"),
    "var": re.compile(r"[A-Za-z_][A-Za-z0-9_-]*"),
    "secret": re.compile(r"[\w.@-]{1,128}/[\w.@-]{1,128}"),
    "workspace": re.compile(r"host"),
}
_FORMS = {
    "env": "${env.NAME} or ${env.NAME:-default}",
    "var": "${var.name}",
    "secret": "${secret.scope/key}",
    "workspace": "${workspace.host}",
}
_SECRETS_GO = (
    "a secret can go in a model's api_key and api_base, and in a server's url, headers, env, args "
    "and databricks target"
)
_MAX_REFERENCES = 200
_ESCAPE = "write $${ for a literal ${"


@dataclass(frozen=True, slots=True)
class CompileContext:
    """What the compiler takes from outside: nothing else of the surroundings is read.

    `variables` are explicit values of bundle variables (`--var`); `target` is a target of
    databricks.yml. With `defer_env` an unset `${env.X}` is no error where the value is only
    needed at run time, as when a bundle is made on a machine that will not run it. With
    `deploying` every bundle variable needs its value, and no model may be an offline one. With
    `origins` the compilation tells where every value was written.
    """

    env: Mapping[str, str] = field(default_factory=lambda: _NO_TEXTS)
    variables: Mapping[str, str] = field(default_factory=lambda: _NO_TEXTS)
    target: str | None = None
    defer_env: bool = False
    deploying: bool = False
    origins: bool = False


@dataclass(frozen=True, slots=True)
class Reference:
    """One `${...}` as written: `start` and `end` are offsets in the text around it."""

    kind: Kind
    name: str
    default: str | None
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Malformed:
    """A `${` that the grammar doesn't know."""

    message: str
    hint: str
    start: int
    end: int


class Resolved(str):
    """Text that stood in for a whole scalar: a field that wants a number reads it as YAML would."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Pending:
    """A value that is known only at deployment: `text` as written."""

    text: str


Part = str | Reference | Malformed


def parts(text: str) -> list[Part]:
    """`text` cut at its references; adjacent literals are joined."""
    found: list[Part] = []
    literal = ""
    position = 0
    while match := _OPENING.search(text, position):
        literal += text[position : match.start()]
        if match[0] == "$${":
            literal, position = literal + "${", match.end()
            continue
        part = _reference(text, match.start())
        found += [literal, part] if literal else [part]
        literal, position = "", part.end
    literal += text[position:]
    return [*found, literal] if literal else found


def escape(text: str) -> str:
    """Text that reads back as `text` itself."""
    return text.replace("${", "$${")


def _reference(text: str, start: int) -> Reference | Malformed:
    end = text.find("}", start)
    if end < 0 or "\n" in text[start:end]:
        line_end = text.find("\n", start)
        stop = len(text) if line_end < 0 else line_end
        return Malformed("this ${ is never closed", f"add }}, or {_ESCAPE}", start, stop)
    body = text[start + 2 : end]
    kind, dot, rest = body.partition(".")
    if kind not in _NAMES or not dot:
        return Malformed(
            f"unknown reference {quoted(text[start : end + 1])}", _hint(body), start, end + 1
        )
    name, separator, default = rest.partition(":-") if kind == "env" else (rest, "", "")
    if not _NAMES[kind].fullmatch(name) or "${" in default:
        message = f"malformed reference {quoted(text[start : end + 1])}"
        return Malformed(message, f"the form is {_FORMS[kind]}", start, end + 1)
    return Reference(kind, name, default if separator else None, start, end + 1)  # type: ignore[arg-type]


def _hint(body: str) -> str:
    if body in _FORMS:
        return f"the form is {_FORMS[body]}"
    if _NAMES["env"].fullmatch(body):
        return f"did you mean ${{env.{body}}}? in a prompt {{{{ {body} }}}}; or {_ESCAPE}"
    kind, dot, name = body.partition(".")
    tidy = kind.strip().lower()
    if tidy in _NAMES and dot:
        return f"did you mean ${{{tidy}.{name.strip()}}}? or {_ESCAPE}"
    near = did_you_mean(kind, list(_NAMES)) or f"one of: {', '.join(_NAMES)}"
    return f"{near} or {_ESCAPE}" if near.endswith("?") else f"{near}; {_ESCAPE}"


@dataclass(slots=True)
class Interpolation:
    """Replaces the references of one document. `used` collects the variables that went in, and
    `written` what stood where a bundle variable may wait for its value.

    `holds_references` says whether the field at a path may keep references; `may_wait`, whether
    a variable without a value is fine there.
    """

    context: CompileContext
    variables: Variables
    report: Report
    holds_references: Callable[[Path], bool]
    may_wait: Callable[[Path], bool]
    used: dict[str, str] = field(default_factory=dict)
    written: dict[Location, str] = field(default_factory=dict)

    def apply(self, document: Document, part: Node | None = None) -> Node:
        """The tree, or a part of it, with its references replaced; what has no value is left out
        (`absent`).
        """
        root = part or document.root
        if "${" not in document.text:
            return root
        self._keys(root)
        changes: dict[Path, Node | None] = {}
        for path, node in root.where(_holds_reference):
            value = self._value(document, path, node)
            changes[path] = None if value is None else replace(node, value=value)
        return root.changed(changes)

    def _keys(self, node: Node) -> None:
        for key, entry in node.entries.items():
            if _OPENING.search(key):
                self.report.error(
                    entry.key, "a key can't hold a reference", "reference-in-key", _ESCAPE
                )
            self._keys(entry.node)
        for item in node.items:
            self._keys(item)

    def _value(self, document: Document, path: Path, node: Node) -> Text | Pending | None:
        text = str(node.value)
        if text.count("${") > _MAX_REFERENCES:
            message = f"a value holds more than {_MAX_REFERENCES} references"
            self.report.error(node.place, message, "too-many-references")
            return None
        if self.may_wait(path):
            self.written[node.place] = text
        found = parts(text)
        places = _Places(document, node, text)
        values = [
            part if isinstance(part, str) else self._part(part, path, places) for part in found
        ]
        if any(isinstance(value, Pending) for value in values) and None not in values:
            return Pending(text)
        known = [value for value in values if isinstance(value, str | Ref)]
        if len(known) < len(values):
            return None
        if any(isinstance(value, Ref) for value in known):
            return Template(tuple(_joined(known)))
        whole = "".join(map(str, known))
        return Resolved(whole) if len(found) == 1 and not isinstance(found[0], str) else whole

    def _part(
        self, part: Reference | Malformed, path: Path, places: "_Places"
    ) -> str | Ref | Pending | None:
        place = places.of(part)
        if isinstance(part, Malformed):
            self.report.error(place, part.message, "bad-reference", part.hint)
            return None
        if part.kind == "var":
            return self._variable(part, path, place)
        if part.kind == "secret":
            return self._secret(part, path, place)
        if part.kind == "workspace":
            return self._workspace(path, place)
        return self._environment(part, path, place)

    def _environment(self, part: Reference, path: Path, place: Location) -> str | Ref | None:
        deferred = self.holds_references(path)
        value = self.context.env.get(part.name) or part.default
        if value is None and not (deferred and self.context.defer_env):
            self.report.error(
                place,
                f"the environment variable {part.name} is not set",
                "unset-env",
                f"set {part.name}, or give a default: ${{env.{part.name}:-…}}",
            )
            return None
        if deferred:
            return Ref("env", part.name, part.default)
        self.used[f"env.{part.name}"] = value or ""
        self.report.hide(value or "", f"${{env.{part.name}}}")
        return value

    def _secret(self, part: Reference, path: Path, place: Location) -> Ref | None:
        if self.holds_references(path):
            return Ref("secret", part.name)
        self.report.error(
            place,
            "a secret can't be used here",
            "secret-not-allowed",
            _SECRETS_GO,
        )
        return None

    def _workspace(self, path: Path, place: Location) -> str | Ref | None:
        if self.holds_references(path):
            return Ref("workspace", "host")
        host = self.context.env.get("DATABRICKS_HOST")
        if host:
            self.used["workspace.host"] = host
            return host
        self.report.error(
            place, "the workspace's host is not known", "unset-workspace", "set DATABRICKS_HOST"
        )
        return None

    def _variable(self, part: Reference, path: Path, place: Location) -> str | Pending | None:
        found = self.variables.value(part.name)
        if found.value is not None:
            self.used[f"var.{part.name}"] = found.value
            if part.name in self.variables.given:
                self.report.hide(found.value, f"${{var.{part.name}}}")
            return found.value
        if self.may_wait(path) and found.at_deployment and not self.context.deploying:
            return Pending(f"${{var.{part.name}}}")
        self.report.error(place, found.problem, found.code, found.hint)
        return None


def _holds_reference(value: object) -> bool:
    return isinstance(value, str) and "${" in value


@dataclass(frozen=True, slots=True)
class _Places:
    """Where in the file the references of one scalar stand.

    A scalar's value isn't its source (escapes, folding), but the n-th `${` of one is the n-th
    of the other, unless it was written with escapes; then the scalar's own place must do.
    """

    document: Document
    node: Node
    text: str

    def of(self, part: Reference | Malformed) -> Location:
        source = self.document.text[slice(*self.node.span)]
        starts = [match.start() for match in _OPENING.finditer(source)]
        nth = sum(1 for _ in _OPENING.finditer(self.text, 0, part.start + 2)) - 1
        if len(starts) != sum(1 for _ in _OPENING.finditer(self.text)):
            return self.node.place
        return self.document.place(self.node.span[0] + starts[nth], part.end - part.start)


def _joined(values: list[str | Ref]) -> list[str | Ref]:
    """Adjacent texts as one."""
    joined: list[str | Ref] = []
    for value in values:
        if isinstance(value, str) and joined and isinstance(joined[-1], str):
            joined[-1] += value
        else:
            joined.append(value)
    return joined
