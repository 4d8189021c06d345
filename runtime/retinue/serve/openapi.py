"""FastAPI's OpenAPI document → the same with the chat route, which FastAPI doesn't see."""

from typing import Any

from pydantic.json_schema import models_json_schema

from retinue.serve.wire.chat_request import ChatCompletionRequest

_COMPONENTS = "#/components/schemas/"
_STATUSES = {
    "400": "The request is wrong; `param` names the field.",
    "403": "The request comes from a page of another site.",
    "404": "No agent has that name.",
    "408": "The body did not arrive in time.",
    "413": "The body is too large.",
    "415": "The body isn't application/json.",
    "429": "The model's provider limits the rate; see `retry-after`.",
    "500": "The server failed.",
    "502": "The model's provider failed.",
    "503": "The model can't be reached, or the server is stopping.",
    "504": "The model or the run took too long.",
}


def with_chat(document: dict[str, Any]) -> dict[str, Any]:
    """`document` with `POST /v1/chat/completions` and the schemas that it uses."""
    _, made = models_json_schema(
        [(ChatCompletionRequest, "validation")], ref_template=_COMPONENTS + "{model}"
    )
    schemas = {**document.get("components", {}).get("schemas", {}), **made["$defs"], **_SCHEMAS}
    operation = {
        "summary": "Ask an agent",
        "description": "OpenAI's chat completions. `model` is an agent's name; the first agent "
        "answers where none is given. With `stream: true` the answer is server-sent events.",
        "operationId": "create_chat_completion",
        "tags": ["chat"],
        "requestBody": {"required": True, "content": {"application/json": _REQUEST}},
        "responses": {"200": _ANSWER} | {status: _error(why) for status, why in _STATUSES.items()},
    }
    return {
        **document,
        "paths": {"/v1/chat/completions": {"post": operation}, **document["paths"]},
        "components": {**document.get("components", {}), "schemas": schemas},
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _COMPONENTS + name}


def _error(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": {"schema": _ref("ErrorResponse")}},
    }


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


_TEXT = {"type": "string"}
_NUMBER = {"type": "integer"}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_REQUEST = {
    "schema": _ref("ChatCompletionRequest"),
    "example": {"messages": [{"role": "user", "content": "What can you do?"}], "stream": False},
}
_ANSWER = {
    "description": "The answer.",
    "content": {
        "application/json": {"schema": _ref("ChatCompletion")},
        "text/event-stream": {
            "schema": _TEXT,
            "example": 'data: {"object":"chat.completion.chunk", …}\n\ndata: [DONE]\n\n',
        },
    },
}
_SCHEMAS = {
    "ErrorResponse": _object(
        error=_object(message=_TEXT, type=_TEXT, param=_TEXT_OR_NULL, code=_TEXT_OR_NULL)
    ),
    "ChatCompletion": _object(
        id=_TEXT,
        object={"const": "chat.completion"},
        created=_NUMBER,
        model=_TEXT,
        choices={
            "type": "array",
            "items": _object(
                index=_NUMBER,
                message=_object(
                    role={"const": "assistant"}, content=_TEXT_OR_NULL, refusal=_TEXT_OR_NULL
                ),
                logprobs={"type": "null"},
                finish_reason={"enum": ["stop", "length", "content_filter"]},
            ),
        },
        usage=_object(prompt_tokens=_NUMBER, completion_tokens=_NUMBER, total_tokens=_NUMBER),
    ),
}
