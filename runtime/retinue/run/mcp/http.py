"""A URL → a link over streamable HTTP that records what HTTP said and never breaks a session."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType

import httpx2
from mcp.client.streamable_http import streamable_http_client

from retinue.agent import Databricks, Http, ToolServer
from retinue.run.mcp.databricks import WorkspaceAuth, managed
from retinue.run.mcp.faults import LinkError
from retinue.run.mcp.http_client import CONNECT, LARGEST_ANSWER, QuietClient, trust
from retinue.run.mcp.link import Streams
from retinue.run.mcp.secrets import Secrets
from retinue.run.references import resolved
from retinue.values import Text


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server is, and how to sign requests to it.

    `shown` is the address as messages name it: references stay references.
    """

    url: str = field(repr=False)
    shown: str
    headers: dict[str, str] = field(repr=False)
    auth: WorkspaceAuth | None = None


class HttpLink:
    """One MCP endpoint. A `user_token` is for servers of the workspace alone."""

    def __init__(self, server: ToolServer, secrets: Secrets, user_token: str | None) -> None:
        self._server = server
        self._secrets = secrets
        self._user_token = user_token
        self._stack = AsyncExitStack()

    def fault(self) -> LinkError | None:
        return None

    async def __aenter__(self) -> Streams:
        endpoint = await endpoint_of(self._server, self._secrets, self._user_token)
        # A call that was given up must not hold its request for ever.
        timeout = httpx2.Timeout(30.0, connect=CONNECT, read=self._server.timeout + 5)
        client = QuietClient(
            endpoint.shown,
            auth=endpoint.auth,
            # Nothing may unpack to more than it weighs, or fail to unpack outside our reach.
            headers={"accept-encoding": "identity", **endpoint.headers},
            timeout=timeout,
            verify=trust(),
        )
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(client)
            streams = await stack.enter_async_context(
                streamable_http_client(
                    endpoint.url, http_client=client, max_sse_event_size=LARGEST_ANSWER
                )
            )
            self._stack = stack.pop_all()
        return streams

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(exc_type, exc, traceback)


async def endpoint_of(server: ToolServer, secrets: Secrets, user_token: str | None) -> Endpoint:
    """The server's place. Raises LinkError and MissingReferenceError, which say what is wrong."""
    transport = server.transport
    if isinstance(transport, Databricks):
        url, auth = await managed(transport, secrets, user_token, trust())
        return Endpoint(url, url, {}, auth)
    if not isinstance(transport, Http):
        raise TypeError(transport)
    url = resolved(transport.url, secrets)
    _check(url, transport.url)
    headers = {name: resolved(value, secrets) for name, value in transport.headers}
    return Endpoint(url, _shown(transport.url), headers)


def _check(url: str, source: Text) -> None:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        raise LinkError(f"'{_shown(source)}' is not a URL") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise LinkError(f"'{_shown(source)}' is not an http or https URL")


def _shown(url: Text) -> str:
    """The address without query and user, which may hold a secret."""
    text = str(url).partition("?")[0]
    scheme, slashes, rest = text.partition("://")
    return f"{scheme}{slashes}{rest.rpartition('@')[2]}"
