"""An address and a body → the bytes of the answer. Whatever fails on the way is a `ModelError`."""

import asyncio
import logging
from contextlib import suppress
from typing import Any

import aiohttp
import orjson
from aiohttp.http_exceptions import HttpProcessingError

from retinue.errors import ModelError
from retinue.run.models.direct.address import Address
from retinue.run.models.direct.pool import Pool, reused
from retinue.run.models.faults import broken, refusal

log = logging.getLogger(__name__)

# What aiohttp raises once a connection stands. The last are for an answer that is no HTTP.
_FAILED = (aiohttp.ClientError, HttpProcessingError, OSError)
_CLOSED = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)
_MOST_STALE = 3
# Seconds, and bytes: how much of a refusal is read for its code. Its status is known already.
_REFUSAL_WAIT = 0.5
_REFUSAL_BYTES = 64_000
# Seconds for the end of an answer whose last event is there, so that its connection can be reused.
_END_WAIT = 0.05


class Exchange:
    """An answer under way. It must be closed; a connection that isn't at its end is cut."""

    def __init__(self, model: str, response: aiohttp.ClientResponse) -> None:
        self._model = model
        self._response = response
        self._content = response.content
        self.started = False

    @property
    def encoding(self) -> str:
        """The answer's content encoding."""
        return self._response.headers.get("Content-Encoding", "")

    async def read(self, until: float | None = None) -> bytes:
        """What has come in, empty at the end. A moment `until`, if given, is the end too."""
        try:
            if until is None:
                return await self._content.readany()
            async with asyncio.timeout_at(until):
                return await self._content.readany()
        except _FAILED as error:
            if until is not None:
                return b""
            log.debug("the answer of '%s' broke off: %s", self._model, type(error).__name__)
            raise broken(self._model, started=self.started, connected=True) from None

    async def drain(self) -> None:
        """Take the end of an answer that is known to be complete."""
        if not self._content.at_eof():
            await self.read(asyncio.get_running_loop().time() + _END_WAIT)

    async def aclose(self) -> None:
        """End it, at the provider too if there is more to come."""
        self._response.close()


async def post(pool: Pool, model: str, address: Address, body: bytes) -> Exchange:
    """The answer, once its head is there. Raises ModelError where it is no success."""
    response = await _response(pool, model, address, body)
    if 200 <= response.status < 300:
        return Exchange(model, response)
    try:
        raise refusal(response.status, response.headers, await _json(response), model)
    finally:
        response.close()


async def _response(
    pool: Pool, model: str, address: Address, body: bytes, stale: int = 0
) -> aiohttp.ClientResponse:
    """The answer's head. `stale` connections were found closed by the provider already."""
    reused.set(False)
    try:
        return await pool.session.post(
            address.url,
            data=body,
            headers=address.headers,
            allow_redirects=False,
            **pool.proxy(address.url),
        )
    except (aiohttp.ClientConnectorError, aiohttp.ServerTimeoutError) as error:
        log.debug("no connection to '%s': %s", model, type(error).__name__)
        raise broken(model, started=False, connected=False) from None
    except aiohttp.InvalidURL:
        raise ModelError("not_found", f"the address of '{model}' is no URL") from None
    except _FAILED as error:
        if reused.get() and stale < _MOST_STALE and isinstance(error, _CLOSED):
            # It was closed while nobody used it: that is no answer to this request.
            return await _response(pool, model, address, body, stale + 1)
        log.debug("no answer of '%s': %s", model, type(error).__name__)
        raise broken(model, started=False, connected=True) from None


async def _json(response: aiohttp.ClientResponse) -> Any:
    """The JSON of a refusal, or None."""
    found = b""
    with suppress(*_FAILED):
        async with asyncio.timeout(_REFUSAL_WAIT):
            while len(found) < _REFUSAL_BYTES and (piece := await response.content.readany()):
                found += piece
    try:
        return orjson.loads(found)
    except orjson.JSONDecodeError:
        return None
