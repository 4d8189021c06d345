"""Messages, arguments and results → attributes of spans, cut to size.

Format: the GenAI semantic conventions' JSON of `gen_ai.input.messages`.
"""

from collections.abc import Sequence

import orjson

from retinue.run.messages import Message

_LONGEST = 8_192
_MOST = 32


def text(value: str, longest: int = _LONGEST) -> str:
    """At most `longest` characters, without lone surrogates, which would spoil a whole batch."""
    cut = value if len(value) <= longest else f"{value[: longest - 1]}…"
    return cut if cut.isascii() else cut.encode("utf-8", "replace").decode()


def messages(said: Sequence[Message]) -> str:
    """The last messages as JSON, without what isn't text."""
    return orjson.dumps([_message(message) for message in said[-_MOST:]]).decode()


def _message(message: Message) -> dict[str, object]:
    parts: list[dict[str, object]] = []
    if message.role == "tool":
        answer = {"id": message.tool_call_id, "response": text(message.content)}
        parts.append({"type": "tool_call_response", **answer})
    elif message.content:
        parts.append({"type": "text", "content": text(message.content)})
    parts += [
        {
            "type": "tool_call",
            "id": text(call.id),
            "name": text(call.name),
            "arguments": text(call.arguments),
        }
        for call in message.tool_calls
    ]
    return {"role": message.role, "parts": parts}
