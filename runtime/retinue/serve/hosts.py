"""A request's Host → whether it can be meant for this machine, or a 403.

A page of another site can have its own name point to 127.0.0.1 (DNS rebinding): a browser then
takes this server for that site, and lets the page ask and read it. The name gives it away.
"""

import ipaddress

from starlette.types import ASGIApp, Receive, Scope, Send

from retinue.errors import RequestError
from retinue.serve.access import record_of
from retinue.serve.answers import send_error
from retinue.serve.wire.errors import request_error

# Nobody can have a name below these in public DNS; Docker calls its host `host.docker.internal`.
_LOCAL = ("localhost", "local", "internal")


class LocalHosts:
    """ASGI middleware for a server that only its own machine reaches, and that checks no callers.

    Addresses, names without a dot, and names that public DNS doesn't have are let through.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hosts = [value for name, value in scope.get("headers", ()) if name == b"host"]
        if scope["type"] != "http" or all(map(is_local, hosts)):
            await self._app(scope, receive, send)
            return
        error = RequestError(
            "This server is for its own machine and checks no callers, so it answers to no public "
            "name: ask it at localhost, or give its agents `auth: {mode: api_key}`.",
            code="unknown_host",
            status=403,
        )
        record_of(scope).fault = "unknown_host"
        await send_error(send, request_error(error))


def is_local(host: bytes) -> bool:
    """Whether a Host is this machine or one of its network, and no name of public DNS."""
    name = host.decode("latin-1").strip().lower()
    bare = name[1:].partition("]")[0] if name[:1] == "[" else name.partition(":")[0].rstrip(".")
    *above, last = bare.split(".")
    return not above or last in _LOCAL or _is_address(bare)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
