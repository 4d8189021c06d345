"""What is wrong with a request's body → the one RequestError to tell, in OpenAI's notation."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from retinue.errors import RequestError

_WANTED = {
    "bool_type": "true or false",
    "dict_type": "an object",
    "float_type": "a number",
    "int_type": "an integer",
    "list_type": "an array",
    "model_type": "an object",
    "string_type": "a string",
}
_RULES = {
    "finite_number": "must be a finite number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "too_long": "must have at most {max_length} entries",
    "too_short": "must not be empty",
}
# pydantic puts the branch of a union into the path, between the field and what lies in it: a type,
# or a model by its name. No field of OpenAI's begins with a capital.
_BRANCH = re.compile(r"(str|list|dict|[A-Z][A-Za-z]+)\b(\[.*\])?")
_POSITION = re.compile(r"line (\d+) column (\d+)")
_LONGEST_NAME = 100


def mistake(error: ValidationError) -> RequestError:
    """The deepest of the errors that concern the same field as the first one."""
    found = [(_path(e["loc"]), e) for e in error.errors(include_url=False, include_input=False)]
    first = found[0][0]
    deepest = max((path for path, _ in found if path[: len(first)] == first), key=len)
    return _told(deepest, [dict(e) for path, e in found if path == deepest])


def _told(path: tuple[str | int, ...], errors: list[dict[str, Any]]) -> RequestError:
    # Of a union's branches, the one whose type is right knows better what is wrong.
    told = next((e for e in errors if e["type"] not in _WANTED), errors[0])
    kind, context = str(told["type"]), told.get("ctx", {})
    if kind == "json_invalid":
        return RequestError(_invalid_json(context), code="invalid_json")
    if not path:
        return RequestError("The request body must be a JSON object.", code="invalid_type")
    param = written(path)
    if kind == "missing":
        return missing(param)
    if kind in _WANTED:
        wanted = [_WANTED[e["type"]] for e in errors]
        message = f"'{param}' must be {' or '.join(wanted)}."
        return RequestError(message, param=param, code="invalid_type")
    return invalid(param, _RULES.get(kind, "is not valid").format_map(_plain(context)))


def _plain(context: Mapping[str, Any]) -> dict[str, Any]:
    """2 for 2.0, as people write it."""
    whole = {k: int(v) for k, v in context.items() if isinstance(v, float) and v.is_integer()}
    return {**context, **whole}


def _invalid_json(context: Mapping[str, Any]) -> str:
    place = _POSITION.search(str(context.get("error", "")))
    where = f" (line {place[1]}, column {place[2]})" if place else ""
    return f"The request body is not valid JSON{where}."


def _path(loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    return tuple(p for p in loc if isinstance(p, int) or not _BRANCH.fullmatch(p))


def written(path: tuple[str | int, ...]) -> str:
    """`("messages", 1, "role")` → `messages[1].role`."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{_shown(step)}" for step in path)
    return "".join(steps).removeprefix(".")


def _shown(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name[:_LONGEST_NAME])


def missing(param: str) -> RequestError:
    """A field that has to be there isn't."""
    message = f"'{param}' is required."
    return RequestError(message, param=param, code="missing_required_parameter")


def invalid(param: str, rule: str) -> RequestError:
    """A value of the right type breaks a rule: `invalid("n", "must be at least 1")`."""
    return RequestError(f"'{param}' {rule}.", param=param, code="invalid_value")


def not_supported(param: str) -> RequestError:
    """A value that OpenAI knows, and this server can't honour."""
    message = f"'{param}' is not supported here with this value: leave it out."
    return RequestError(message, param=param, code="unsupported_parameter")
