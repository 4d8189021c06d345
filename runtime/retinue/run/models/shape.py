"""Values of a provider's answer → the type that they have to be, or a `ModelError`."""

from collections.abc import Mapping, Sequence
from typing import Any

from retinue.errors import ModelError


def mapping(value: Any) -> Mapping[str, Any]:
    """An object. What litellm makes of one is taken apart again."""
    # The first is what it nearly always is, and is checked far more cheaply.
    if type(value) is dict or isinstance(value, Mapping):
        return value
    if dump := getattr(value, "model_dump", None):
        found: dict[str, Any] = dump()
        return found
    raise _malformed()


def sequence(value: Any) -> Sequence[Any]:
    """A list, or nothing for null."""
    if value is None:
        return ()
    if isinstance(value, list | tuple):
        return value
    raise _malformed()


def text(value: Any) -> str:
    """A string, empty for null."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    raise _malformed()


def count(value: Any) -> int:
    """A number of tokens; 0 for what is none."""
    return value if type(value) is int and value > 0 else 0


def _malformed() -> ModelError:
    return ModelError("truncated", "the model's answer is not of the form of a chat completion")
