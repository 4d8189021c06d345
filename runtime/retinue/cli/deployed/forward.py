"""A request to this machine → the same to a deployed app, signed, and its answer as it comes."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager

import aiohttp
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from retinue.cli.deployed.app import DeployedApp
from retinue.cli.deployed.told import Told, told, unreachable
from retinue.errors import MissingReferenceError
from retinue.run.references import environment
from retinue.run.workspace import Workspace

# Seconds. The platform cuts an answer off after 120.
_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=10, sock_read=150)
_LARGEST_REQUEST = 64 * 2**20
_LARGEST_ANSWER = 64 * 2**20

# The user's own credentials for this machine, what the platform says of callers, and what belongs
# to one connection.
_KEPT_BACK = frozenset(
    {
        "accept-encoding", "authorization", "connection", "content-length", "cookie", "expect",
        "forwarded", "host", "keep-alive", "origin", "proxy-authorization", "proxy-connection",
        "referer", "te", "trailer", "transfer-encoding", "upgrade", "x-real-ip",
    }
)  # fmt: skip
_PASSED_BACK = (
    "content-type", "cache-control", "mcp-session-id", "retry-after", "x-request-id",
    "x-should-retry",
)  # fmt: skip
# A browser on this machine must not be led here by a page from elsewhere.
_OURSELVES = frozenset({"127.0.0.1", "localhost", "[::1]", "host.docker.internal"})

_FAILED = (aiohttp.ClientError, TimeoutError, OSError)


def forwarder(app: DeployedApp) -> Starlette:
    """The ASGI app that forwards `/v1/…` and `/mcp`, also below `/api`, as whoever is logged in.

    It must listen on the loopback address alone: it asks nobody who they are.
    """
    forward = _Forward(app)

    @asynccontextmanager
    async def opened(_app: Starlette) -> AsyncGenerator[None, None]:
        async with aiohttp.ClientSession(
            timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar(), trust_env=True
        ) as session:
            forward.session = session
            yield

    return Starlette(routes=[Mount("/", forward)], lifespan=opened)


class _Forward:
    """ASGI. The caller's hang-up ends the request at the app, too."""

    session: aiohttp.ClientSession

    def __init__(self, app: DeployedApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if not _from_here(headers):
            await _tell(send, _refused("Only this machine may ask here.", 403))
            return
        path = _path(scope)
        if path is None:
            message = "Only /v1 and /mcp are forwarded: a client's base URL ends in one of them."
            await _tell(send, _refused(message, 404))
            return
        body = await _body(receive)
        if body is None:
            return
        if len(body) > _LARGEST_REQUEST:
            await _tell(send, _refused("The body is too large.", 413))
            return
        asked = asyncio.create_task(self._ask(scope["method"], path, headers, body, send))
        gone = asyncio.create_task(_hung_up(receive))
        try:
            await asyncio.wait((asked, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not asked.done():
                asked.cancel()
            await asyncio.wait((asked, gone))
        if not asked.cancelled():
            asked.result()

    async def _ask(self, method: str, path: str, given: Headers, body: bytes, send: Send) -> None:
        try:
            workspace = await Workspace.find(environment())
            signed = await workspace.headers()
        except MissingReferenceError as missing:
            await _tell(send, Told(401, "authentication_error", str(missing), "login_required"))
            return
        headers = {n: v for n, v in given.items() if n not in _KEPT_BACK and not _proxys(n)}
        begun = False
        try:
            async with self.session.request(
                method,
                self._app.url + path,
                data=body or None,
                headers={**headers, **signed, "Accept-Encoding": "identity"},
                allow_redirects=False,
            ) as answer:
                if answer.status == 200 and answer.content_type == "text/event-stream":
                    await _begin(send, answer)
                    begun = True
                    async for piece in answer.content.iter_any():
                        await _send(send, piece)
                    await _send(send, b"", last=True)
                else:
                    await self._whole(answer, send)
        except _FAILED:
            failed = unreachable(self._app.name)
            if begun:
                # Clients read the event as an error; without one the end would look like success.
                await _send(send, b"\n\ndata: " + failed.body + b"\n\n", last=True)
            else:
                await _tell(send, failed)

    async def _whole(self, answer: aiohttp.ClientResponse, send: Send) -> None:
        body = bytearray()
        async for piece in answer.content.iter_any():
            body += piece
            if len(body) > _LARGEST_ANSWER:
                await _tell(send, unreachable(self._app.name))
                return
        if other := told(answer.status, answer.content_type, bytes(body), self._app.name):
            await _tell(send, other)
            return
        await _begin(send, answer)
        await _send(send, bytes(body), last=True)


def _path(scope: Scope) -> str | None:
    """The path at the app: the platform takes tokens for those under `/api/`."""
    path = scope["raw_path"].decode("latin-1").partition("?")[0]
    if path.startswith("/v1/") or path == "/mcp":
        path = f"/api{path}"
    known = path.startswith("/api/v1/") or path == "/api/mcp"
    if not known or "/../" in f"{path}/":
        return None
    query = scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


def _from_here(headers: Headers) -> bool:
    origin = headers.get("origin")
    names = [headers.get("host", "")]
    if origin is not None:
        names.append(origin.partition("://")[2])
    return all(_host(name) in _OURSELVES for name in names)


def _host(name: str) -> str:
    """A name without its port."""
    head, bracket, _ = name.lower().partition("]")
    return head + bracket if bracket else head.partition(":")[0]


def _proxys(name: str) -> bool:
    return name.startswith("x-forwarded-")


async def _body(receive: Receive) -> bytes | None:
    """The request's body, or the beginning of one that is too large; None where the caller left."""
    body = bytearray()
    while len(body) <= _LARGEST_REQUEST:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return bytes(body)


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _begin(send: Send, answer: aiohttp.ClientResponse) -> None:
    found = ((name, answer.headers.get(name)) for name in _PASSED_BACK)
    kept = [(name, value) for name, value in found if value is not None]
    await _start(send, answer.status, kept)


async def _start(send: Send, status: int, headers: Iterable[tuple[str, str]]) -> None:
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": raw})


async def _send(send: Send, body: bytes, *, last: bool = False) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": not last})


async def _tell(send: Send, error: Told) -> None:
    await _start(send, error.status, [("content-type", "application/json")])
    await _send(send, error.body, last=True)


def _refused(message: str, status: int) -> Told:
    return Told(status, "invalid_request_error", message, "not_forwarded")
