"""A server over HTTP with the fault that its control file names, for as long as it names it.

Prints its port. `/mcp` is streamable HTTP with sessions, `/sse` the older protocol; both also
under `/fine`, where nothing goes wrong.
"""

import asyncio
import gzip
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from run.servers.flawed_answers import FINE, Control, answers, result

JSON, EVENTS = "application/json", "text/event-stream"


def head(status: int = 200, kind: str = JSON, *more: str, length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", *more]
    if length is not None:
        lines.append(f"content-length: {length}")
    return "\r\n".join([*lines, "", ""]).encode()


def whole(status: int, body: bytes, kind: str = JSON, *more: str) -> bytes:
    return head(status, kind, *more, length=len(body)) + body


def events(*texts: bytes) -> bytes:
    return b"".join(b"event: message\ndata: " + text + b"\n\n" for text in texts)


class Exchange:
    """One request, and what to answer it with if nothing goes wrong."""

    def __init__(self, writer: asyncio.StreamWriter, answer: dict[str, Any]) -> None:
        self.writer = writer
        self.answer = answer

    @property
    def text(self) -> bytes:
        return json.dumps(self.answer).encode()

    async def send(self, *parts: bytes, pause: float = 0.0) -> None:
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()
            await asyncio.sleep(pause)

    async def for_ever(self, part: bytes) -> None:
        while True:
            await self.send(part)


def status(number: int, *more: str, body: bytes = b"", kind: str = JSON) -> Any:
    async def deed(x: Exchange) -> bool:
        await x.send(whole(number, body, kind, *more))
        return True

    return deed


def cut(*parts: bytes, hang: bool = False) -> Any:
    """Send this and close the connection, or leave it open for ever."""

    async def deed(x: Exchange) -> bool:
        text = x.text
        await x.send(*(part.replace(b"TEXT", text).replace(b"HALF", text[:20]) for part in parts))
        if hang:
            await asyncio.sleep(600)
        return False

    return deed


async def reset(x: Exchange) -> bool:
    x.writer.transport.abort()
    return False


async def drip(x: Exchange) -> bool:
    text = x.text
    await x.send(head(length=len(text)), *(text[n : n + 1] for n in range(len(text))), pause=0.2)
    return True


async def late(x: Exchange) -> bool:
    await asyncio.sleep(0.3)
    await x.send(whole(200, x.text))
    return True


async def bomb(x: Exchange) -> bool:
    packed = gzip.compress(b" " * 200_000_000, 1)
    await x.send(whole(200, packed, JSON, "content-encoding: gzip"))
    return True


def endless(kind: str, part: bytes) -> Any:
    async def deed(x: Exchange) -> bool:
        await x.send(head(200, kind, "connection: close"))
        await x.for_ever(part)
        return False

    return deed


CLOSE = "connection: close"
OPEN = head(200, EVENTS, CLOSE)
LONG = head(length=10**6)
ERROR = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"no\\u001b[31m luck"}}'
HTML = b"<html><script>alert(1)</script>Sign in</html>"

