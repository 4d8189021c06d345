"""A tool server over HTTP that plays a fault, and a connection to it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from retinue.run.mcp import Connection
from run.connecting import at, opened

TOOLS = [
    {"name": "good", "inputSchema": {"type": "object"}},
    {"name": "safe", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}},
    {"name": "odd", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": "yes"}},
]
TEXT = {"content": [{"type": "text", "text": "fine"}]}


class Played:
    """A server of the older protocol with sessions; `fault` is what happens to `tools/call`."""

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.session = 0
        self.calls = 0
        self.heads: list[str] = []
        self.closed = asyncio.Event()
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        self.heads.append(head)
        length = [line for line in head.split("\r\n") if line.startswith("content-length")]
        body = await reader.readexactly(int(length[0].split(":")[1])) if length else b""
        if not head.startswith("post"):
            writer.write(b"HTTP/1.1 405 No\r\ncontent-length: 0\r\n\r\n")
            return True
        request = json.loads(body)
        if self.fault == "no network after connect" and request["method"] != "initialize":
            return False
        return await self._method(request, head, reader, writer)

    async def _method(
        self,
        request: dict[str, Any],
        head: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        method, number = request["method"], request.get("id")
        if self.fault == "echo":
            secret = head.partition("authorization: ")[2].partition("\r\n")[0]
            error = {"code": -32001, "message": f"no access for {secret}"}
            self._message(writer, {"id": number, "error": error})
            return True
        if self.fault.startswith("connect "):
            return self._refuse(writer, self.fault.removeprefix("connect "))
        if method == "initialize":
            self.session += 1
            version = request["params"]["protocolVersion"]
            info = {"name": "played", "version": "1"}
            result = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
            self._json(writer, number, result, f"mcp-session-id: {self.session}\r\n")
        elif method == "server/discover":
            writer.write(b"HTTP/1.1 400 No\r\ncontent-length: 0\r\n\r\n")
        elif f"mcp-session-id: {self.session}\r\n" not in head:
            self._refuse(writer, "404")
        elif method == "tools/list":
            self._json(writer, number, {"tools": TOOLS})
        elif method == "tools/call":
            self.calls += 1
            return await self._call(number, reader, writer)
        else:
            writer.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
        return True

    async def _call(
        self, number: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        fault = self.fault
        if fault.isdigit():
            return self._refuse(writer, fault)
        if fault == "401 once" and self.calls == 1:
            return self._refuse(writer, "401")
        if fault == "forgets" and self.calls == 1:
            self.session += 1
            return self._refuse(writer, "404")
        if fault == "hang":
            await reader.read(1)
            self.closed.set()
            return False
        if fault == "busy once" and self.calls == 1:
            return self._refuse(writer, "429", "0")
        if fault == "reset" or (fault == "reset once" and self.calls == 1):
            writer.transport.abort()
            return False
        if fault == "half json":
            writer.write(self._head("application/json", 500) + b'{"jsonrpc": "2.0"')
            return False
        if fault == "half event":
            writer.write(self._head("text/event-stream", 500) + b'data: {"jsonrpc"')
            return False
        if fault == "html":
            writer.write(self._head("text/html", 5) + b"<html")
            return True
        if fault == "endless":
            writer.write(self._head("application/json", 10**10))
            while True:
                writer.write(b" " * 2**20)
                await writer.drain()
        if fault == "garbled":
            writer.write(
                self._head("application/json", 5, "content-encoding: gzip\r\n") + b"\x1f\x8bxyz"
            )
            return True
        self._json(writer, number, TEXT)
        return True

    def _head(self, kind: str, length: int, more: str = "") -> bytes:
        lines = f"content-type: {kind}\r\ncontent-length: {length}\r\n{more}"
        return f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode()

    def _json(self, writer: asyncio.StreamWriter, number: Any, result: Any, more: str = "") -> None:
        self._message(writer, {"id": number, "result": result}, more)

    def _message(self, writer: asyncio.StreamWriter, message: Any, more: str = "") -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        writer.write(self._head("application/json", len(body), more) + body)

    def _refuse(self, writer: asyncio.StreamWriter, status: str, wait: str = "9") -> bool:
        more = "location: https://login.example.com/?secret=1\r\n" if status == "302" else ""
        head = f"HTTP/1.1 {status} No\r\ncontent-length: 0\r\nretry-after: {wait}\r\n{more}\r\n"
        writer.write(head.encode())
        return True


@asynccontextmanager
async def played(fault: str, **changes: Any) -> AsyncIterator[tuple[Played, Connection]]:
    fake = Played(fault)
    listener = await asyncio.start_server(fake.answer, "127.0.0.1", 0)
    fake.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/mcp"
    options = {"connect_timeout": changes.pop("connect_timeout", None)}
    try:
        async with opened(at(fake.url, **changes), **options) as connection:
            yield fake, connection
    finally:
        listener.close()
