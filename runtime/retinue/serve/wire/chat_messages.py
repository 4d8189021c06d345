"""The `messages` of a request → the conversation of a run.

Format: OpenAI's `ChatCompletionRequestMessage` (openai-openapi v2.3.0).
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from retinue.run.messages import Message, Role, ToolCall
from retinue.serve.wire.mistakes import invalid, missing, not_supported
from retinue.serve.wire.strict import Strict

MAX_MESSAGES = 2048
_MAX_PARTS = 2048
_MAX_TOOL_CALLS = 512


class ContentPart(Strict):
    """A piece of a message's content. Only text and refusals are supported."""

    type: str
    text: str | None = None
    refusal: str | None = None


class FunctionCall(Strict):
    """What a tool call calls. `arguments` is JSON text."""

    name: str
    arguments: str


class AssistantToolCall(Strict):
    """A tool call in the history."""

    id: str
    type: Literal["function"] | None = None
    function: FunctionCall


class ChatMessage(Strict):
    """One message of the conversation so far."""

    role: Role
    content: (
        str | Annotated[list[ContentPart], Field(max_length=_MAX_PARTS, fail_fast=True)] | None
    ) = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: (
        Annotated[list[AssistantToolCall], Field(max_length=_MAX_TOOL_CALLS, fail_fast=True)] | None
    ) = None
    tool_call_id: str | None = None
    function_call: dict[str, Any] | None = None
    audio: dict[str, Any] | None = None


def conversation(given: Sequence[ChatMessage]) -> tuple[Message, ...]:
    """The messages of a run. Every tool call has to be answered before anyone else speaks.

    Raises RequestError, naming the message that is wrong.
    """
    open_calls: set[str] = set()
    messages = []
    for index, message in enumerate(given):
        if message.role == "tool":
            _answer(message, index, open_calls)
        elif open_calls:
            raise invalid(f"messages[{index}].role", "must be 'tool': a tool call has no answer")
        messages.append(_message(message, index))
        if message.role == "assistant":
            open_calls = _ids(message, index)
    if open_calls:
        raise invalid(f"messages[{len(given) - 1}]", "leaves a tool call without an answer")
    return tuple(messages)


def _ids(message: ChatMessage, index: int) -> set[str]:
    ids: set[str] = set()
    for n, call in enumerate(message.tool_calls or ()):
        if call.id in ids:
            raise invalid(f"messages[{index}].tool_calls[{n}].id", "stands there twice")
        ids.add(call.id)
    return ids


def _answer(message: ChatMessage, index: int, open_calls: set[str]) -> None:
    place = f"messages[{index}].tool_call_id"
    if message.tool_call_id is None:
        raise missing(place)
    if message.tool_call_id not in open_calls:
        raise invalid(place, "does not name an open tool call of the assistant message before it")
    open_calls.discard(message.tool_call_id)


def _message(message: ChatMessage, index: int) -> Message:
    place = f"messages[{index}]"
    if message.role != "assistant":
        if message.content is None:
            raise missing(f"{place}.content")
        text = _text(message.content, place)
        answers = message.tool_call_id if message.role == "tool" else None
        return Message(message.role, text, tool_call_id=answers, name=message.name)
    if message.function_call or message.audio:
        raise not_supported(f"{place}.{'function_call' if message.function_call else 'audio'}")
    content = message.content if message.content is not None else message.refusal
    if content is None and not message.tool_calls:
        raise invalid(f"{place}.content", "is required where there are no 'tool_calls'")
    calls = tuple(
        ToolCall(call.id, call.function.name, call.function.arguments)
        for call in message.tool_calls or ()
    )
    return Message("assistant", _text(content or "", place), calls, name=message.name)


def _text(content: str | list[ContentPart], place: str) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(_part(part, f"{place}.content[{j}]") for j, part in enumerate(content))


def _part(part: ContentPart, place: str) -> str:
    if part.type not in ("text", "refusal"):
        known = part.type in ("image_url", "input_audio", "file")
        raise not_supported(place) if known else invalid(f"{place}.type", "is not a known type")
    text = part.text if part.type == "text" else part.refusal
    if text is None:
        raise missing(f"{place}.{part.type}")
    return text
