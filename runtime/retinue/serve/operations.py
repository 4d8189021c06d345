"""What OpenAPI says of the endpoints that FastAPI doesn't see: one `Operation` each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from retinue.serve.wire.chat_request import ChatCompletionRequest

COMPONENTS = "#/components/schemas/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A POST of JSON. `request` is the body's model, `examples` are bodies by name.

    `answer` names one of `schemas`, which are JSON Schemas; `answer_example` is one, and `frames`
    is how a streamed one begins.
    """

    id: str
    tag: str
    summary: str
    description: str
    request: type[BaseModel]
    examples: Mapping[str, Any]
    answer: str
    answer_example: Any
    frames: str
    schemas: Mapping[str, Any]


def ref(name: str) -> dict[str, str]:
    """A reference to one of the document's schemas."""
    return {"$ref": COMPONENTS + name}


def shape(*, optional: Mapping[str, Any] | None = None, **properties: Any) -> dict[str, Any]:
    """The JSON Schema of an object: all of `properties` are required."""
    return {
        "type": "object",
        "properties": {**properties, **(optional or {})},
        "required": list(properties),
    }


def many(items: Any) -> dict[str, Any]:
    """The JSON Schema of an array."""
    return {"type": "array", "items": items}


TEXT = {"type": "string"}
NUMBER = {"type": "integer"}
TEXT_OR_NULL = {"type": ["string", "null"]}
ANYTHING: dict[str, Any] = {"type": "object"}

_COMPLETION = shape(
    id=TEXT,
    object={"const": "chat.completion"},
    created=NUMBER,
    model=TEXT,
    choices=many(
        shape(
            index=NUMBER,
            message=shape(role={"const": "assistant"}, content=TEXT_OR_NULL, refusal=TEXT_OR_NULL),
            logprobs={"type": ["object", "null"]},
            finish_reason={"enum": ["stop", "length", "tool_calls", "content_filter"]},
        )
    ),
    usage=shape(prompt_tokens=NUMBER, completion_tokens=NUMBER, total_tokens=NUMBER),
)

CHAT = Operation(
    id="create_chat_completion",
    tag="chat",
    summary="Ask an agent",
    description="OpenAI's chat completions. `model` is an agent's name; the first agent "
    "answers where none is given. With `stream: true` the answer is server-sent events.",
    request=ChatCompletionRequest,
    examples={
        "question": {"messages": [{"role": "user", "content": "What can you do?"}]},
        "streamed": {
            "messages": [
                {"role": "developer", "content": "Answer in one sentence."},
                {"role": "user", "content": "What can you do?"},
            ],
            "stream": True,
            "stream_options": {"include_usage": True},
        },
    },
    answer="ChatCompletion",
    answer_example={
        "id": "chatcmpl-1f0c",
        "object": "chat.completion",
        "created": 1763683200,
        "model": "genie-analyst",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "I answer.", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
    },
    frames='data: {"object":"chat.completion.chunk", …}\n\ndata: [DONE]\n\n',
    schemas={"ChatCompletion": _COMPLETION},
)
