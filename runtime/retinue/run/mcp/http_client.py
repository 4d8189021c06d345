"""An HTTP client whose network faults are answers: what went wrong stands in an `Exchange`."""

import ssl
from collections.abc import AsyncIterator
from functools import cache
from typing import Any

import httpx2

from retinue.errors import MissingReferenceError
from retinue.run.mcp.faults import LinkError, clip
from retinue.run.mcp.link import Exchange, exchange

LARGEST_ANSWER = 32 * 2**20
CONNECT = 10.0


@cache
def trust() -> ssl.SSLContext:
    """Built once: it costs more than all the rest of connecting."""
    return httpx2.create_ssl_context()


class QuietClient(httpx2.AsyncClient):
    """Turns a network fault into an answer of its own.

    An exception here would leave mcp's task group and end the session with all its calls.
    `shown` is the address as messages name it. What happens to requests of the methods `recorded`
    is noted in the `exchange` of their sender.
    """

    def __init__(
        self, shown: str, *, recorded: tuple[str, ...] = ("POST",), **options: Any
    ) -> None:
        super().__init__(**options)
        self._shown = shown
        self._recorded = recorded

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        record = (exchange.get() if request.method in self._recorded else None) or Exchange()
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
            # What GET opens is a stream of events, each bounded, that lasts as long as the session.
            most = LARGEST_ANSWER if request.method == "POST" else None
            response.stream = _Body(response.stream, record, most)
        return response


class _Body(httpx2.AsyncByteStream):
    """A response's body that ends, instead of raising, where the network fails or it never ends."""

    def __init__(self, stream: httpx2.AsyncByteStream, record: Exchange, most: int | None) -> None:
        self._stream = stream
        self._record = record
        self._most = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        try:
            async for chunk in self._stream:
                size += len(chunk)
                if self._most is not None and size > self._most:
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
