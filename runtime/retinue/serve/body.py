"""An HTTP request that should carry JSON → its bytes, or a RequestError with the right status."""

import asyncio
from collections.abc import Mapping

from starlette.types import Receive, Scope

from retinue.errors import RequestError
from retinue.serve.access import record_of

MAX_BODY = 16 * 1024 * 1024
"""Bytes."""
MAX_SECONDS = 60.0
_SINGLE = (b"content-type", b"content-length", b"content-encoding")


class HungUpError(Exception):
    """The caller went away."""


async def read_json_body(scope: Scope, receive: Receive, limit: int = MAX_BODY) -> bytes:
    """The whole body; with it the request takes its place among those that run.

    Raises RequestError: 400, 403, 408, 413 or 415; RefusedError; and HungUpError.
    """
    record = record_of(scope)
    headers = record.received
    if len(headers) < len(scope["headers"]):
        _check_single([name for name, _ in scope["headers"]])
    _check(headers, limit)
    try:
        async with asyncio.timeout(MAX_SECONDS):
            body = await _read(receive, limit)
    except TimeoutError:
        message = f"The request body did not arrive within {MAX_SECONDS:g} s."
        raise RequestError(message, code="request_timeout", status=408) from None
    if record.begin:
        record.begin()
    return body


def _check_single(names: list[bytes]) -> None:
    for name in _SINGLE:
        if names.count(name) > 1:
            message = f"The header {name.decode()} came more than once."
            raise RequestError(message, code="duplicate_header")


def _check(headers: Mapping[bytes, bytes], limit: int) -> None:
    # A browser page elsewhere may send text/plain with the user's cookies, but not JSON.
    if headers.get(b"sec-fetch-site") == b"cross-site":
        raise RequestError("Requests from other sites are refused.", code="cross_site", status=403)
    media_type = headers.get(b"content-type", b"").split(b";", 1)[0].strip().lower()
    if media_type != b"application/json":
        message = "The content-type must be application/json."
        raise RequestError(message, code="unsupported_media_type", status=415)
    if headers.get(b"content-encoding", b"identity").lower() not in (b"", b"identity"):
        message = "Compressed request bodies are not supported: send it without content-encoding."
        raise RequestError(message, code="unsupported_media_type", status=415)
    length = headers.get(b"content-length", b"")
    if length.isdigit() and (len(length) > 18 or int(length) > limit):
        raise _too_large(limit)


async def _read(receive: Receive, limit: int) -> bytes:
    pieces = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HungUpError
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body"):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _too_large(limit: int) -> RequestError:
    message = f"The request body is larger than {limit // 1024} KiB."
    return RequestError(message, code="request_too_large", status=413)
