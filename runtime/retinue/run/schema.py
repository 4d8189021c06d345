"""A JSON Schema → whether it is small enough to take, and a check of values against it.

A server's schema is untrusted: checked in full, a few lines of it can take for ever.
"""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache
from itertools import islice
from typing import Any

import orjson
from jsonschema import SchemaError, ValidationError
from jsonschema.validators import extend, validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from retinue.values import JsonValue

log = logging.getLogger(__name__)

Check = Callable[[Any], list[str]]
"""A JSON value → where it doesn't fit, in at most a few lines; none where that can't be told."""

# What a provider would refuse anyway: OpenAI takes 1,000 enum values and ten levels.
_MOST_BYTES = 100_000
_MOST_VALUES = 5_000
_MOST_LEVELS = 64
_LONGEST_LIST = 1_000

_MOST_COMPLAINTS = 3
_LONGEST_COMPLAINT = 300
# Keywords looked at, and kilobytes of arguments quoted in an error: some 0.2 s together.
_MOST_WORK = 20_000

_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_BOUNDS = (
    "required", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength",
    "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
)  # fmt: skip


def invalid(schema: dict[str, Any]) -> str | None:
    """Why the schema can't be used, in one clause: it is too large, or not a schema at all."""
    try:
        if excess := _excess(schema):
            return excess
        validator_for(schema).check_schema(schema)
    except SchemaError as error:
        return f"is not valid: {error.message}"
    except orjson.JSONEncodeError as error:
        return f"can't be sent on as JSON: {error}"
    except (RecursionError, re.error) as error:
        return f"is not valid ({type(error).__name__})"
    return None


def _excess(schema: Mapping[str, Any]) -> str | None:
    left: list[tuple[Any, int]] = [(schema, 1)]
    for seen, (value, level) in enumerate(_walked(left)):
        if seen > _MOST_VALUES:
            return f"is too large: more than {_MOST_VALUES:,} values"
        if level > _MOST_LEVELS:
            return f"is nested too deeply: more than {_MOST_LEVELS} levels"
        if isinstance(value, list) and len(value) > _LONGEST_LIST:
            return f"is too large: a list of {len(value):,} values"
    size = len(orjson.dumps(schema))
    return (
        f"is too large: {size:,} bytes of {_MOST_BYTES:,} allowed" if size > _MOST_BYTES else None
    )


def _walked(left: list[tuple[Any, int]]) -> Iterator[tuple[Any, int]]:
    while left:
        value, level = left.pop()
        yield value, level
        children = value.values() if isinstance(value, dict) else value
        if isinstance(value, dict | list):
            left += [(child, level + 1) for child in islice(children, _MOST_VALUES + 1)]


def full_check(schema: Mapping[str, JsonValue]) -> Check:
    """The whole of a schema of our own."""
    # An empty registry: a reference in a schema is never fetched.
    validator = validator_for(schema)(schema, registry=Registry())

    def check(value: Any) -> list[str]:
        try:
            return [_complaint(e) for e in islice(validator.iter_errors(value), _MOST_COMPLAINTS)]
        except (Unresolvable, RecursionError, re.error) as error:
            # The schema is at fault, not the model: whoever runs the tool has the last word.
            log.warning("a tool's schema can't be used: %s", type(error).__name__)
            return []

    return check


