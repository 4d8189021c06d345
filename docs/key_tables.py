"""A JSON Schema's object → a Markdown table of its keys: type, default, description, example."""

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from retinue.compile import schema as schemas

Schema = dict[str, Any]

SCHEMAS: Mapping[str, Callable[[], Schema]] = {
    name.removesuffix("_schema"): function
    for name, function in vars(schemas).items()
    if name.endswith("_schema") and not name.startswith("_")
}
"""The files that have a schema: every `NAME_schema()` of the compiler."""

_BOUNDS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "above {}",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "maxProperties": "at most {} entries",
    "maxLength": "at most {} characters",
}
_REFERENCE = r"^\$\{[^}]+\}$"
_DURATION = "(ms|s|m|h)$"


@cache
def schema_of(name: str) -> Schema:
    """The schema of a kind of file: `agent`, and whatever else there is one of."""
    return SCHEMAS[name]()


def objects(name: str) -> dict[str, Schema]:
    """The objects of a kind of file by their names in the schema; the file itself as ''."""
    schema = schema_of(name)
    return {"": schema, **{k: v for k, v in schema.get("$defs", {}).items() if "properties" in v}}


def own_objects(name: str) -> dict[str, Schema]:
    """Those that no kind of file before it has: the ones that need a table."""
    earlier = list(SCHEMAS)[: list(SCHEMAS).index(name)]
    known = {definition for other in earlier for definition in objects(other) if definition}
    return {k: v for k, v in objects(name).items() if k not in known}


def table(name: str, definition: str = "") -> str:
    """The keys of one object. Raises KeyError when the schema doesn't have it."""
    schema = objects(name)[definition]
    required = schema.get("required", ())
    rows = [_row(key, value, key in required) for key, value in schema["properties"].items()]
    head = ["| Key | Type | Default | What it says | Example |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows])


def _row(key: str, schema: Schema, required: bool) -> str:
    default = "required" if required else _default(schema)
    examples = "<br>".join(_code(example) for example in schema["examples"])
    cells = [f"`{key}`", _type(schema), default, schema["description"], examples]
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _default(schema: Schema) -> str:
    default = schema.get("default")
    if default in (None, "", [], {}):
        return ""
    return f"`{default:g}s`" if _type(schema) == "duration" else _code(default)


def _code(value: object) -> str:
    return f"`{flow(value)}`"


def flow(value: object) -> str:
    """A value as an agent file would have it on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if _needs_quotes(value) else value
    return json.dumps(value)


_SPECIAL = re.compile(r"[*{}\[\],#&!|>'\"%@`]|: |^[\d.]+$|^(true|false|null)$")


def _needs_quotes(text: str) -> bool:
    return _SPECIAL.search(text) is not None


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _type(schema: Schema) -> str:
    kinds = schema.get("anyOf") or schema.get("oneOf") or [schema]
    named = [_kind(kind) for kind in kinds if kind.get("pattern") != _REFERENCE]
    bounds = [said for kind in kinds for said in _bounds(kind)]
    unique = dict.fromkeys(named)
    if "duration" in unique:
        others = [kind for kind in unique if kind.startswith("[")]
        unique, bounds = dict.fromkeys(["duration", *others]), []
    return ", ".join([" or ".join(unique), *dict.fromkeys(bounds)])


def _kind(schema: Schema) -> str:
    if "$ref" in schema:
        return _link(schema["$ref"].rpartition("/")[2])
    if "const" in schema:
        return _code(schema["const"])
    if "enum" in schema:
        return ", ".join(map(_code, schema["enum"]))
    if str(schema.get("pattern", "")).endswith(_DURATION):
        return "duration"
    kind = schema.get("type", "any value")
    if isinstance(kind, list):
        return ", ".join(kind)
    if kind == "array" and "items" in schema:
        return f"list of {_type(schema['items'])}"
    below = schema.get("additionalProperties")
    if kind == "object" and isinstance(below, dict):
        return f"map of {_type(below)}" if below else "map of any values"
    return str(kind)


def _bounds(schema: Schema) -> list[str]:
    if "$ref" in schema or str(schema.get("pattern", "")).endswith(_DURATION):
        return []
    return [said.format(f"{schema[key]:,}") for key, said in _BOUNDS.items() if key in schema]


def _link(definition: str) -> str:
    title = heading(definition)
    page = "agents.md" if definition in objects("agent") else "project.md"
    return f"[{title.removeprefix('The ')}]({page}#{title.lower().replace(' ', '-')})"


def heading(definition: str) -> str:
    """The title of the section that has an object's table."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", definition.removesuffix("Spec"))
    return f"The {words.lower()} object"
