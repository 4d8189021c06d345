"""The platform's proxy before an app: the login, the headers that say who calls, streaming."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from aiohttp import ClientError, ClientSession, ClientTimeout, web

from workspace.apps import Apps
from workspace.fake import Workspace

LOGIN = "<!doctype html><html><title>Databricks - Sign In</title>secret-of-the-page</html>"
PASSED = (
    "content-type", "accept", "x-request-id",
    "mcp-session-id", "mcp-protocol-version", "mcp-method", "mcp-name",
)  # fmt: skip


class Ingress:
    """In front of the app at `target`. What comes without a good OAuth token goes to the login.

    With `page` it gets the login page itself, with status 200.
    """

    def __init__(self, workspace: Workspace, apps: Apps, name: str, target: str) -> None:
        self.url = ""
        self.page = False
        self.logs: list[object] = []
        self.watching: set[web.WebSocketResponse] = set()
        self.tokens: list[str] = []
        self._workspace, self._apps, self._name, self._target = workspace, apps, name, target

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.tokens.append(request.headers.get("Authorization", ""))
        caller = self._workspace.holder(request)
        if caller is None or caller.kind == "pat":
            if self.page:
                return web.Response(text=LOGIN, content_type="text/html")
            raise web.HTTPFound(f"{self._workspace.url}/login.html?next={request.path}")
        if not self._apps.may_use(self._name, caller):
            return web.json_response({"message": "no permission"}, status=403)
        if request.path == "/logz/stream":
            return await self._logz(request)
        headers = {name: request.headers[name] for name in PASSED if name in request.headers}
        headers |= {
            "X-Forwarded-User": caller.id,
            "X-Forwarded-Email": caller.name,
            "X-Forwarded-Preferred-Username": caller.name,
            "X-Real-Ip": "10.0.0.1",
            "X-Request-Id": str(uuid4()),
        }
        if self._apps.apps[self._name].get("user_api_scopes"):
            token = request.headers["Authorization"].partition(" ")[2]
            headers["X-Forwarded-Access-Token"] = token
        body = await request.read()
        async with ClientSession(timeout=ClientTimeout(total=120)) as session:
            try:
                async with session.request(
                    request.method, self._target + request.path_qs, data=body, headers=headers
                ) as got:
                    kind = {"content-type": got.headers.get("content-type", "text/plain")}
                    if session_id := got.headers.get("mcp-session-id"):
                        kind["mcp-session-id"] = session_id
                    answer = web.StreamResponse(status=got.status, headers=kind)
                    await answer.prepare(request)
                    async for piece in got.content.iter_any():
                        await answer.write(piece)
                    return answer
            except ClientError:
                return web.Response(status=502, text="<html>Bad gateway</html>")

    async def _logz(self, request: web.Request) -> web.StreamResponse:
        """What was logged, from the beginning for each connection, and what comes."""
        viewer = web.WebSocketResponse()
        await viewer.prepare(request)
        await viewer.receive_str()
        self.watching.add(viewer)
        sent = 0
        while not viewer.closed:
            for entry in self.logs[sent:]:
                await viewer.send_str(entry if isinstance(entry, str) else json.dumps(entry))
                sent += 1
            await asyncio.sleep(0.01)
        return viewer


@asynccontextmanager
async def ingress(
    workspace: Workspace, apps: Apps, name: str, target: str
) -> AsyncIterator[Ingress]:
    """The proxy at a port of its own, which the Apps API tells as the app's address."""
    made = Ingress(workspace, apps, name, target)
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    made.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    await web.SockSite(runner, listener).start()
    apps.addresses[name] = made.url
    try:
        yield made
    finally:
        await runner.cleanup()
