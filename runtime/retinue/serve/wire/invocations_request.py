"""The body of a request to `/invocations` → a response request or a chat request.

Format: MLflow's `ResponsesAgentRequest` (`input`), and `ChatAgentRequest` or `ChatModel`'s
(`messages`), mlflow 3.18.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from retinue.serve.wire import chat_request, responses_request
from retinue.serve.wire.chat_messages import MAX_MESSAGES
from retinue.serve.wire.chat_request import ChatRequest
from retinue.serve.wire.responses_request import ResponseRequest
from retinue.serve.wire.strict import Strict

_MAX_INPUTS = 256
_LONGEST_VALUE = 512


class Context(Strict):
    """Whose conversation it is, as the caller says."""

    conversation_id: Annotated[str, Field(max_length=512)] | None = None
    user_id: Annotated[str, Field(max_length=512)] | None = None


class DatabricksOptions(Strict):
    """What Databricks' serving endpoints take beside a request."""

    return_trace: bool | None = None


class InvocationRequest(Strict):
    """What MLflow's requests have beside OpenAI's fields, and how the two are told apart."""

    messages: Annotated[list[Any], Field(max_length=MAX_MESSAGES, fail_fast=True)] | None = None
    custom_inputs: Annotated[dict[str, Any], Field(max_length=_MAX_INPUTS)] | None = None
    context: Context | None = None
    databricks_options: DatabricksOptions | None = None


@dataclass(frozen=True, slots=True)
class Invocation:
    """The request that it is, and what it says of itself: its `metadata`, over its inputs.

    `return_trace` is whether the trace's id is asked for.
    """

    request: ResponseRequest | ChatRequest
    metadata: Mapping[str, str]
    return_trace: bool = False


def decode(body: bytes) -> Invocation:
    """Read a request body. Raises RequestError, naming the parameter that is wrong."""
    request = InvocationRequest.read(body)
    chat = request.messages is not None
    # Someone who stops Databricks' chat amid a tool call goes on without its answer.
    decoded = chat_request.decode(body) if chat else responses_request.decode(body, strict=False)
    options, inputs = request.databricks_options, request.custom_inputs or {}
    traced = bool(options and options.return_trace) or inputs.get("return_trace") is True
    told = {**_told(request), **decoded.metadata}
    return Invocation(decoded, told, return_trace=traced)


def _told(request: InvocationRequest) -> dict[str, str]:
    """Short texts of the inputs, for prompts that ask for them; the conversation is the session."""
    inputs = request.custom_inputs or {}
    told = {k: v for k, v in inputs.items() if isinstance(v, str) and len(v) <= _LONGEST_VALUE}
    if request.context and request.context.conversation_id:
        told["session_id"] = request.context.conversation_id
    return told
