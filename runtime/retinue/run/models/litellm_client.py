"""LiteLLM's HTTP client → one that follows no redirect and shows its answers' bytes to a `Wire`.

Imported when litellm is: its HTTP library takes its time too.
"""

import asyncio
import importlib
from collections.abc import AsyncGenerator
from typing import Any

import httpx

from retinue.run.models.wire import Wire, current_wire

# Seconds, and bytes: how much of a refusal is read for its code. Its status is known already.
_REFUSAL_WAIT = 0.5
_REFUSAL_BYTES = 64_000
# Packed bytes could be neither watched nor kept from growing without bound.
_PLAIN = {"Accept-Encoding": "identity"}


class _Watched(httpx.AsyncByteStream):
    def __init__(self, stream: Any, wire: Wire) -> None:
        self._stream = stream
        self._wire = wire

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        async for piece in self._stream:
            self._wire.saw(piece)
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Refusal(httpx.AsyncByteStream):
    """The beginning of an answer that is no success: LiteLLM would wait for all of it."""

    def __init__(self, stream: Any, wire: Wire) -> None:
        self._stream = stream
        self._wire = wire

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        left = _REFUSAL_BYTES
        pieces = aiter(self._stream)
        end = asyncio.get_running_loop().time() + _REFUSAL_WAIT
        while left > 0:
            try:
                async with asyncio.timeout_at(end):
                    piece = await anext(pieces, b"")
            except TimeoutError:
                return
            if not piece:
                return
            self._wire.refused += piece[:left]
            yield piece[:left]
            left -= len(piece)

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _watched(response: httpx.Response) -> None:
    wire = current_wire()
    if wire is not None:
        wire.took(response)
        if response.is_success:
            response.stream = _Watched(response.stream, wire)
        else:
            # Half of something packed can't be read, and for some a length that isn't kept is
            # an error.
            response.stream = _Refusal(response.stream, wire)
            response.headers.pop("content-encoding", None)


def open_client() -> Any:
    """A client for those of LiteLLM's providers that take its own `AsyncHTTPHandler`."""
    # A redirect would carry the prompt, and on the same host the key, to where no route points.
    client = _handlers().AsyncHTTPHandler(
        event_hooks={"response": [_watched]}, follow_redirects=False
    )
    client.client.headers.update(_PLAIN)
    return client


def open_session() -> httpx.AsyncClient:
    """A client for those that LiteLLM asks with OpenAI's library; good in every event loop."""
    transport = _handlers().AsyncHTTPHandler.create_async_transport()
    return httpx.AsyncClient(
        transport=transport,
        event_hooks={"response": [_watched]},
        follow_redirects=False,
        headers=_PLAIN,
    )


def _handlers() -> Any:
    return importlib.import_module("litellm.llms.custom_httpx.http_handler")