def bounded_check(schema: Mapping[str, JsonValue]) -> Check:
    """The plain parts of a server's schema, for a bounded time: it has the last word itself."""
    validator = _counting(validator_for(schema))(weakened(schema))

    def check(arguments: Any) -> list[str]:
        found: list[str] = []
        try:
            _work.set(_Work(1 + len(orjson.dumps(arguments)) // 1000))
            for error in islice(validator.iter_errors(arguments), _MOST_COMPLAINTS):
                found.append(_complaint(error))  # noqa: PERF401 - they stay found if this is cut off
        except (_TooMuchWork, RecursionError, orjson.JSONEncodeError):
            log.debug("arguments were checked in part only")
        return found

    return check


def unhurried_check(schema: Mapping[str, JsonValue]) -> Check:
    """All of a caller's schema but its patterns, which could take for ever, for a bounded time."""
    plain = _without_patterns(dict(schema))
    validator = _counting(validator_for(schema))(plain, registry=Registry())

    def check(value: Any) -> list[str]:
        found: list[str] = []
        try:
            _work.set(_Work(1 + len(orjson.dumps(value)) // 1000))
            for error in islice(validator.iter_errors(value), _MOST_COMPLAINTS):
                found.append(_complaint(error))  # noqa: PERF401 - as above
        except (_TooMuchWork, Unresolvable, RecursionError, orjson.JSONEncodeError):
            log.debug("an answer was checked in part only")
        return found

    return check


def _without_patterns(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_patterns(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {k: v for k, v in schema.items() if not _is_pattern(k, v)}
    return {key: _without_patterns(value) for key, value in kept.items()}


def _is_pattern(key: str, value: Any) -> bool:
    """The keyword; a property of that name has a schema for a value."""
    return (key == "pattern" and isinstance(value, str)) or (
        key == "patternProperties" and isinstance(value, dict)
    )


class _TooMuchWork(Exception):  # noqa: N818 - never leaves this file
    pass


class _Work:
    """What one check may still do; `quote` is the price of an error, which quotes its value."""

    def __init__(self, quote: int) -> None:
        self.quote = quote
        self.left = _MOST_WORK

    def spend(self, cost: int) -> None:
        self.left -= cost
        if self.left < 0:
            raise _TooMuchWork


_work: ContextVar[_Work] = ContextVar("work")


@cache
def _counting(draft: Any) -> Any:
    """The validator of a draft of JSON Schema that stops when its check's work is used up."""
    rules = {name: _counted(rule) for name, rule in draft.VALIDATORS.items()}
    return extend(draft, rules)  # type: ignore[no-untyped-call]


def _counted(rule: Any) -> Any:
    def counted(
        validator: Any, value: Any, instance: Any, schema: Any
    ) -> Iterator[ValidationError]:
        work = _work.get()
        work.spend(1 + _size(value) // 10 + _size(instance) // 10)
        for error in rule(validator, value, instance, schema) or ():
            work.spend(work.quote)
            yield error

    return counted


def _size(value: Any) -> int:
    return len(value) if isinstance(value, list | dict) else 0


def weakened(schema: Any) -> Any:
    """A schema that accepts all that this one does, and more, without anything slow in it.

    Left out are references, patterns and whatever would turn stricter without them: `not`, `if`,
    counts of matches. `oneOf` becomes `anyOf`, as two weakened branches may overlap.
    """
    if not isinstance(schema, Mapping):
        return schema if isinstance(schema, bool) else {}
    # In older drafts a reference switches off all that is beside it.
    if any(key in schema for key in _REFERENCES):
        return {}
    kept = {key: schema[key] for key in _BOUNDS if key in schema}
    return kept | _values(schema) | _members(schema) | _branches(schema)


def _values(schema: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    kind, choices = schema.get("type"), schema.get("enum")
    if isinstance(kind, str) or (isinstance(kind, list) and all(isinstance(k, str) for k in kind)):
        kept["type"] = kind
    if isinstance(choices, list) and not any(map(_size, choices)):
        kept["enum"] = choices
    if "const" in schema and not _size(schema["const"]):
        kept["const"] = schema["const"]
    return kept


def _members(schema: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    properties, items = schema.get("properties"), schema.get("items")
    if isinstance(properties, dict):
        kept["properties"] = {name: weakened(part) for name, part in properties.items()}
    if "additionalProperties" in schema and "patternProperties" not in schema:
        kept["additionalProperties"] = weakened(schema["additionalProperties"])
    if isinstance(items, dict | bool) and "prefixItems" not in schema:
        kept["items"] = weakened(items)
    return kept


def _branches(schema: Mapping[str, Any]) -> dict[str, Any]:
    both = [weakened(part) for part in schema.get("allOf", ())]
    either = [[weakened(part) for part in schema.get(key, ())] for key in ("anyOf", "oneOf")]
    both += [{"anyOf": parts} for parts in either if parts]
    return {"allOf": both} if both else {}


def _complaint(error: ValidationError) -> str:
    place = error.json_path.removeprefix("$").removeprefix(".")
    text = error.message
    if len(text) > _LONGEST_COMPLAINT:
        text = text[: _LONGEST_COMPLAINT - 1] + "…"
    return f"{place}: {text}" if place else text
