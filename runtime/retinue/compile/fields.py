"""The kinds of values that an agent file's fields take, for pydantic: strict, with their schema."""

import re
from collections.abc import Container, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from retinue.compile.interpolate import Pending, Resolved
from retinue.compile.scalars import scalar
from retinue.values import Template, Text


class Spec(BaseModel):
    """A part of an agent file. Unknown keys are refused."""

    # A part is built with the whole that holds it: to build each alone costs every start.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)

    hints: ClassVar[Mapping[str, str]] = {}
    """What to write instead of another platform's keys."""


class Shorthand:
    """A string may stand for the object that has it under `key`; `schema` says which strings."""

    def __init__(self, key: str, **schema: Any) -> None:
        self.key = key
        self.schema = schema or {"minLength": 1}
        self.fields: frozenset[str] = frozenset()

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        self.fields = frozenset(source.model_fields)
        return core_schema.no_info_before_validator_function(self._expanded, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        short = f"Short for an object with only `{self.key}`."
        text = {"type": "string", "description": short, **self.schema}
        return {"anyOf": [text, handler(schema)]}

    def _expanded(self, value: object) -> object:
        _check_space(value, self.fields)
        if isinstance(value, str | Template | Pending):
            return {self.key: value}
        if not isinstance(value, dict):
            raise PydanticCustomError("string_or_object", "")
        return value


NO_SPACE = re.compile(r"([A-Za-z_][\w-]*):(?=[^\s/])")
"""A key whose colon no space follows: YAML reads it as the beginning of a text."""


def _check_space(value: object, fields: Container[str]) -> None:
    """Refuse a text that was meant as an object's key and value."""
    match = NO_SPACE.match(value) if isinstance(value, str) else None
    if match and match[1] in fields and isinstance(value, str) and len(value.split()) == 1:
        raise PydanticCustomError("missing_space", "")


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h)")
_MAX_SECONDS = 86_400


def _seconds(value: object) -> float:
    if isinstance(value, Resolved):
        value = reread(value)
    if isinstance(value, str) and (match := _DURATION.fullmatch(value)):
        value = float(match[1]) * _UNITS[match[2]]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticCustomError("duration", "")
    if not 0 < value <= _MAX_SECONDS:
        raise PydanticCustomError("duration_range", "")
    return float(value)


_AGE = re.compile(r"(\d{1,6})(h|d)")
_AGE_UNITS = {"h": 3600.0, "d": 86_400.0}
_MAX_DAYS = 3650


def _age(value: object) -> float | None:
    if isinstance(value, Resolved):
        value = reread(value)
    if value == "forever":
        return None
    match = _AGE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise PydanticCustomError("age", "")
    seconds = float(match[1]) * _AGE_UNITS[match[2]]
    if not 3600 <= seconds <= _MAX_DAYS * 86_400:
        raise PydanticCustomError("age_range", "")
    return seconds


def reread(value: Any) -> Any:
    """What a reference gave, as if it had been written in its place; anything else as it is."""
    try:
        return scalar(value) if isinstance(value, Resolved) else value
    except ValueError:
        return value


def _text(value: object) -> Text | Pending:
    if isinstance(value, str | Template | Pending):
        return value
    raise PydanticCustomError("string_type", "")


def _scalar(value: object) -> str | float | bool | None:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise PydanticCustomError("scalar", "")


def _path_or_object(value: object) -> Any:
    if isinstance(value, str | dict):
        return value
    raise PydanticCustomError("string_or_object", "")


def _json(value: object) -> Any:
    return value


Reference = Annotated[Text | Pending, PlainValidator(_text), WithJsonSchema({"type": "string"})]
Scalar = Annotated[
    str | int | float | bool | None,
    PlainValidator(_scalar),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]
OutputSchema = Annotated[
    Any, PlainValidator(_path_or_object), WithJsonSchema({"type": ["string", "object"]})
]
Json = Annotated[Any, PlainValidator(_json), WithJsonSchema({})]
Duration = Annotated[
    float,
    PlainValidator(_seconds),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": _MAX_SECONDS},
                {"type": "string", "pattern": r"^\d{1,9}(\.\d{1,6})?(ms|s|m|h)$"},
            ]
        }
    ),
]
Age = Annotated[
    float | None,
    PlainValidator(_age),
    WithJsonSchema(
        {"anyOf": [{"const": "forever"}, {"type": "string", "pattern": r"^\d{1,6}(h|d)$"}]}
    ),
]
"""How long something is kept, in seconds; None for ever."""
Integer = Annotated[int, BeforeValidator(reread)]
Number = Annotated[float, BeforeValidator(reread)]
Boolean = Annotated[bool, BeforeValidator(reread)]
NonEmpty = Annotated[str, Field(min_length=1)]


class ScalarDefault:
    """A scalar may stand for a variable's object with that default."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        def expanded(value: object) -> object:
            _check_space(value, source.model_fields)
            return value if isinstance(value, dict) else {"default": value}

        return core_schema.no_info_before_validator_function(expanded, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [{"type": ["string", "number", "boolean"]}, handler(schema)]}


class Names:
    """A list of names may stand for an object with an empty object under each."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_by_name, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        names = {"type": "array", "items": {"type": "string", "minLength": 1}}
        return {"anyOf": [{**names, "description": "Names of retinue.yaml."}, handler(schema)]}


def _by_name(value: object) -> object:
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return {name: {} for name in value}
    if not isinstance(value, dict):
        raise PydanticCustomError("names_or_object", "")
    return value


class OneOrMore:
    """A text may stand for a list of it alone."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_listed, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string", "minLength": 1}, handler(schema)]}


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value
