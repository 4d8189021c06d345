"""A tree → the Spec of its file; pydantic's errors → our own sentences at the exact token."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from retinue.compile.fields import NO_SPACE, Spec
from retinue.compile.report import MAX_PER_FILE, Report, quoted
from retinue.compile.spec import AgentSpec
from retinue.compile.tree import INVALID, Node, Path
from retinue.diagnostics import did_you_mean

_MAX_ROUNDS = 8
# What takes the place of a missing key, so that the rest of the file can still be checked.
_STAND_IN: Mapping[str, object] = {"model": "-", "instructions": "-"}


Filled = Callable[[dict[str, object]], dict[str, object]]


def read_agent(root: Node, report: Report) -> tuple[AgentSpec, Node] | None:
    """The spec of a whole agent and the tree it was read from; None where there is nothing to go
    on with.

    Every mistake goes to the report. Wrong values are then left out of both, so that what is
    right can be checked further: a spec alone doesn't mean that the file was good.
    """
    if not _is_object(root, report):
        return None
    _missing_at_root(root, report)
    return read_spec(AgentSpec, root, report, lambda plain: {**_STAND_IN, **plain})


def read_part(root: Node, report: Report) -> Node:
    """What is right in a part of an agent, which may lack what others have."""
    read = read_spec(AgentSpec, root, report, completed) if _is_object(root, report) else None
    return read[1] if read else Node({}, root.place)


def completed(plain: dict[str, object]) -> dict[str, object]:
    """A part of an agent with something in place of the keys that a whole one needs."""
    whole: dict[str, object] = {**_STAND_IN, **plain}
    model = whole["model"]
    return {**whole, "model": {"name": "-", **model}} if isinstance(model, dict) else whole


AnySpec = TypeVar("AnySpec", bound=Spec)


def read_spec(
    kind: type[AnySpec], root: Node, report: Report, filled: Filled
) -> tuple[AnySpec, Node] | None:
    """As `read_agent`, for the object at any file's root; `filled` adds what may be missing."""
    form = _Form(kind, report)
    root = root.without(_unusable(root, report))
    for _ in range(_MAX_ROUNDS):
        try:
            return kind.model_validate(filled(_plain(root))), root
        except ValidationError as error:
            errors = error.errors(include_url=False)
        for details in errors[: 2 * MAX_PER_FILE]:
            form.tell(details, root)
        root = root.without(_wrong(details, root) for details in errors)
    return None


def _is_object(root: Node, report: Report) -> bool:
    if not isinstance(root.value, dict):
        _no_object(root, report)
    return isinstance(root.value, dict)


def _plain(root: Node) -> dict[str, object]:
    return {key: entry.node.plain() for key, entry in root.entries.items()}


def _no_object(root: Node, report: Report) -> None:
    if root.value is None:
        message, hint = "the file is empty", "an agent needs at least model and instructions"
    else:
        message = f"expected an object with keys, got {_shown(root.value)}"
        hint = "start with a line such as 'name: assistant'"
    report.error(root.place, message, "empty-file" if root.value is None else "wrong-type", hint)


def _unusable(root: Node, report: Report) -> Iterator[Path]:
    """Values to leave out: those refused before, keys without a value, and texts with a NUL."""
    for path, node in root.where(_is_unusable):
        if node.value is None:
            if _may_be_null(path):
                continue
            _no_value(path, root, report)
        elif node.value is not INVALID:
            report.error(node.place, "a NUL character can't be used here", "control-character")
        yield path


def _is_unusable(value: object) -> bool:
    return value is None or value is INVALID or "\0" in str(value)


def _no_value(path: Path, root: Node, report: Report) -> None:
    last = path[-1]
    message = f"'{last}' has no value" if isinstance(last, str) else "an item is empty"
    hint = _space(last) or "give it a value, or remove it"
    report.error(root.key(path), message, "empty-value", hint)


def _may_be_null(path: Path) -> bool:
    """Whether an empty value is passed on, or is part of a JSON Schema."""
    return "extra" in path[2:5] or "output_schema" in path[:2]


def _missing_at_root(root: Node, report: Report) -> None:
    if root.absent - AgentSpec.model_fields.keys():
        return  # a key that can't be read may be the one
    for key in _STAND_IN:
        if _lacks(root, key) and not stands_for(key, root, ()):
            place = root.place
            example = AgentSpec.model_fields[key].examples or [""]
            report.error(place, f"'{key}' is missing", "missing-key", f"add '{key}: {example[0]}'")


def _lacks(node: Node, key: str) -> bool:
    """Whether a key isn't there, or has no value: that is told already where it was left out."""
    return key not in node.entries and key not in node.absent


