"""A URL → a link over streamable HTTP that records what HTTP said and never breaks a session."""

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import cache
from types import TracebackType
from typing import Any

import httpx2
from mcp.client.streamable_http import streamable_http_client

from retinue.agent import Databricks, Http, ToolServer
from retinue.errors import MissingReferenceError
from retinue.run.mcp.databricks import WorkspaceAuth, managed
from retinue.run.mcp.faults import LinkError, clip
from retinue.run.mcp.link import Exchange, Streams, exchange
from retinue.run.mcp.secrets import Secrets
from retinue.run.references import resolved
from retinue.values import Text

_LARGEST_ANSWER = 32 * 2**20
_CONNECT = 10.0


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """`shown` is the address as messages name it: references stay references."""

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
        endpoint = await _endpoint(self._server, self._secrets, self._user_token)
        # A call that was given up must not hold its request for ever.
        timeout = httpx2.Timeout(30.0, connect=_CONNECT, read=self._server.timeout + 5)
        client = _Client(
            endpoint.shown,
            auth=endpoint.auth,
            # Nothing may unpack to more than it weighs, or fail to unpack outside our reach.
            headers={"accept-encoding": "identity", **endpoint.headers},
            timeout=timeout,
            verify=_trust(),
        )
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(client)
            streams = await stack.enter_async_context(
                streamable_http_client(
                    endpoint.url, http_client=client, max_sse_event_size=_LARGEST_ANSWER
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


@cache
def _trust() -> ssl.SSLContext:
    """Built once: it costs more than all the rest of connecting."""
    return httpx2.create_ssl_context()


class _Client(httpx2.AsyncClient):
    """Turns a network fault into an answer of its own.

    An exception here would leave mcp's task group and end the session with all its calls.
    """

    def __init__(self, shown: str, **options: Any) -> None:
        super().__init__(**options)
        self._shown = shown

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        # The stream for the server's own messages (GET) may be refused without harm.
        record = (exchange.get() if request.method == "POST" else None) or Exchange()
        try:
            response = await super().send(request, **options)
        except MissingReferenceError as missing:
            record.fault = LinkError(str(missing), delivered=False)
            return httpx2.Response(503, request=request)
        except (httpx2.TransportError, OSError) as error:
            record.fault = _fault(error, self._shown)
            return httpx2.Response(503, request=request)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            record.fault = LinkError("its answer is compressed, though that was not asked for")
            return httpx2.Response(503, request=request)
        record.status = response.status_code
        record.retry_after = response.headers.get("retry-after")
        if isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _Body(response.stream, record)
        return response


class _Body(httpx2.AsyncByteStream):
    """A response's body that ends, instead of raising, where the network fails or it never ends."""

    def __init__(self, stream: httpx2.AsyncByteStream, record: Exchange) -> None:
        self._stream = stream
        self._record = record

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        try:
            async for chunk in self._stream:
                size += len(chunk)
                if size > _LARGEST_ANSWER:
                    self._record.fault = LinkError("its answer is too large")
                    return
                yield chunk
        except httpx2.TransportError as error:
            self._record.fault = LinkError(_broken(error))

    async def aclose(self) -> None:
        await self._stream.aclose()


def _fault(error: Exception, shown: str) -> LinkError:
    if isinstance(error, httpx2.ConnectTimeout):
        return LinkError(f"{shown} did not accept a connection", delivered=False)
    if isinstance(error, httpx2.ConnectError):
        return LinkError(f"can't connect to {shown}: {clip(str(error))}", delivered=False)
    if isinstance(
        error, httpx2.LocalProtocolError | httpx2.UnsupportedProtocol | httpx2.PoolTimeout
    ):
        # Its text may quote a header.
        return LinkError(f"the request can't be sent ({type(error).__name__})", delivered=False)
    return LinkError(_broken(error))


def _broken(error: Exception) -> str:
    if isinstance(error, httpx2.TimeoutException):
        return "it stopped answering"
    return f"the connection broke ({type(error).__name__})"


async def _endpoint(server: ToolServer, secrets: Secrets, user_token: str | None) -> _Endpoint:
    transport = server.transport
    if isinstance(transport, Databricks):
        url, auth = await managed(transport, secrets, user_token, _trust())
        return _Endpoint(url, url, {}, auth)
    if not isinstance(transport, Http):
        raise TypeError(transport)
    url = resolved(transport.url, secrets)
    _check(url, transport.url)
    headers = {name: resolved(value, secrets) for name, value in transport.headers}
    return _Endpoint(url, _shown(transport.url), headers)


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
