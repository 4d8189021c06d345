"""The conversation as the loop and every model adapter see it."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "developer", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's wish to call a tool. `arguments` is the JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class TextPart:
    """Text among other parts."""

    text: str


@dataclass(frozen=True, slots=True)
class ImagePart:
    """An image: `url` is https:, a data: URL or, before a run has read it, a stored file's id.

    `detail` is OpenAI's `low`, `high` or `auto`.
    """

    url: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class AudioPart:
    """Sound: `data` in base64, in `format` `wav` or `mp3`."""

    data: str
    format: str


@dataclass(frozen=True, slots=True)
class FilePart:
    """A document: `data` is a data: URL with its media type or, before a run has read it,
    a stored file's id or an https: URL.
    """

    data: str
    filename: str | None = None


Part = TextPart | ImagePart | AudioPart | FilePart


@dataclass(frozen=True, slots=True)
class Thought:
    """A provider's own record of its thinking, to be sent back to it unchanged with tool results.

    Shapes: Anthropic's `thinking` (text and signature) and `redacted_thinking` (data) blocks.
    """

    text: str = ""
    signature: str | None = None
    data: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `tool_calls` and `thoughts` only on `assistant`, `tool_call_id` only on `tool`.

    `content` is its text. Where there is more than text, `parts` is the whole content in order.
    """

    role: Role
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    parts: tuple[Part, ...] = ()
    thoughts: tuple[Thought, ...] = ()
