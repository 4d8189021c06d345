"""A Genie space and the identity here → its MCP server, running on stdio or a loopback port."""

import logging
from collections.abc import Callable, Mapping

import uvicorn

from retinue.errors import MissingReferenceError, ToolError, UsageError
from retinue.run.genie_api import Body, GenieApi
from retinue.run.ports import Lookup
from retinue.run.references import environment
from retinue.run.workspace import Workspace
from retinue.serve.mcp_genie import GenieTools, genie_server
from retinue.serve.server import listen
from retinue.values import Ref

log = logging.getLogger("retinue.serve")

_HOST = Ref("workspace", "host", default="")
_BEARER = "bearer "


async def serve_genie(
    space: str,
    *,
    wait: float,
    port: int | None,
    on_ready: Callable[[str], None],
    lookup: Lookup | None = None,
) -> None:
    """Serve until the client leaves, or over HTTP until the process is told to stop.

    Raises MissingReferenceError where nobody is logged in, and UsageError for a space that can't
    be seen; over HTTP callers may bring an identity that does better.
    """
    lookup = lookup or environment()
    identity = Identities(lookup, strangers=port is not None)
    async with GenieApi(await identity.host(), space) as api:
        about = await _about(space, api, identity, sure=port is None)
        server = genie_server(space, about, GenieTools(api, identity.signed, wait=wait))
        if port is None:
            await server.run_stdio_async()
            return
        # mcp answers to the names of loopback alone, which it is told by this address.
        app = server.streamable_http_app(host="127.0.0.1")
        listener = listen("127.0.0.1", port)
        on_ready(f"{listener.url}/mcp")
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=3)
        await uvicorn.Server(config).serve(sockets=[listener.socket])


class Identities:
    """Who asks: a request's own bearer where `strangers` may come, else whoever is logged in."""

    def __init__(self, lookup: Lookup, *, strangers: bool) -> None:
        self._lookup = lookup
        self._strangers = strangers

    async def host(self) -> str:
        """The workspace's URL. Raises MissingReferenceError where none is known."""
        host = self._lookup(_HOST).rstrip("/")
        if not host or not self._strangers:
            return (await Workspace.find(self._lookup)).url
        return host if "://" in host else f"https://{host}"

    async def signed(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """What signs a request of the caller's. Raises MissingReferenceError without a login."""
        own = headers.get("authorization", "")
        if self._strangers and own:
            if own[: len(_BEARER)].lower() != _BEARER or not own.isprintable():
                raise MissingReferenceError("the request's Authorization is no bearer token")
            return {"Authorization": own}
        return await (await Workspace.find(self._lookup)).headers()


async def _about(space: str, api: GenieApi, identity: Identities, *, sure: bool) -> Body:
    try:
        return await api.space(await identity.signed({}))
    except MissingReferenceError:
        if sure:
            raise
    except ToolError as error:
        if sure:
            raise UsageError(f"the Genie space '{space[:60]}' can't be served: {error}") from None
    log.warning("what the Genie space is about can't be told: nobody is logged in who may see it")
    return {}