DEEDS: dict[str, Callable[[Exchange], Awaitable[bool]]] = {
    **{f"status {n}": status(n, "retry-after: 1") for n in (
        400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 413, 415, 418, 421, 422, 425, 429, 451,
        500, 501, 502, 503, 504, 507, 520, 529, 599)},
    "status 200 and nothing": status(200),
    "status 202": status(202),
    "status 204": status(204),
    "status 206": status(206, body=b"{}"),
    "status 304": status(304),
    "status 401 with a challenge": status(401, 'www-authenticate: Bearer realm="x"'),
    "status 429 until a date": status(429, "retry-after: Wed, 21 Oct 2065 07:28:00 GMT"),
    "status 429 nonsense": status(429, "retry-after: soon\x01"),
    "status 500 with an error": status(500, body=ERROR),
    "status 400 with an error": status(400, body=ERROR),
    "status 503 a page": status(503, body=HTML * 10_000, kind="text/html"),
    "redirect 301": status(301, "location: /elsewhere"),
    "redirect 302 to a login": status(302, "location: https://login.example.com/?secret=1"),
    "redirect 307 away": status(307, "location: http://169.254.169.254/latest"),
    "redirect 307 to itself": status(307, "location: /mcp"),
    "redirect 308 nowhere": status(308, "location: http://["),
    "redirect to a file": status(307, "location: file:///etc/passwd"),
    "redirect without location": status(302),
    "html": status(200, body=HTML, kind="text/html"),
    "plain text": status(200, body=b"fine", kind="text/plain"),
    "no content type": cut(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"),
    "gzip bomb": bomb,
    "gzip broken": status(200, "content-encoding: gzip", body=b"\x1f\x8bxyz"),
    "encoding unknown": status(200, "content-encoding: zstd, br", body=b"xyz"),
    "hang": cut(hang=True),
    "hang after the head": cut(LONG, hang=True),
    "hang in the body": cut(LONG, b"HALF", hang=True),
    "hang in events": cut(OPEN, b": ping\n\n", b"data: HALF", hang=True),
    "reset": reset,
    "closed": cut(),
    "cut in the head": cut(b"HTTP/1.1 200 OK\r\ncontent-ty"),
    "cut after the head": cut(LONG),
    "cut in the body": cut(LONG, b"HALF"),
    "cut in an event": cut(OPEN, b"data: HALF"),
    "cut after a name": cut(OPEN, b"event: message\n"),
    "cut after a priming event": cut(OPEN, b"id: 1\nretry: 10\ndata: \n\n"),
    "cut after a notice": cut(OPEN, b'data: {"jsonrpc":"2.0","method":"notifications/x"}\n\n'),
    "cut in a chunk": cut(
        head(200, EVENTS, "transfer-encoding: chunked"), b"ff\r\ndata: HALF"),
    "chunk sizes wrong": cut(head(200, JSON, "transfer-encoding: chunked"), b"zz\r\nTEXT\r\n"),
    "length too short": cut(head(length=10), b"TEXT"),
    "lengths differ": cut(head(200, JSON, "content-length: 5", length=50), b"TEXT"),
    "not http": cut(b"SSH-2.0-OpenSSH_9.9\r\n"),
    "http 0.9": cut(b"TEXT"),
    "head huge": cut(b"HTTP/1.1 200 OK\r\nx-pad: " + b"x" * 2_000_000 + b"\r\n\r\n"),
    "heads many": cut(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000 + b"\r\n"),
    "head with nul": cut(b"HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 0\r\n\r\n"),
    "status odd": cut(b"HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n"),
    "status of text": cut(b"HTTP/1.1 abc\r\n\r\n"),
    "switching protocols": cut(b"HTTP/1.1 101 X\r\nupgrade: websocket\r\n\r\n"),
    "endless json": endless(JSON, b" " * 2**16),
    "endless event": endless(EVENTS, b"data: " + b"x" * 2**16 + b"\n"),
    "endless comments": endless(EVENTS, b": ping\n\n" * 4096),
    "endless notices": endless(
        EVENTS, b'data: {"jsonrpc":"2.0","method":"notifications/x"}\n\n' * 100),
    "endless head": cut(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 10**6, hang=True),
    "drips": drip,
    "late": late,
    "session odd": status(200, "mcp-session-id: \xe9\xff", body=ERROR),
    "events odd but right": cut(
        OPEN, b"\xef\xbb\xbf: hello\r\n\r\nid: 1\r\nevent:message\r\ndata:TEXT\r\n\r\n"),
    "events of other names": cut(OPEN, b"event: chatter\ndata: x\n\ndata: TEXT\n\n"),
    "events not json": cut(OPEN, b"data: nonsense\n\ndata: TEXT\n\n"),
}  # fmt: skip


class Server:
    """Everything at one port."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.sessions: set[str] = set()
        self.streams: dict[str, asyncio.StreamWriter] = {}

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        verb, path, _ = lines[0].split()
        heads = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        body = await reader.readexactly(int(heads.get("content-length", 0)))
        fine = path.startswith("/fine")
        if "/sse" in path or "/messages" in path:
            return await self._older(verb, path, body, writer)
        if verb != "POST":
            return await self._stream(verb, fine, writer)
        request = json.loads(body)
        method, params = request.get("method"), request.get("params") or {}
        fault = "" if fine else self.control.at(method or "")
        if method == "server/discover":
            fault = "" if fine else self.control.fault("discover")
        answer = {"jsonrpc": "2.0", "id": request.get("id"),
                  "result": result(method or "", params, fault)}  # fmt: skip
        if fault in DEEDS:
            return await DEEDS[fault](Exchange(writer, answer))
        if "id" not in request or method is None:
            writer.write(whole(202, b""))
        elif method == "server/discover":
            writer.write(whole(400, b""))
        elif method != "initialize" and heads.get("mcp-session-id") not in self.sessions:
            writer.write(whole(404, b""))
        else:
            self._good(method, fault, answer, writer)
        return True

    def _good(
        self, method: str, fault: str, answer: dict[str, Any], writer: asyncio.StreamWriter
    ) -> None:
        more = []
        if method == "initialize":
            self.sessions.add(str(len(self.sessions) + 1))
            more = [f"mcp-session-id: {len(self.sessions)}"]
        texts = answers(fault, answer)
        if len(texts) == 1:
            writer.write(whole(200, texts[0], JSON, *more))
        else:
            writer.write(whole(200, events(*texts), EVENTS, *more))

    async def _stream(self, verb: str, fine: bool, writer: asyncio.StreamWriter) -> bool:
        """The stream for the server's own messages."""
        fault = "" if fine or verb != "GET" else self.control.fault("stream")
        if fault in DEEDS:
            return await DEEDS[fault](Exchange(writer, {"jsonrpc": "2.0", "id": 1, "result": FINE}))
        writer.write(whole(405 if verb == "GET" else 200, b""))
        return True

    async def _older(self, verb: str, path: str, body: bytes, writer: asyncio.StreamWriter) -> bool:
        fine = path.startswith("/fine")
        if verb == "POST" and "/sse" in path:
            writer.write(whole(405, b""))
            return True
        if verb == "GET":
            return await self._open(fine, writer)
        request = json.loads(body)
        method = request.get("method")
        fault = "" if fine else self.control.at(method or "")
        answer = {"jsonrpc": "2.0", "id": request.get("id"),
                  "result": result(method or "", request.get("params") or {}, fault)}  # fmt: skip
        if fault in DEEDS:
            return await DEEDS[fault](Exchange(writer, answer))
        stream = self.streams.get(path.rpartition("=")[2])
        if stream is None:
            writer.write(whole(404, b""))
            return True
        writer.write(whole(202, b"Accepted"))
        if fault == "stream ends":
            stream.close()
        elif fault == "stream is silent":
            pass
        elif fault == "stream breaks":
            stream.write(b'event: message\ndata: {"half')
            stream.close()
        elif "id" in request:
            stream.write(events(*answers(fault, answer)))
        return True

    async def _open(self, fine: bool, writer: asyncio.StreamWriter) -> bool:
        fault = "" if fine else self.control.fault("stream")
        if fault in DEEDS:
            return await DEEDS[fault](Exchange(writer, {"jsonrpc": "2.0", "id": 1, "result": FINE}))
        name = str(len(self.streams) + 1)
        target = {
            "endpoint elsewhere": "http://169.254.169.254/latest",
            "endpoint nowhere": "http://[",
            "endpoint of a file": "file:///etc/passwd",
            "endpoint empty": "",
        }.get(fault, f"{'/fine' if fine else ''}/messages?session={name}")
        self.streams[name] = writer
        writer.write(OPEN)
        if fault != "no endpoint":
            writer.write(f"event: endpoint\ndata: {target}\n\n".encode())
        await writer.drain()
        await asyncio.sleep(600)
        return False


async def main() -> None:
    listener = await asyncio.start_server(Server(Control(sys.argv[1])).answer, "127.0.0.1", 0)
    print(listener.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
