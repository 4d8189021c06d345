"""Messages ↔ the JSON in which a store keeps them: all of a turn, thoughts and calls with it."""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from retinue.run.messages import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    Part,
    TextPart,
    Thought,
    ToolCall,
)
from retinue.serve.wire.responses_output import clean

_PARTS: dict[str, type[TextPart | ImagePart | AudioPart | FilePart]] = {
    "text": TextPart,
    "image": ImagePart,
    "audio": AudioPart,
    "file": FilePart,
}
_KINDS = {part: kind for kind, part in _PARTS.items()}


def dumped(messages: Sequence[Message]) -> str:
    """The JSON of messages."""
    told = [_fields(message) for message in messages]
    try:
        return orjson.dumps(told).decode()
    except orjson.JSONEncodeError:
        return orjson.dumps(_clean(told)).decode()


def loaded(texts: Iterable[str]) -> tuple[Message, ...]:
    """The messages of such texts, one after the other."""
    return tuple(_message(fields) for text in texts for fields in orjson.loads(text))


def open_calls(messages: Sequence[Message]) -> tuple[ToolCall, ...]:
    """The calls that nobody has answered yet."""
    answered = {message.tool_call_id for message in messages}
    return tuple(c for m in messages for c in m.tool_calls if c.id not in answered)


def _fields(message: Message) -> dict[str, Any]:
    parts = [{"type": _KINDS[type(part)], **_given(part)} for part in message.parts]
    fields = {**_given(message), "parts": parts}
    fields["tool_calls"] = [_given(call) for call in message.tool_calls]
    fields["thoughts"] = [_given(thought) for thought in message.thoughts]
    return {name: value for name, value in fields.items() if value}


def _given(one: Message | Part | ToolCall | Thought) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__slots__}


def _message(fields: dict[str, Any]) -> Message:
    return Message(
        **{
            **fields,
            "parts": tuple(map(_part, fields.get("parts", ()))),
            "tool_calls": tuple(ToolCall(**call) for call in fields.get("tool_calls", ())),
            "thoughts": tuple(Thought(**thought) for thought in fields.get("thoughts", ())),
        }
    )


def _part(fields: dict[str, Any]) -> Part:
    return _PARTS[fields["type"]](**{k: v for k, v in fields.items() if k != "type"})


def _clean(value: Any) -> Any:
    """The same without halves of surrogate pairs, which have no UTF-8."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_clean(one) for one in value]
    return {k: _clean(v) for k, v in value.items()} if isinstance(value, dict) else value
