"""The models of agent files and retinue.yaml → their JSON Schemas (draft 2020-12), for editors."""

from typing import Any

from retinue.compile.project_spec import ProjectSpec
from retinue.compile.spec import AgentSpec

Schema = dict[str, Any]

_REFERENCE: Schema = {
    "type": "string",
    "pattern": r"^\$\{[^}]+\}$",
    "description": "A reference such as ${env.NAME} or ${var.name}.",
}
_KEPT_IN_PLACE = ("description", "default", "examples")
_OF_OBJECTS = ("description", "required", "anyOf")
# Bounds of a field that also takes a reference: pydantic leaves them under its own names.
_BOUNDS = {"ge": "minimum", "le": "maximum", "min_length": "minLength"}


_HEAD = ("version", "name", "extends")


def agent_schema() -> Schema:
    """The JSON Schema of an agent file.

    It says what the compiler says, but for what a schema can't: that names exist, that keys
    exclude each other, what a prompt needs, and what retinue.yaml or another file supplies: so no
    key is required at the root, nor a model's name.
    """
    made = AgentSpec.model_json_schema()
    defs = {**made["$defs"], "ModelSpec": _partial(made["$defs"]["ModelSpec"])}
    properties = made["properties"]
    first = {key: properties[key] for key in _HEAD}
    return _document("A Retinue agent", _partial({**made, "properties": first | properties}), defs)


def project_schema() -> Schema:
    """The JSON Schema of retinue.yaml, with the same limits."""
    made = ProjectSpec.model_json_schema()
    defs = dict(made["$defs"])
    defs["DefaultsSpec"] = _renamed(_partial(defs["DefaultsSpec"]), "ModelSpec", "ModelPart")
    defs["ModelPart"] = _partial(defs["ModelSpec"])
    return _document("What the agents of a Retinue project share", made, defs)


def _document(title: str, root: Schema, defs: Schema) -> Schema:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **_object(root),
        "$defs": {name: _object(schema) for name, schema in sorted(defs.items())},
    }


def _partial(schema: Schema) -> Schema:
    """An object that another file may complete."""
    return {key: value for key, value in schema.items() if key not in ("required", "anyOf")}


def _renamed(schema: Any, name: str, other: str) -> Any:
    """The schema with references to the definition `name` led to another."""
    if isinstance(schema, dict):
        return {key: _renamed(value, name, other) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_renamed(value, name, other) for value in schema]
    return f"#/$defs/{other}" if schema == f"#/$defs/{name}" else schema


def _object(schema: Schema) -> Schema:
    """A model's schema, keys in the order of the spec."""
    properties = {key: _value(value) for key, value in schema["properties"].items()}
    kept: Schema = {key: schema[key] for key in _OF_OBJECTS if key in schema}
    return {"type": "object", **kept, "additionalProperties": False, "properties": properties}


def _value(schema: Schema) -> Schema:
    """A field's schema: without pydantic's titles and nulls, and with references."""
    said = {key: schema[key] for key in _KEPT_IN_PLACE if schema.get(key) is not None}
    if "$ref" in schema:
        said.pop("default", None)  # the object's own keys have theirs
    return {**said, **_kind(schema)}


def _kind(schema: Schema) -> Schema:
    rest = {_BOUNDS.get(k, k): v for k, v in schema.items() if k not in (*_KEPT_IN_PLACE, "title")}
    if "anyOf" in rest:
        kinds = [_value(kind) for kind in rest["anyOf"] if kind != {"type": "null"}]
        return kinds[0] if len(kinds) == 1 else {"anyOf": _flat(kinds)}
    if "items" in rest:
        rest["items"] = _value(rest["items"])
    if isinstance(rest.get("additionalProperties"), dict):
        rest["additionalProperties"] = _value(rest["additionalProperties"])
    return {"anyOf": [rest, _REFERENCE]} if _is_narrow(rest) else rest


def _flat(kinds: list[Schema]) -> list[Schema]:
    """Alternatives without nesting and repeats."""
    found: list[Schema] = []
    for kind in kinds:
        found += [k for k in kind.get("anyOf", [kind]) if k not in found]
    return found


def _is_narrow(schema: Schema) -> bool:
    """Whether a reference's text would not pass: it is replaced before the value is checked."""
    narrow_text = schema.get("type") == "string" and schema.keys() & {"pattern", "maxLength"}
    numeric = schema.get("type") in ("integer", "number", "boolean")
    return bool(narrow_text) or numeric or "enum" in schema or "const" in schema
