"""`/mcp`: a request of MCP's streamable HTTP → the agents as tools, for those who may use them.

What speaks the protocol is imported with the first request: most apps never get one.
"""

import asyncio
import importlib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.types import Message, Receive, Scope, Send

from retinue.errors import RequestError
from retinue.run.runtime import Runtime
from retinue.serve.access import HUNG_UP, record_of
from retinue.serve.answers import send_error
from retinue.serve.body import HungUpError, read_json_body
from retinue.serve.exchange import header
from retinue.serve.hosts import is_local
from retinue.serve.wire.errors import request_error

if TYPE_CHECKING:
    from retinue.serve.mcp_server import AgentsServer

PATHS = ("/mcp", "/api/mcp")
METHODS = ("POST", "DELETE")
"""Without GET: there is nothing to say but in answer to a request."""
MAX_BODY = 4 * 2**20


class McpEndpoint:
    """An ASGI app; `aclose` ends its sessions, and the calls under way with them."""

    def __init__(self, runtime: Runtime, *, max_body: int) -> None:
        self._runtime = runtime
        self._max_body = min(max_body, MAX_BODY)
        self._server: asyncio.Future[AgentsServer] | None = None
        self._holding: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record = record_of(scope)
        try:
            _check_origin(scope)
            body = b""
            if scope["method"] == "POST":
                body = await read_json_body(scope, receive, self._max_body)
            server = await self._opened()
        except HungUpError:
            record.status = HUNG_UP
        except RequestError as error:
            record.fault = error.code or ""
            await send_error(send, request_error(error))
        else:
            await server.handle(scope, _again(body, receive), send)

    async def aclose(self) -> None:
        """Idempotent."""
        if self._holding is not None:
            self._holding.cancel()
            await asyncio.wait({self._holding})

    async def _opened(self) -> "AgentsServer":
        if self._server is None:
            self._server = asyncio.get_running_loop().create_future()
            self._holding = asyncio.create_task(self._hold(self._server))
        return await asyncio.shield(self._server)

    async def _hold(self, opened: "asyncio.Future[AgentsServer]") -> None:
        """Have the server open: its task group has to be left by the task that entered it."""
        try:
            # In a thread: it takes half a second, in which others want to be answered.
            module = await asyncio.to_thread(importlib.import_module, "retinue.serve.mcp_server")
            async with module.AgentsServer(self._runtime) as server:
                opened.set_result(server)
                await asyncio.Event().wait()
        except Exception as error:  # noqa: BLE001 - it is the requests' that wait
            if not opened.done():
                opened.set_exception(error)
            self._server = None
        finally:
            opened.cancel()


def _again(body: bytes, receive: Receive) -> Receive:
    """The body that was read, once more, and then whatever comes."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay


def _check_origin(scope: Scope) -> None:
    """Refuse a page of another site. Raises RequestError (403).

    Pages of this machine may ask a server of this machine, such as MCP's inspector does.
    """
    origin = header(scope, "origin")
    if not origin:
        return
    hosts = [header(scope, "host") or ""]
    if record_of(scope).identity.access_token or record_of(scope).identity.user_id:
        # The proxy's word: it may ask the app by another name.
        hosts.append(header(scope, "x-forwarded-host") or "")
    try:
        asking = urlsplit(origin).netloc.lower()
    except ValueError:
        asking = ""
    if asking and (asking in (host.lower() for host in hosts)):
        return
    if asking and is_local(asking.encode()) and is_local(hosts[0].encode()):
        return
    raise RequestError(
        "Requests from pages of other sites are refused.", code="cross_site", status=403
    )
