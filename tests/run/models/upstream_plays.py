"""What the tables of odd and broken upstreams are made of."""

import asyncio
import json
import zlib
from typing import Any

from run.models.fake_upstream import (
    STREAM,
    Play,
    call_piece,
    chunk,
    event,
    plays,
    sends,
    then_reset,
)

TEXT = "Hello, wörld"
USAGE = {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}
HEL, LO = chunk({"role": "assistant", "content": "Hello, "}), chunk({"content": "wörld"})
STOP = chunk({}, "stop")
GOOD = (HEL, LO, STOP, chunk(usage=USAGE))
CHUNKED = STREAM.replace(b"connection: close", b"transfer-encoding: chunked")
DONE = event(b"[DONE]")


def stream(*events: Any) -> bytes:
    return b"".join(map(event, events))


def head(*lines: str, status: str = "200 OK", kind: str = "text/event-stream") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", f"content-type: {kind}", *lines, "", ""]).encode()


def body(
    content: bytes, kind: str = "application/json", *lines: str, status: str = "200 OK"
) -> Play:
    return sends(
        head(
            f"content-length: {len(content)}", "connection: close", *lines, status=status, kind=kind
        )
        + content
    )


def framed(content: bytes, size: int = 7) -> bytes:
    parts = [content[i : i + size] for i in range(0, len(content), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


def completion(**choice: Any) -> bytes:
    whole = {"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}
    return json.dumps({"id": "x", "choices": [whole | choice], "usage": USAGE}).encode()


def slowly(*pieces: bytes, pause: float = 0.02) -> Play:
    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return play


def for_ever(first: bytes, piece: bytes, pause: float = 0.0) -> Play:
    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return play


def hangs(*raw: bytes) -> Play:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(raw))
        while await reader.read(100):
            pass

    return play


def resets(raw: bytes) -> Play:
    """A reset takes with it what hasn't been read yet, so it comes a while later."""
    play = then_reset()

    async def first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        real, writer.write = writer.write, lambda _: None  # type: ignore[method-assign]
        real(raw)
        await asyncio.sleep(0.5)
        await play(reader, writer)

    return first


def calls(*pieces: Any, finish: str = "tool_calls") -> Play:
    """A turn of tool calls; when their results come back, the answer."""

    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw = stream(*pieces, *([chunk({}, finish)] if finish else [])) + DONE
        writer.write(STREAM + raw)

    play.then = plays(*GOOD)  # type: ignore[attr-defined]
    return play


def bomb(bits: int) -> bytes:
    """A hundred megabytes of one line, packed; `bits` are zlib's number of the format."""
    packing, spaces = zlib.compressobj(wbits=bits), b" " * 1_000_000
    return b"".join([*(packing.compress(spaces) for _ in range(100)), packing.flush()])


def one_call(arguments: Any, **more: Any) -> dict[str, Any]:
    return chunk(call_piece(0, arguments, **({"id": "a", "name": "add"} | more)))


CONTENT = {"choices": [{"index": 0, "delta": {"content": TEXT}, "finish_reason": "stop"}]}
LONG_HEAD = "x-long: " + "y" * 100_000
