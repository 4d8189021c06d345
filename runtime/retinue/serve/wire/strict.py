"""What every request model of the wire is built on, and what all bodies have in common."""

from collections.abc import Mapping
from typing import Any, Self

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from retinue.errors import RequestError
from retinue.serve.wire.mistakes import invalid, mistake

MAX_METADATA = 16
_LONGEST_KEY = 64
_LONGEST_VALUE = 512


class Strict(BaseModel):
    """Right types only; unknown fields are ignored, and null means absent."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, extra="ignore")

    @classmethod
    def read(cls, body: bytes) -> Self:
        """A request's body. Raises RequestError, naming the parameter that is wrong."""
        try:
            request = cls.model_validate_json(body)
        except ValidationError as error:
            raise mistake(error) from None
        if b"NaN" in body or b"Infinity" in body:
            _refuse_nan(body)
        return request


def _refuse_nan(body: bytes) -> None:
    """The first parser takes a bare NaN in fields it skips; JSON has none."""
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        message = f"The request body is not valid JSON ({place})."
        raise RequestError(message, code="invalid_json") from None


def metadata(given: Mapping[str, Any] | None) -> Mapping[str, str]:
    """OpenAI's `metadata`: short texts by short keys. Raises RequestError."""
    given = given or {}
    for key, value in given.items():
        fits = isinstance(value, str) and len(value) <= _LONGEST_VALUE and len(key) <= _LONGEST_KEY
        if not fits:
            rule = "must map keys of at most 64 characters to strings of at most 512 characters"
            raise invalid("metadata", rule)
    return given
