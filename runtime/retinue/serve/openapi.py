"""FastAPI's OpenAPI document → the same with the endpoints it doesn't see, and ways to log in."""

from collections.abc import Iterable
from typing import Any

from pydantic.json_schema import models_json_schema

from retinue.serve.endpoints import Endpoint
from retinue.serve.operations import COMPONENTS, TEXT, TEXT_OR_NULL, Operation, ref, shape

_STATUSES = {
    "400": "The request is wrong; `param` names the field.",
    "401": "A valid API key is required.",
    "403": "The request comes from a page of another site.",
    "404": "No agent has that name.",
    "408": "The body did not arrive in time.",
    "409": "Another request is at work on the same conversation.",
    "413": "The body is too large.",
    "415": "The body isn't application/json.",
    "429": "The caller, or the model's provider for all of them, is limited; see `retry-after`.",
    "500": "The server failed.",
    "502": "The model's provider failed.",
    "503": "The server is busy or stopping, or the model can't be reached; see `retry-after`.",
    "504": "The model or the run took too long.",
}
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}
_ERROR = shape(error=shape(message=TEXT, type=TEXT, param=TEXT_OR_NULL, code=TEXT_OR_NULL))
_ERROR_EXAMPLE = {
    "error": {
        "message": "'temperature' must be at most 2.",
        "type": "invalid_request_error",
        "param": "temperature",
        "code": "invalid_value",
    }
}


def document(seen: dict[str, Any], endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """`seen` is FastAPI's own document."""
    endpoints = tuple(endpoints)
    _, made = models_json_schema(
        [(endpoint.operation.request, "validation") for endpoint in endpoints],
        ref_template=COMPONENTS + "{model}",
    )
    seen = _without_422(seen)
    schemas = {**made["$defs"], "ErrorResponse": _ERROR}
    for endpoint in endpoints:
        schemas.update(endpoint.operation.schemas)
    posts = {e.paths[0]: {"post": _operation(e.operation)} for e in endpoints}
    return {
        **seen,
        "paths": {**posts, **seen["paths"]},
        "components": {"schemas": schemas, "securitySchemes": _SECURITY},
        # Without a key too: whether one is asked for is up to the agents.
        "security": [{}, *({name: []} for name in _SECURITY)],
    }


def _without_422(seen: dict[str, Any]) -> dict[str, Any]:
    """FastAPI tells of an answer with `detail` wherever there is a parameter; none is ever sent."""
    for item in seen["paths"].values():
        for operation in item.values():
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                del operation["responses"]["422"]
    return {name: part for name, part in seen.items() if name != "components"}


def _operation(operation: Operation) -> dict[str, Any]:
    examples = {name: {"value": value} for name, value in operation.examples.items()}
    request = {"schema": ref(operation.request.__name__), "examples": examples}
    return {
        "summary": operation.summary,
        "description": operation.description,
        "operationId": operation.id,
        "tags": [operation.tag],
        "requestBody": {"required": True, "content": {"application/json": request}},
        "responses": {"200": _answer(operation), **errors(_STATUSES)},
    }


def _answer(operation: Operation) -> dict[str, Any]:
    whole = {"schema": ref(operation.answer), "example": operation.answer_example}
    return {
        "description": "The answer.",
        "content": {
            "application/json": whole,
            "text/event-stream": {"example": operation.frames},
        },
    }


def errors(statuses: Iterable[str]) -> dict[int | str, dict[str, Any]]:
    """Answers of these statuses with OpenAI's error object."""
    content = {"schema": ref("ErrorResponse"), "example": _ERROR_EXAMPLE}
    return {
        status: {
            "description": _STATUSES[status],
            "content": {"application/json": content},
        }
        for status in statuses
    }
