"""Providers' wire formats as their documentation and captures have them, on loopback.

Each module says one answer in its provider's bytes: text, thinking, tool calls, usage and the end.
`Said` is that answer; `Provider` is how a deployment reaches the fake, and what it refuses with.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from retinue.run.messages import Thought, ToolCall
from run.models.fake_upstream import Play


@dataclass(frozen=True)
class Said:
    """One answer. `input` counts all of the prompt, with what was read from and put in a cache.

    `reason` is why it ended, in the provider's word, where that isn't the usual one.
    """

    text: str = ""
    thoughts: tuple[Thought, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    input: int = 100
    output: int = 20
    cached: int = 0
    written: int = 0
    thinking: int = 0
    reason: str | None = None


@dataclass(frozen=True)
class Provider:
    """`frames` are an answer's pieces in order; a stream may be cut between or within any.

    `ends` counts the last frames that come after the provider's own finish reason and may be
    missing. `overloaded` are what it sends midway instead of the rest.
    """

    name: str
    model: str
    head: bytes
    frames: Callable[[Said], list[bytes]]
    refusal: Callable[[int, str], bytes]
    overloaded: bytes
    ends: int = 0
    fields: Mapping[str, Any] = field(default_factory=dict)
    path: str = ""
    base: str = ""
    thinks: bool = True

    def plays(self, said: Said, keep: int | None = None) -> Play:
        """The answer, or its first `keep` bytes."""
        return writes(self.head, b"".join(self.frames(said))[:keep])


def writes(*pieces: bytes) -> Play:
    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)

    return play


def in_turn(plays: Sequence[Play]) -> Play:
    """One play a request, and the last one for ever."""
    left = list(plays)

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        now = left.pop(0) if len(left) > 1 else left[0]
        await now(reader, writer)

    return play


def refuses_with(status: int, content: bytes, **headers: str) -> Play:
    lines = {"content-type": "application/json", "content-length": str(len(content))}
    lines["connection"] = "close"
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return writes(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode(), content)


def halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]