def stands_for(key: str, root: Node, path: Path) -> bool:
    """Whether a wrong key of the object at `path` was meant for `key`, and its hint says so."""
    return _Form(AgentSpec, Report()).stands_for(key, root, path)


@lru_cache(maxsize=1000)
def _key_hint(spec: type[Spec], key: str) -> str | None:
    return spec.hints.get(key) or did_you_mean(key[:60], list(spec.model_fields))


def _wrong(details: ErrorDetails, root: Node) -> Path:
    """What to leave out: the value itself, what stands for it, or the object that lacks a key."""
    path = tuple(details["loc"])
    node, depth = root, 0
    for step in path[:-1] if details["type"] == "missing" else path:
        below = node.child(step)
        if below is None:
            break
        node, depth = below, depth + 1
    return path[:depth]


@dataclass(frozen=True, slots=True)
class _Form:
    """What a kind of file may hold, and where its mistakes go."""

    kind: type[Spec]
    report: Report

    def tell(self, details: ErrorDetails, root: Node) -> None:
        path = tuple(details["loc"])
        kind = details["type"]
        if kind == "missing":
            self._missing(path, root)
        elif kind == "extra_forbidden":
            self._unknown_key(path, root)
        else:
            code, message, hint = _sentence(details)
            if kind == "model_type" and hint is None:
                hint = _keys(_spec_at(self.kind, path))
            self.report.error(root.at(path), message, code, hint)

    def stands_for(self, key: str, root: Node, path: Path) -> bool:
        spec = _spec_at(self.kind, path)
        node = root.find(path)
        if spec is None:
            return False
        wrong = [key for key in node.entries if key not in spec.model_fields]
        wrong = [*sorted(node.absent), *wrong][:MAX_PER_FILE]  # no others are shown
        return any(re.search(rf"[`']{key}\b", _key_hint(spec, other) or "") for other in wrong)

    def _missing(self, path: Path, root: Node) -> None:
        owner = root.find(path[:-1])
        if path[-1] in owner.absent or self.stands_for(str(path[-1]), root, path[:-1]):
            return
        place = root.key(path[:-1]) if path[:-1] else owner.place
        if place.file == root.place.file:
            message = f"'{path[-1]}' is missing"
        else:  # the object is from a file that needn't be complete
            place, message = root.place, f"'{_dotted(path)}' is missing"
        self.report.error(place, message, "missing-key", f"add '{path[-1]}'")

    def _unknown_key(self, path: Path, root: Node) -> None:
        key = str(path[-1])
        spec = _spec_at(self.kind, path[:-1])
        if spec is None:
            return
        where = f" in {_dotted(path[:-1])}" if path[:-1] else ""
        hint = _key_hint(spec, key)
        self.report.error(root.key(path), f"unknown key {_key(key)}{where}", "unknown-key", hint)


def _keys(spec: type[Spec] | None) -> str | None:
    """What an object holds, where that is little."""
    keys = list(spec.model_fields) if spec else []
    return f"its keys: {', '.join(keys)}" if 0 < len(keys) <= _MOST_KEYS else None


def _dotted(path: Path) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step[:40]}" for step in path)
    return "".join(steps).removeprefix(".")


def _key(key: str) -> str:
    return f"'{quoted(key)[1:-1]}'"


def _spec_at(kind: Any, path: Path) -> type[Spec] | None:
    """The model that describes the object at `path` of a file of a kind."""
    for step in path:
        inner = _spec_in(kind)
        if inner is not None and str(step) in inner.model_fields:
            kind = inner.model_fields[str(step)].annotation
        elif inner is not None:
            return None
        else:
            kind = get_args(kind)[-1] if get_args(kind) else None
    return _spec_in(kind)


def _spec_in(kind: Any) -> type[Spec] | None:
    """The model that a type is, or wraps by Annotated or Optional; None for a list or map."""
    if isinstance(kind, type) and issubclass(kind, Spec):
        return kind
    if getattr(kind, "__origin__", None) in (list, dict):
        return None
    found = (_spec_in(inner) for inner in get_args(kind))
    return next((spec for spec in found if spec is not None), None)


_MOST_KEYS = 8
_YAML_1_1 = {"yes": True, "on": True, "y": True, "no": False, "off": False, "n": False}
"""What YAML took for switches before version 1.2."""

_Sentence = tuple[str, str, str | None]


