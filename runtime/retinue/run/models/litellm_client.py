"""LiteLLM's HTTP client → one that follows no redirect and shows its answers' bytes to a `Wire`.

Imported when litellm is: its HTTP library takes its time too.
"""

import importlib
from collections.abc import AsyncGenerator
from typing import Any

import httpx

from retinue.run.models.wire import Wire, current_wire


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


async def _watched(response: httpx.Response) -> None:
    wire = current_wire()
    if wire is not None:
        wire.took(response)
        response.stream = _Watched(response.stream, wire)


def open_client() -> Any:
    """A client for those of LiteLLM's providers that take its own `AsyncHTTPHandler`."""
    handlers = importlib.import_module("litellm.llms.custom_httpx.http_handler")
    # A redirect would carry the prompt, and on the same host the key, to where no route points.
    return handlers.AsyncHTTPHandler(event_hooks={"response": [_watched]}, follow_redirects=False)
