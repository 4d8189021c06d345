"""A URL → a link to a server of the oldest protocol, with HTTP+SSE: one stream in, POSTs out.

Source: https://modelcontextprotocol.io/specification/2024-11-05/basic/transports#http-with-sse
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Any, Self

import anyio
import httpx2
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from httpx2 import EventSource, ServerSentEvent, SSEError
from mcp.shared.message import SessionMessage
from mcp.types import (
    INTERNAL_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCRequest,
    jsonrpc_message_adapter,
)

from retinue.agent import ToolServer
from retinue.run.mcp.faults import LinkError
from retinue.run.mcp.http import endpoint_of
from retinue.run.mcp.http_client import CONNECT, LARGEST_ANSWER, QuietClient, trust
from retinue.run.mcp.link import Exchange, Streams, exchange
from retinue.run.mcp.secrets import Secrets

# Seconds without a sign of life; servers send a comment every 15 or so.
_IDLE = 300.0
_MOST_REDIRECTS = 3

Incoming = MemoryObjectSendStream[SessionMessage | Exception]


class SseLink:
    """One stream of events and the address that it names. `lost` is called when the stream ends.

    `opened` tells whether the server took the older protocol up at all.
    """

    def __init__(self, server: ToolServer, secrets: Secrets, lost: Callable[[], None]) -> None:
        self._server = server
        self._secrets = secrets
        self._lost = lost
        self._fault: LinkError | None = None
        self._reader: asyncio.Task[None] | None = None
        self._posts: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()
        self.opened = False

    def fault(self) -> LinkError | None:
        return self._fault

    async def __aenter__(self) -> Streams:
        endpoint = await endpoint_of(self._server, self._secrets, None)
        client = QuietClient(
            endpoint.shown,
            recorded=("GET", "POST"),
            headers={"accept-encoding": "identity", **endpoint.headers},
            timeout=httpx2.Timeout(30.0, connect=CONNECT, read=self._server.timeout + 5),
            verify=trust(),
        )
        record = exchange.get() or Exchange()
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(client)
            response = await _opened(client, endpoint.url)
            stack.push_async_callback(response.aclose)
            if response.status_code != httpx2.codes.OK or record.fault:
                raise record.fault or LinkError(record.words())
            events = aiter(EventSource(response, max_event_size=LARGEST_ANSWER))
            target = await _named(events, response.url)
            self.opened = True
            into: Incoming
            incoming: MemoryObjectReceiveStream[SessionMessage | Exception]
            into, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
            self._reader = asyncio.create_task(self._read(events, into, record))
            stack.push_async_callback(self._stop)
            self._stack = stack.pop_all()
        return incoming, _Outbox(lambda item: self._send(client, target, item, into))

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(exc_type, exc, traceback)

    async def _stop(self) -> None:
        tasks = [task for task in (self._reader, *self._posts) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(
        self, events: AsyncIterator[ServerSentEvent], into: Incoming, record: Exchange
    ) -> None:
        try:
            async with into:
                async for event in events:
                    if event.event == "message" and event.data:
                        with suppress(ValueError):
                            message = jsonrpc_message_adapter.validate_json(
                                event.data, by_name=False
                            )
                            await into.send(SessionMessage(message))
                self._fault = record.fault or LinkError("it closed its stream of events")
        except SSEError:
            self._fault = LinkError("it sent an event that is too large")
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return  # the session is leaving
        finally:
            self._lost()

    async def _send(
        self, client: QuietClient, target: httpx2.URL, item: SessionMessage, into: Incoming
    ) -> None:
        # In the sender's context, so that the answer is noted in its own exchange.
        post = asyncio.create_task(self._post(client, target, item, into))
        self._posts.add(post)
        post.add_done_callback(self._posts.discard)
        if not isinstance(item.message, JSONRPCRequest):
            # What comes next may count on it: `initialized` comes before the first request.
            await asyncio.wait({post})

    async def _post(
        self, client: QuietClient, target: httpx2.URL, item: SessionMessage, into: Incoming
    ) -> None:
        body = item.message.model_dump(by_alias=True, mode="json", exclude_unset=True)
        request = client.build_request("POST", target, json=body)
        response = await client.send(request, stream=True)
        await response.aclose()
        if response.status_code >= httpx2.codes.MULTIPLE_CHOICES and isinstance(
            item.message, JSONRPCRequest
        ):
            # No answer will come: its sender shall not wait for one.
            error = ErrorData(code=INTERNAL_ERROR, message="it refused the message")
            refusal = JSONRPCError(jsonrpc="2.0", id=item.message.id, error=error)
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                await into.send(SessionMessage(refusal))


class _Outbox:
    """mcp's WriteStream: every message is posted as it comes."""

    def __init__(self, send: Callable[[SessionMessage], Any]) -> None:
        self._send = send
        self._closed = False

    async def send(self, item: SessionMessage) -> None:
        if self._closed:
            raise anyio.ClosedResourceError
        await self._send(item)

    async def aclose(self) -> None:
        self._closed = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


async def _opened(client: QuietClient, url: str) -> httpx2.Response:
    """The answer to GET, after redirects within its origin: servers add a slash."""
    request = client.build_request(
        "GET",
        url,
        headers={"accept": "text/event-stream"},
        timeout=httpx2.Timeout(30.0, connect=CONNECT, read=_IDLE),
    )
    for _ in range(_MOST_REDIRECTS):
        response = await client.send(request, stream=True)
        following = response.next_request
        if following is None or _origin(following.url) != _origin(request.url):
            break
        await response.aclose()
        request = following
    return response


async def _named(events: AsyncIterator[ServerSentEvent], opened: httpx2.URL) -> httpx2.URL:
    """Where messages go, as the first event says. Raises LinkError."""
    try:
        async for event in events:
            if event.event == "endpoint":
                target = opened.join(event.data)
                if _origin(target) != _origin(opened):
                    raise LinkError("it wants its messages sent elsewhere")
                return target
    except SSEError:
        raise LinkError("its answer is not a stream of events") from None
    except httpx2.InvalidURL:
        raise LinkError("it wants its messages sent to no URL") from None
    raise LinkError("its stream of events ended before it named an address for messages")


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