def _sentence(details: ErrorDetails) -> _Sentence:
    """Code, message and hint of an error at a value."""
    kind, value = details["type"], details["input"]
    if kind in _EXPECTED:
        code = "out-of-range" if kind.endswith("_range") else "wrong-type"
        argv = _argv(value) if details["loc"][-1:] == ("command",) else None
        return code, f"expected {_EXPECTED[kind]}, got {_shown(value)}", argv or _fix(kind, value)
    if kind == "missing_space":
        return "wrong-type", f"expected a key and its value, got {_shown(value)}", _space(value)
    if kind == "literal_error":
        return _choice(details)
    if kind == "string_pattern_mismatch":
        return "bad-name", _pattern(tuple(details["loc"]), value), None
    if kind == "string_too_short":
        return "empty-value", "the text is empty", "give it a value, or remove it"
    if kind == "string_too_long":
        return _too_long(details)
    if kind == "too_long":
        limit, length = details["ctx"]["max_length"], len(details["input"])
        return "too-long", f"there are {length} of them; at most {limit} are allowed", None
    if kind in _BOUNDS:
        bound = next(iter(details["ctx"].values()))
        return "out-of-range", f"expected {_BOUNDS[kind]} {bound:g}, got {_shown(value)}", None
    return "wrong-value", f"this value is not allowed: {_shown(value)}", None


_EXPECTED = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "string_or_object": "a string or an object",
    "names_or_object": "an object or a list of names",
    "scalar": "a string, a number, true or false",
    "duration": "a duration such as 60s, 2m or 500ms",
    "duration_range": "a duration above 0 and up to 24h",
    "age": "a time such as 30d or 12h, or forever",
    "age_range": "a time from 1h up to 3650d",
}
_BOUNDS = {
    "greater_than_equal": "at least",
    "less_than_equal": "at most",
    "greater_than": "more than",
    "less_than": "less than",
}


def _too_long(details: ErrorDetails) -> _Sentence:
    limit = details["ctx"]["max_length"]
    message = f"the text has {len(details['input'])} characters; at most {limit} are allowed"
    hint = "a Databricks App's name has no room for more" if details["loc"] == ("name",) else None
    return "too-long", message, hint


def _choice(details: ErrorDetails) -> _Sentence:
    value = details["input"]
    known = [
        word.strip("'") for word in details["ctx"]["expected"].replace(" or ", ", ").split(", ")
    ]
    known = ["true" if word == "True" else word for word in known]
    expected = known[0] if len(known) == 1 else f"{', '.join(known[:-1])} or {known[-1]}"
    hint = did_you_mean(value[:60], known) if isinstance(value, str) else None
    near = hint if hint and hint.startswith("did") else None
    if value in known:
        near = "remove the quotes"
    return "wrong-value", f"expected {expected}, got {_shown(value)}", near


def _pattern(path: Path, value: object) -> str:
    if path == ("name",):
        return (
            f"{_shown(value, article=False)} can't be an agent's name: it takes a-z, 0-9 and "
            "hyphens, and starts and ends with a letter or digit"
        )
    if path[-2:] == ("lakebase", "project"):
        return "a project's id takes a-z, 0-9 and hyphens, at most 53, and starts with a letter"
    if path[-1:] == ("alias",):
        return "an alias takes letters, digits, hyphens and underscores, at most 48 of them"
    if path[:2] == ("serve", "file_urls"):
        return "a host is a name such as files.example.com, or *.example.com, or *"
    return "a model's name has no blanks and is not empty"


def _space(value: object) -> str | None:
    """What to write for a key that lacks the space before its value."""
    match = NO_SPACE.match(value) if isinstance(value, str) else None
    return f"put a space after the colon: '{match[0]} …'" if match else None


def _fix(kind: str, value: object) -> str | None:
    if kind == "names_or_object" and isinstance(value, list):
        return "write each under its name: 'tickets: {url: …}'"
    if kind in ("model_type", "dict_type", "names_or_object"):
        return _space(value)
    if kind == "bool_type" and isinstance(value, str) and value.lower() in _YAML_1_1:
        return f"write {str(_YAML_1_1[value.lower()]).lower()}"
    if kind in ("string_type", "string_or_object") and isinstance(value, int | float):
        return "put it in quotes"
    if kind in ("int_type", "float_type", "bool_type") and isinstance(value, str):
        return "remove the quotes" if _looks_right(kind, value) else None
    if kind == "list_type" and isinstance(value, str | int | float):
        return "put it in brackets: […]"
    return None


def _argv(value: object) -> str | None:
    """How to write a command that was given as a list."""
    if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
        return None
    args = ", ".join(json.dumps(arg, ensure_ascii=False) for arg in value[1:])
    return f"write `command: {value[0][:60]}` and `args: [{args[:200]}]`"


def _looks_right(kind: str, text: str) -> bool:
    return text in ("true", "false") if kind == "bool_type" else text.lstrip("-").isdecimal()


def _shown(value: object, *, article: bool = True) -> str:
    """A value as a message names it."""
    if isinstance(value, str):
        return f"the string {quoted(value)}" if article else quoted(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"the {'integer' if isinstance(value, int) else 'number'} {value}"
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return "a list"
    return "an object" if isinstance(value, dict) else "a reference"
