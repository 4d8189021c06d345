"""A Databricks workspace on loopback: discovery, OAuth tokens, and answers that a test sets."""

import asyncio
import socket
from base64 import b64decode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiohttp import ClientSession, web

Fake = TypeVar("Fake", bound="FakeWorkspace")

CLIENT = ("an-app", "an-apps-secret")


class FakeWorkspace:
    """`answers` maps a path to its status and body; others are 404. `signed` holds what came in.

    The nth token is `token-n`; `life` is in seconds, `delay` how long a token takes, `refuses`
    whether none is given. Managed MCP servers are what listens at `mcp_url`; paths in `hanging`
    are never answered.
    """

    def __init__(self, *, metadata: bool = True) -> None:
        self.answers: dict[str, tuple[int, Mapping[str, Any]]] = {}
        self.signed: list[tuple[str, str]] = []
        self.tokens = 0
        self.life = 3600
        self.delay = 0.0
        self.refuses = False
        self.url = ""
        self.mcp_url = ""
        self.hanging: set[str] = set()
        self._metadata = metadata

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if path == "/.well-known/databricks-config" and self._metadata:
            return web.json_response({"oidc_endpoint": f"{self.url}/oidc", "workspace_id": "1"})
        if path == "/oidc/.well-known/oauth-authorization-server":
            ends = {"authorization_endpoint": "authorize", "token_endpoint": "token"}
            return web.json_response({key: f"{self.url}/oidc/v1/{x}" for key, x in ends.items()})
        if path == "/oidc/v1/token":
            return await self._token(request)
        self.signed.append((path, request.headers.get("Authorization", "")))
        if path in self.hanging:
            await asyncio.sleep(3600)
        if self.mcp_url and path.startswith("/api/2.0/mcp/"):
            return await self._forwarded(request)
        status, body = self.answers.get(path, (404, {"error_code": "RESOURCE_DOES_NOT_EXIST"}))
        return web.json_response(body, status=status)

    async def _forwarded(self, request: web.Request) -> web.Response:
        if request.method == "GET":  # the stream of a server's own messages
            return web.Response(status=405)
        headers = {name: value for name, value in request.headers.items() if _is_mcp(name)}
        body = await request.read()
        async with ClientSession() as session:
            async with session.request(
                request.method, self.mcp_url, data=body, headers=headers
            ) as got:
                passed = {k: v for k, v in got.headers.items() if _is_mcp(k)}
                return web.Response(status=got.status, body=await got.read(), headers=passed)

    async def _token(self, request: web.Request) -> web.Response:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        known = scheme == "Basic" and b64decode(given).decode() == ":".join(CLIENT)
        await asyncio.sleep(self.delay)
        if self.refuses or not known:
            refusal = {"error": "invalid_client", "error_description": f"no {CLIENT[1]}"}
            return web.json_response(refusal, status=401)
        self.tokens += 1
        return web.json_response(
            {
                "access_token": f"token-{self.tokens}",
                "token_type": "Bearer",
                "expires_in": self.life,
            }
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen at a port of its own."""
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_route("*", "/{path:.*}", self.answer)
        # A model's stream ends when its caller is gone.
        runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True
        )
        await runner.setup()
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        await web.SockSite(runner, listener).start()
        try:
            yield
        finally:
            await runner.cleanup()


def _is_mcp(name: str) -> bool:
    return name.lower() in ("accept", "content-type") or name.lower().startswith("mcp-")


@asynccontextmanager
async def workspace(**options: Any) -> AsyncIterator[FakeWorkspace]:
    """A fake at a port of its own."""
    fake = FakeWorkspace(**options)
    async with fake.running():
        yield fake


@asynccontextmanager
async def opened(fake: Fake) -> AsyncIterator[Fake]:
    """A fake of one's own at a port of its own."""
    async with fake.running():
        yield fake
