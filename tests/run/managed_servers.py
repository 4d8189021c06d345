"""A workspace on loopback with managed MCP servers that say who called them."""

import secrets
from collections import Counter
from typing import Any

from aiohttp import web

from run.fake_workspace import FakeWorkspace

WHO = {"name": "who", "inputSchema": {"type": "object"}}
"""A tool that answers with the caller's Authorization."""


class ManagedServers(FakeWorkspace):
    """Servers of the older protocol, whose sessions belong to who opened them.

    Calls of tools are sent on to `moved`, where it is set.

    `seen` holds path, Authorization and method of every message. `refusals` maps an Authorization
    to the status of all its answers; `missing` are paths that are 404. `own_tools` are listed for
    one Authorization besides `who`; `plays` are texts that a tool answers with, one after another,
    the last for ever.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, str, str]] = []
        self.moved = ""
        self.refusals: dict[str, int] = {}
        self.call_refusals: dict[str, int] = {}
        self.missing: set[str] = set()
        self.tools: list[dict[str, Any]] = [WHO]
        self.own_tools: dict[str, list[dict[str, Any]]] = {}
        self.plays: dict[str, list[Any]] = {}
        self.arguments: list[tuple[str, Any]] = []
        self.ended = 0
        self._sessions: dict[str, str] = {}
        self._played: Counter[str] = Counter()

    @property
    def open_sessions(self) -> int:
        return len(self._sessions)

    def calls(self) -> list[str]:
        """Who called tools."""
        return [who for _, who, method in self.seen if method == "tools/call"]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if not request.path.startswith("/api/2.0/mcp/") and request.path != "/mcp":
            return await super().answer(request)
        who = request.headers.get("Authorization", "")
        session = request.headers.get("mcp-session-id", "")
        if request.method != "POST":
            if request.method == "DELETE" and self._sessions.pop(session, None):
                self.ended += 1
            return web.Response(status=405 if request.method == "GET" else 200)
        asked = await request.json()
        self.seen.append((request.raw_path, who, asked["method"]))
        status = self.refusals.get(who, 404 if request.raw_path in self.missing else 200)
        if asked["method"] == "tools/call":
            status = self.call_refusals.get(who, status)
        if self.moved and asked["method"] == "tools/call":
            return web.Response(status=307, headers={"location": self.moved})
        if status != 200:
            return web.Response(status=status, headers={"retry-after": "7"})
        begins = asked["method"] in ("initialize", "server/discover")
        if not begins and self._sessions.get(session) != who:
            return web.Response(status=404)
        return self._reply(asked, who)

    def _reply(self, asked: dict[str, Any], who: str) -> web.Response:
        method, headers = asked["method"], {}
        result: dict[str, Any]
        if "id" not in asked:
            return web.Response(status=202)
        if method == "initialize":
            headers["mcp-session-id"] = made = secrets.token_hex(8)
            self._sessions[made] = who
            info = {"name": "managed", "version": "1"}
            version = asked["params"]["protocolVersion"]
            capabilities: dict[str, Any] = {"tools": {}}
            result = {
                "protocolVersion": version,
                "capabilities": capabilities,
                "serverInfo": info,
            }
        elif method == "tools/list":
            result = {"tools": [*self.tools, *self.own_tools.get(who, [])]}
        elif method == "tools/call":
            result = self._call(asked["params"], who)
        else:
            error = {"code": -32601, "message": "no such method"}
            return web.json_response({"jsonrpc": "2.0", "id": asked["id"], "error": error})
        reply = {"jsonrpc": "2.0", "id": asked["id"], "result": result}
        return web.json_response(reply, headers=headers)

    def _call(self, params: dict[str, Any], who: str) -> dict[str, Any]:
        name = params["name"]
        self.arguments.append((name, params.get("arguments")))
        told = self.plays.get(name)
        if told is None:
            return {
                "content": [
                    {"type": "text", "text": f"you are {who.removeprefix('Bearer ')[::-1]}"}
                ]
            }
        text = told[min(self._played[name], len(told) - 1)]
        self._played[name] += 1
        if isinstance(text, dict):
            return text
        return {"content": [{"type": "text", "text": text}] if text else []}
