"""A conversation → how long it is in tokens, where it can be cut, and shorter forms of it.

No tokenizer: they differ by model, and loading one costs more than a run. What a provider has
counted is used where it is known (`retinue.run.compaction`); this is for the rest.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from retinue.run.messages import AudioPart, FilePart, ImagePart, Message, Part

# UTF-8 bytes for a token: English, code and JSON have 3 to 5, Chinese and Thai 3 to 4.
_BYTES_PER_TOKEN = 4
_TOKENS_PER_MESSAGE = 4
_TOKENS_PER_IMAGE = 1_500
# Base64 characters of sound, and of documents, for a token; measured on PDFs of text.
_PER_SOUND_TOKEN = 2_000
_PER_FILE_TOKEN = 40

_RESULT_LEFT = 400
"""Characters that are left of an old tool result."""
_SHORT = 2 * _RESULT_LEFT
_LONGEST_SAID = 6_000
_LONGEST_ARGUMENTS = 300

KEPT_TOOLS = frozenset({"load_skill"})
"""Tools whose results are instructions that hold for the rest of the conversation."""

_FRAME = ("system", "developer")


def tokens(messages: Iterable[Message]) -> int:
    """About how many tokens the messages are."""
    return sum(map(_tokens, messages))


def _tokens(message: Message) -> int:
    found = _TOKENS_PER_MESSAGE + _size(message.content) // _BYTES_PER_TOKEN
    for call in message.tool_calls:
        found += (len(call.name) + _size(call.arguments)) // _BYTES_PER_TOKEN
    for thought in message.thoughts:
        found += (_size(thought.text) + len(thought.data or "")) // _BYTES_PER_TOKEN
    return found + sum(map(_part_tokens, message.parts))


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def _part_tokens(part: Part) -> int:
    if isinstance(part, ImagePart):
        return _TOKENS_PER_IMAGE
    if isinstance(part, AudioPart):
        return len(part.data) // _PER_SOUND_TOKEN
    return len(part.data) // _PER_FILE_TOKEN if isinstance(part, FilePart) else 0


def beginning(messages: Sequence[Message]) -> int:
    """How many messages frame the conversation: the system prompt and what stands beside it."""
    found = (n for n, message in enumerate(messages) if message.role not in _FRAME)
    return next(found, len(messages))


def last_start(messages: Sequence[Message], keep: int) -> int:
    """Where the last `keep` messages start, or before it: no result is parted from its call."""
    start = max(0, len(messages) - keep)
    while 0 < start < len(messages) and messages[start].role == "tool":
        start -= 1
    return start


def last_question(messages: Sequence[Message]) -> int | None:
    """The index of the user's last message."""
    indices = (n for n in reversed(range(len(messages))) if messages[n].role == "user")
    return next(indices, None)


def with_short_result(message: Message, left: int = _RESULT_LEFT) -> Message:
    """The message; of a long tool result only its start is left."""
    text = message.content
    if message.role != "tool" or message.name in KEPT_TOOLS or len(text) <= max(_SHORT, left):
        return message
    note = f"[{len(text) - left:,} more characters were left out to save room: call the tool again"
    return replace(message, content=f"{text[:left]}\n{note} if you need them]", parts=())


def transcript(messages: Iterable[Message], most: int) -> str:
    """The messages as text for a reader, at most about `most` tokens: the middle is left out of
    what is longer.
    """
    text = "\n\n".join(_told(message) for message in messages)
    found = _size(text) // _BYTES_PER_TOKEN
    return text if found <= most else _without_middle(text, len(text) * most // found)


def pieces(messages: Sequence[Message], most: int, count: int) -> list[int]:
    """Where to cut the messages so that each piece's transcript has about `most` tokens, into at
    most `count` pieces, of which the last takes what is left. No result is parted from its call.
    """
    ends: list[int] = []
    size = 0
    for index, message in enumerate(messages):
        added = _size(_told(message)) // _BYTES_PER_TOKEN
        if size and size + added > most and message.role != "tool" and len(ends) + 1 < count:
            ends.append(index)
            size = 0
        size += added
    return [*ends, len(messages)] if messages else []


def _told(message: Message) -> str:
    if message.role == "tool":
        short = with_short_result(replace(message, name=None)).content
        return f"[result of {message.name or 'the tool'}]\n{short}"
    lines = [f"[{message.role}]", _without_middle(message.content, _LONGEST_SAID)]
    lines += [f"({type(part).__name__.removesuffix('Part').lower()})" for part in message.parts]
    lines += [
        f"(calls {call.name} with {_without_middle(call.arguments, _LONGEST_ARGUMENTS)})"
        for call in message.tool_calls
    ]
    return "\n".join(line for line in lines if line and line != "(text)")


def _without_middle(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    start, end = longest * 2 // 3, longest // 3
    return f"{text[:start]}\n[… {len(text) - start - end:,} characters …]\n{text[-end:]}"
