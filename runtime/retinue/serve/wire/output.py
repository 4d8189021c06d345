"""`response_format` → the form that a run's answer has to have.

Format: OpenAI's `ResponseFormatText`, `ResponseFormatJsonObject` and `ResponseFormatJsonSchema`.
"""

import re
from collections.abc import Iterator
from typing import Any, Literal
from urllib.parse import unquote

from pydantic import Field

from retinue.run.ports import OutputFormat
from retinue.run.schema import invalid as unusable
from retinue.serve.wire.mistakes import invalid, missing
from retinue.serve.wire.strict import Strict

_LONGEST_REASON = 300
_LONGEST_REFERENCE = 100
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class JsonSchemaFormat(Strict):
    """A JSON Schema for the answer. The Responses API has these keys in `text.format` itself."""

    name: str
    description: str | None = None
    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class ResponseFormat(Strict):
    """The shape of the answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None


def output_format(given: ResponseFormat) -> OutputFormat | None:
    """The form; None is plain text. Raises RequestError for a schema that can't be used."""
    if given.type == "text":
        return None
    if given.type == "json_object":
        return OutputFormat()
    if given.json_schema is None:
        raise missing("response_format.json_schema")
    return schema_format(given.json_schema, "response_format.json_schema")


def schema_format(given: JsonSchemaFormat, place: str) -> OutputFormat:
    """The form of a schema that stands at `place`."""
    if not _NAME.fullmatch(given.name):
        raise invalid(f"{place}.name", "must be 1 to 64 letters, digits, '_' or '-'")
    schema = given.json_schema
    if schema is None:
        raise missing(f"{place}.schema")
    if why := unusable(schema):
        # Some reasons quote the schema.
        raise invalid(f"{place}.schema", why[:_LONGEST_REASON])
    if nowhere := _unresolvable(schema):
        raise invalid(f"{place}.schema", f"refers to '{nowhere}', which isn't in it")
    if given.description and "description" not in schema:
        schema = {**schema, "description": given.description}
    return OutputFormat(schema=schema, name=given.name, strict=given.strict)


def _unresolvable(schema: dict[str, Any]) -> str | None:
    """A reference that leads nowhere: nothing is fetched, and an answer couldn't be checked."""
    objects = list(_objects(schema))
    if any("$id" in one for one in objects):
        # References start elsewhere then.
        return None
    references = [one["$ref"] for one in objects if isinstance(one.get("$ref"), str)]
    for reference in references:
        if not _leads_somewhere(reference, schema):
            return "".join(c if c.isprintable() else "?" for c in reference[:_LONGEST_REFERENCE])
    return None


def _leads_somewhere(reference: str, schema: dict[str, Any]) -> bool:
    address, _, pointer = reference.partition("#")
    place: Any = schema
    if address or pointer[:1] != "/":
        # The whole schema, or a name given in it.
        return not address
    for step in unquote(pointer[1:]).split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(place, dict) and key in place:
            place = place[key]
        elif isinstance(place, list) and key.isdecimal() and int(key) < len(place):
            place = place[int(key)]
        else:
            return False
    return True


def _objects(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    left: list[Any] = [schema]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            yield value
            left += value.values()
        elif isinstance(value, list):
            left += value
