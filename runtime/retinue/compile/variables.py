"""databricks.yml and what the caller gave → the values of bundle variables.

The order is the Databricks CLI's own: `--var`, `BUNDLE_VAR_x`, the target's
`variable-overrides.json`, the target in databricks.yml, the variable's default.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from retinue.compile.document import Dialect, read_document
from retinue.compile.reader import Reader, ReadError
from retinue.compile.report import Report
from retinue.compile.tree import Document, Node
from retinue.diagnostics import Location, did_you_mean

_BUNDLE_FILE = "databricks.yml"
_NESTED = re.compile(r"\$\{([^{}$]*)\}")
_MAX_NESTING = 8
_MAX_LENGTH = 1_000_000
_MAX_INCLUDES = 200
_TOLERANT = Dialect(lenient=True)
_PREFIX = "BUNDLE_VAR_"


@dataclass(frozen=True, slots=True)
class Found:
    """A variable's value, or why there is none. `at_deployment`: the bundle will know it."""

    value: str | None = None
    problem: str = ""
    code: str = "unset-variable"
    hint: str | None = None
    at_deployment: bool = False


@dataclass(frozen=True, slots=True)
class Variables:
    """The bundle variables of a project, for one target.

    `given` are the caller's values; `layers` map names to values, the first one that knows a name
    wins; `declared` are the names in databricks.yml, or None where there is no such file.
    """

    given: Mapping[str, str]
    layers: tuple[Mapping[str, object], ...] = ()
    declared: tuple[str, ...] | None = None
    target: str | None = None
    _known: dict[str, str] = field(default_factory=dict, compare=False)  # each is expanded once

    def value(self, name: str, depth: int = 0) -> Found:
        """The value that the Databricks CLI would give `name`, as far as it is known here."""
        if name in self.given:
            return Found(self.given[name])
        if self.declared is not None and name not in self.declared:
            return self._undeclared(name, self.declared)
        known = next((layer[name] for layer in self.layers if name in layer), None)
        if known is None:
            return _unset(name, "has no value")
        text = self._known.get(name) or self._expanded(known, depth)
        if text is not None:
            self._known[name] = text
        return _unset(name, "has no value before deployment") if text is None else Found(text)

    def _expanded(self, value: object, depth: int) -> str | None:
        """`value` with the variables in it replaced, or None where only a deployment knows it."""
        if isinstance(value, bool):
            return "true" if value else "false"
        if not isinstance(value, str | int | float) or depth > _MAX_NESTING:
            return None
        pieces: list[str] = []
        length = 0
        for index, piece in enumerate(_NESTED.split(str(value))):
            text = self._nested(piece, depth) if index % 2 else piece
            length += len(text or "")
            if text is None or length > _MAX_LENGTH:
                return None
            pieces.append(text)
        return "".join(pieces)

    def _nested(self, body: str, depth: int) -> str | None:
        if body == "bundle.target":
            return self.target
        return self.value(body[4:], depth + 1).value if body.startswith("var.") else None

    def _undeclared(self, name: str, declared: tuple[str, ...]) -> Found:
        near = did_you_mean(name, declared)
        return Found(
            problem=f"the variable '{name}' is not declared in {_BUNDLE_FILE}",
            code="unknown-variable",
            hint=f"{near} (or declare it there under `variables`)"
            if near
            else f"declare it there under `variables`, or give --var {name}=…",
        )


def _unset(name: str, reason: str) -> Found:
    return Found(
        problem=f"the variable '{name}' {reason}",
        hint=f"give --var {name}=…, set {_PREFIX}{name}, or give it a default in {_BUNDLE_FILE}",
        at_deployment=True,
    )


def read_variables(
    reader: Reader,
    report: Report,
    *,
    given: Mapping[str, str],
    env: Mapping[str, str],
    target: str | None,
) -> Variables:
    """The project's bundle variables. What is amiss in databricks.yml is at most a warning:
    the Databricks CLI judges that file; only an unknown `target` is an error.
    """
    from_env = {k.removeprefix(_PREFIX): v for k, v in env.items() if k.startswith(_PREFIX)}
    variables = Variables({**from_env, **given}, target=target)
    files = _bundle_files(reader, report)
    if not files:
        return variables
    name = target or _default_target(files)
    if target is not None:
        _check_target(target, files, report)
    chosen = [node for node in (_target(file, name) for file in files) if node]
    declared = [node for file in files if (node := file.root.child("variables"))]
    names = [
        key
        for node in (*declared, *(_below(c, "variables") for c in chosen))
        for key in node.entries
    ]
    return replace(
        variables,
        layers=(
            _overrides(reader, name),
            _values(_below(node, "variables") for node in chosen),
            _values(declared),
        ),
        declared=tuple(dict.fromkeys(names)),
        target=name,
    )


def _bundle_files(reader: Reader, report: Report) -> list[Document]:
    """databricks.yml and the files that it includes."""
    main = _read(reader, _BUNDLE_FILE, report)
    if main is None:
        return []
    include = main.root.child("include")
    patterns = [str(item.value) for item in include.items[:_MAX_INCLUDES]] if include else []
    paths = dict.fromkeys(path for pattern in patterns for path in reader.matching(pattern))
    paths.pop(_BUNDLE_FILE, None)
    read = [_read(reader, path, report) for path in [*paths][:_MAX_INCLUDES]]
    return [main, *(document for document in read if document)]


def _read(reader: Reader, path: str, report: Report) -> Document | None:
    try:
        data = reader.read(path)
    except ReadError:
        return None
    own = Report()
    document = read_document(path, data, own, _TOLERANT)
    for diagnostic in own.diagnostics():
        report.add(replace(diagnostic, severity="warning"))
    return document


def _default_target(files: Iterable[Document]) -> str | None:
    """The target marked `default: true`, or the only one."""
    targets = _targets(files)
    marked = [
        name
        for name, node in targets.items()
        if (flag := node.child("default")) and flag.value is True
    ]
    return (marked or [*targets] if len(marked or targets) == 1 else [None])[0]


def _targets(files: Iterable[Document]) -> dict[str, Node]:
    return {
        name: entry.node
        for file in files
        for name, entry in _below(file.root, "targets").entries.items()
    }


def _below(node: Node, key: str) -> Node:
    return node.child(key) or Node(None, node.place)


def _target(file: Document, name: str | None) -> Node | None:
    return _below(file.root, "targets").child(name) if name else None


def _check_target(target: str, files: list[Document], report: Report) -> None:
    known = list(_targets(files))
    if target not in known:
        place = files[0].root.key(("targets",)) if "targets" in files[0].root.entries else None
        report.error(
            place or Location(_BUNDLE_FILE),
            f"there is no target '{target}'",
            "unknown-target",
            did_you_mean(target, known),
        )


def _values(nodes: Iterable[Node]) -> dict[str, object]:
    values = {key: _given(entry.node) for node in nodes for key, entry in node.entries.items()}
    return {name: value for name, value in values.items() if value is not None}


def _given(node: Node) -> object:
    """A scalar, or an object's `default`; an object itself where the bundle must look it up."""
    if not node.entries:
        return node.plain()
    kind = node.child("type")
    if "lookup" in node.entries or (kind is not None and kind.value == "complex"):
        return node.plain()
    default = node.child("default")
    return default.plain() if default else None


def _overrides(reader: Reader, target: str | None) -> dict[str, object]:
    """What the CLI keeps for a target under `.databricks/`, where the user has put it."""
    try:
        data = reader.read(f".databricks/bundle/{target}/variable-overrides.json")
        read = json.loads(data)
    except (ReadError, ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}
