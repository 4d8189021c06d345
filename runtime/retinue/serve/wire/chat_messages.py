"""The `messages` of a request → the conversation of a run.

Format: OpenAI's `ChatCompletionRequestMessage` (openai-openapi v2.3.0).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field

from retinue.run.messages import Message, Part, Role, TextPart, ToolCall
from retinue.serve.wire.content import audio_part, file_part, image_part, message_of, stored_file
from retinue.serve.wire.mistakes import invalid, missing, not_supported
from retinue.serve.wire.strict import Strict

SystemMessages = Literal["append", "ignore", "refuse"]

MAX_MESSAGES = 2048
_MAX_PARTS = 2048
_MAX_TOOL_CALLS = 512
_INSTRUCTING = ("system", "developer")
_SAYING = ("user", *_INSTRUCTING)
# A model's thinking, as some clients send it back: the answer that it led to stands beside it.
_PASSED_OVER = ("reasoning", "thinking", "redacted_thinking")
# What a message may hold, by role; text alone in the others'.
_KINDS = {
    "user": ("text", "image_url", "input_audio", "file"),
    "assistant": ("text", "refusal"),
}


class ImageUrl(Strict):
    """An image: an https: URL on a public address, or a data: URL."""

    url: str
    detail: str | None = None


class InputAudio(Strict):
    """Sound in base64."""

    data: str
    format: str


class InlineFile(Strict):
    """A document: a stored one by its id, or a data: URL or base64."""

    file_data: str | None = None
    filename: str | None = None
    file_id: str | None = None


class ContentPart(Strict):
    """A piece of a message's content: the key that `type` names is the one that counts."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: ImageUrl | None = None
    input_audio: InputAudio | None = None
    file: InlineFile | None = None


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
        str
        | Annotated[list[ContentPart], Field(min_length=1, max_length=_MAX_PARTS, fail_fast=True)]
        | None
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
    if message.role in _SAYING and isinstance(message.content, str):
        return Message(message.role, message.content, name=message.name)
    place = f"messages[{index}]"
    if message.role != "assistant":
        if message.content is None:
            raise missing(f"{place}.content")
        parts = _parts(message, place)
        made = message_of(message.role, parts, name=message.name)
        return replace(made, tool_call_id=message.tool_call_id) if message.role == "tool" else made
    if message.function_call or message.audio:
        raise not_supported(f"{place}.{'function_call' if message.function_call else 'audio'}")
    if message.content is None and message.refusal is None and not message.tool_calls:
        raise invalid(f"{place}.content", "is required where there are no 'tool_calls'")
    calls = tuple(
        ToolCall(call.id, call.function.name, call.function.arguments)
        for call in message.tool_calls or ()
    )
    return replace(
        message_of("assistant", _parts(message, place), name=message.name), tool_calls=calls
    )


def _parts(message: ChatMessage, place: str) -> list[Part]:
    content = message.refusal if message.content is None else message.content
    if content is None or isinstance(content, str):
        return [TextPart(content or "")]
    kinds = _KINDS.get(message.role, ("text",))
    thinks = message.role == "assistant"
    return [
        _part(part, kinds, f"{place}.content[{j}]")
        for j, part in enumerate(content)
        if not (thinks and part.type in _PASSED_OVER)
    ]


def _part(part: ContentPart, kinds: Sequence[str], place: str) -> Part:
    if part.type not in kinds:
        known = any(part.type in kinds for kinds in _KINDS.values())
        rule = "can't stand in a message of this role" if known else "is not a known type"
        raise invalid(f"{place}.type", rule)
    if part.type == "image_url" and part.image_url:
        url, detail = f"{place}.image_url.url", f"{place}.image_url.detail"
        image = part.image_url
        return image_part(image.url, image.detail, param=url, detail_param=detail)
    if part.type == "input_audio" and part.input_audio:
        data, sound = f"{place}.input_audio.data", f"{place}.input_audio.format"
        audio = part.input_audio
        return audio_part(audio.data, audio.format, param=data, format_param=sound)
    if part.type == "file" and part.file:
        return _file(part.file, f"{place}.file")
    text = part.refusal if part.type == "refusal" else part.text
    if text is None or part.type not in ("text", "refusal"):
        raise missing(f"{place}.{part.type}")
    return TextPart(text)


def _file(file: InlineFile, place: str) -> Part:
    if file.file_id is not None:
        return stored_file(file.file_id, param=f"{place}.file_id")
    if file.file_data is None:
        raise missing(f"{place}.file_data")
    return file_part(file.file_data, file.filename, param=f"{place}.file_data")


def heard(messages: Sequence[Message], policy: SystemMessages) -> tuple[Message, ...]:
    """The conversation as the agent takes it, whose file says what a caller's instructions are.

    `append` lets them follow the agent's own. Raises RequestError where they are refused, or where
    nothing is left without them.
    """
    if policy == "append":
        return tuple(messages)
    kept = tuple(m for m in messages if m.role not in _INSTRUCTING)
    if policy == "refuse" and len(kept) < len(messages):
        index = next(i for i, m in enumerate(messages) if m.role in _INSTRUCTING)
        raise invalid(f"messages[{index}].role", "must not be 'system' or 'developer' here")
    if not kept:
        raise invalid("messages", "must hold more than instructions: this agent has its own")
    return kept
