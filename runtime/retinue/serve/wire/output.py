"""`response_format` → the form that a run's answer has to have.

Format: OpenAI's `ResponseFormatText`, `ResponseFormatJsonObject` and `ResponseFormatJsonSchema`.
"""

import re
from typing import Any, Literal

from pydantic import Field

from retinue.run.ports import OutputFormat
from retinue.run.schema import invalid as unusable
from retinue.serve.wire.mistakes import invalid, missing
from retinue.serve.wire.strict import Strict

_LONGEST_REASON = 300
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
    if given.description and "description" not in schema:
        schema = {**schema, "description": given.description}
    return OutputFormat(schema=schema, name=given.name, strict=given.strict)
