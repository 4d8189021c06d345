"""What OpenAPI says of `/v1/responses` and `/invocations`."""

from dataclasses import replace

from retinue.serve.operations import (
    ANYTHING,
    NUMBER,
    TEXT,
    TEXT_OR_NULL,
    Operation,
    many,
    shape,
)
from retinue.serve.wire.invocations_request import InvocationRequest
from retinue.serve.wire.responses_request import CreateResponseRequest

_USAGE = shape(input_tokens=NUMBER, output_tokens=NUMBER, total_tokens=NUMBER)
_RESPONSE = shape(
    id=TEXT,
    object={"const": "response"},
    created_at=NUMBER,
    status={
        "enum": ["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"],
    },
    model=TEXT,
    output=many(ANYTHING),
    error={"type": ["object", "null"]},
    incomplete_details={"type": ["object", "null"]},
    instructions=TEXT_OR_NULL,
    usage={"anyOf": [_USAGE, {"type": "null"}]},
)
_MESSAGE = {
    "id": "msg_1f0c",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "I answer.", "annotations": [], "logprobs": []}],
}
_ANSWER = {
    "id": "resp_1f0c",
    "object": "response",
    "created_at": 1763683200,
    "status": "completed",
    "model": "genie-analyst",
    "output": [_MESSAGE],
    "usage": {"input_tokens": 12, "output_tokens": 3, "total_tokens": 15},
}
_QUESTION = {"role": "user", "content": "What can you do?"}

RESPONSES = Operation(
    id="create_response",
    tag="responses",
    summary="Ask an agent, and see its steps as items",
    description="OpenAI's Responses API. An agent's own tool calls are `mcp_call` items of the "
    "output. With `stream: true` the answer is server-sent events. Where the server has a store, "
    "the response is kept, and goes on from others.",
    request=CreateResponseRequest,
    examples={
        "question": {"input": "What can you do?"},
        "streamed": {"input": [_QUESTION], "instructions": "Be brief.", "stream": True},
    },
    answer="Response",
    answer_example={**_ANSWER, "error": None, "incomplete_details": None, "instructions": None},
    frames='event: response.created\ndata: {"type":"response.created", …}\n\ndata: [DONE]\n\n',
    schemas={"Response": _RESPONSE},
)
ROOT_RESPONSES = replace(
    RESPONSES,
    id="create_response_at_root",
    summary="As /v1/responses; in a Databricks App with tool calls in MLflow's style",
)
INVOCATIONS = Operation(
    id="invoke",
    tag="invocations",
    summary="Ask an agent as MLflow and Databricks do",
    description="With `input` MLflow's ResponsesAgent: the other fields are those of "
    "/v1/responses. With `messages` its ChatModel and ChatAgent: those of /v1/chat/completions. "
    "An unknown `model` is the first agent. Streamed frames have data alone.",
    request=InvocationRequest,
    examples={
        "responses": {"input": [_QUESTION], "context": {"conversation_id": "c-1"}},
        "chat": {"messages": [_QUESTION]},
    },
    answer="AgentResponse",
    answer_example=_ANSWER,
    frames='data: {"type":"response.output_item.done", …}\n\ndata: [DONE]\n\n',
    schemas={
        "AgentResponse": shape(
            id=TEXT,
            model=TEXT,
            usage=ANYTHING,
            optional={
                "output": many(ANYTHING),
                "choices": many(ANYTHING),
                "messages": many(ANYTHING),
            },
        )
    },
)
