"""An OpenAI-compatible upstream on loopback that answers with exactly the bytes a test gives it."""

import asyncio
import json
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import unquote

Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Upstream:
    """`requests` holds (head, JSON body); `left` is set when the client hangs up on `silence`."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.requests: list[tuple[str, Any]] = []
        self.left = asyncio.Event()
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"POST "):
                writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                return
            length = next(
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length")
            )
            body = await reader.readexactly(length)
            request = head.decode(), json.loads(body)
            self.requests.append(request)
            # Clients take an answer and an end that come before they have finished as a reset.
            await asyncio.sleep(0.01)
            await self.respond(request, reader, writer)
            if not writer.is_closing():
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def respond(
        self, _: tuple[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await self.play(reader, writer)

    async def until_left(self, reader: asyncio.StreamReader) -> None:
        while await reader.read(100):
            pass
        self.left.set()


class Many(Upstream):
    """One for many cases at once; `playing` counts by name what is under way."""

    def __init__(self, play: Play) -> None:
        super().__init__(play)
        self.playing: Counter[str] = Counter()

    async def respond(
        self,
        request: tuple[str, Any],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        head, body = request
        self.requests.clear()
        path = unquote(head.split(" ")[1])
        again = any(message["role"] == "tool" for message in body["messages"])
        name, play = self.played(path.split("/")[1:], again=again)
        self.playing[name] += 1
        try:
            await play(reader, writer)
            if not writer.is_closing():
                await writer.drain()
        finally:
            self.playing[name] -= 1

    def played(self, path: list[str], *, again: bool) -> tuple[str, Play]:  # noqa: ARG002 - by others
        """The case that a path names, and what is played; `again` is after a tool call."""
        return path[0], self.play


Fake = TypeVar("Fake", bound=Upstream)


@asynccontextmanager
async def listening(fake: Fake) -> AsyncIterator[Fake]:
    server = await asyncio.start_server(fake.answer, "127.0.0.1", 0)
    fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield fake
    finally:
        server.close()


@asynccontextmanager
async def upstream(play: Play) -> AsyncIterator[Upstream]:
    async with listening(Upstream(play)) as fake:
        fake.url += "/v1"
        yield fake


STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def chunk(
    delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any
) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": choices,
        **more,
    }


def call_piece(index: int | None, arguments: str, **more: Any) -> dict[str, Any]:
    """A delta with one piece of a tool call; `id` and `name` where they are given."""
    function = {"arguments": arguments} | ({"name": more.pop("name")} if "name" in more else {})
    piece = {"type": "function", "function": function, **more}
    return {"tool_calls": [piece if index is None else {"index": index, **piece}]}


def event(data: dict[str, Any] | bytes) -> bytes:
    return b"data: " + (data if isinstance(data, bytes) else json.dumps(data).encode()) + b"\n\n"


def plays(*pieces: dict[str, Any] | bytes, head: bytes = STREAM, done: bool = True) -> Play:
    """A stream of these events; `[DONE]` at the end unless told otherwise."""

    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head + b"".join(map(event, pieces)) + (event(b"[DONE]") if done else b""))

    return play


def sends(raw: bytes) -> Play:
    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)

    return play


def then_reset(*pieces: dict[str, Any]) -> Play:
    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM + b"".join(map(event, pieces)))
        await writer.drain()
        await asyncio.sleep(0.05)
        # Zero linger: the peer sees a reset instead of an end.
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return play


def refuses(status: int, body: dict[str, Any] | None = None, **headers: str) -> Play:
    error = body or {"message": "sk-secret is no good", "type": "t", "code": None}
    content = json.dumps({"error": error}).encode()
    lines = {"content-type": "application/json", "content-length": str(len(content))}
    lines["connection"] = "close"
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return sends(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + content)
