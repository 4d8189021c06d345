"""HTTP bytes → ASGI as uvicorn does it, with limits on heads and errors in OpenAI's form.

A request that offers an upgrade keeps its body: Java's client and some proxies add `Upgrade: h2c`
to ordinary requests. RFC 9110 §7.8 lets a server ignore it; uvicorn's parser stops at the end of
such a head and the body is lost.
"""

import asyncio
import re
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from retinue.serve.access import RequestRecord, new_id, tell
from retinue.serve.hang_up import Line
from retinue.serve.wire.errors import HEAD_TOO_LARGE, HEAD_TOO_SLOW, MALFORMED, ErrorAnswer

MAX_HEAD = 64 * 1024
"""Bytes of a request's line and headers."""
MAX_HEADERS = 200
_HEAD_END = b"\r\n\r\n"
# As long as what it replaces, so that nothing moves; nobody reads it.
_OFFER = re.compile(rb"(?i)(?<=\r\n)upgrade(?=[ \t]*:)")
_IGNORED = b"x-upgrd"


class Protocol(HttpToolsProtocol):
    """Nothing is ever upgraded here: no WebSocket, no HTTP/2."""

    head_seconds = 20.0
    """How long a request's head may take, and a new connection's silence before it."""
    rest_seconds = 20.0
    """How long the rest of a body may take whose request is answered already, such as by 401."""

    _inside_message = False
    _inside_head = False
    _head_size = 0
    _large_piece = False
    _head_timer: asyncio.TimerHandle | None = None
    _rest_timer: asyncio.TimerHandle | None = None
    _fault: ErrorAnswer = MALFORMED

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._line = Line()
        self._head_timer = self.loop.call_later(self.head_seconds, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_rest()
        super().connection_lost(exc)
        self._line.lose()

    def data_received(self, data: bytes) -> None:
        if not self._inside_message:
            head, end, rest = data.partition(_HEAD_END)
            data = _OFFER.sub(_IGNORED, head) + end + rest
            self._large_piece = len(data) > MAX_HEAD
        super().data_received(data)
        if self._inside_head and not self.transport.is_closing():
            self._head_size += len(data)
            if self._head_size > MAX_HEAD:
                self._refuse(HEAD_TOO_LARGE)
            elif self._head_timer is None:
                self._head_timer = self.loop.call_later(self.head_seconds, self._too_slow)

    def on_message_begin(self) -> None:
        self._inside_message = self._inside_head = True
        self._head_size = 0
        self._unset_keepalive_if_required()
        super().on_message_begin()
        self._line.offer(self.scope)  # type: ignore[arg-type]

    def on_headers_complete(self) -> None:
        self._inside_head = False
        self._stop_timer()
        if len(self.headers) > MAX_HEADERS or (self._large_piece and self._too_large()):
            self._fault = HEAD_TOO_LARGE
            raise ValueError("the head is too large")
        super().on_headers_complete()
        if self.scope["http_version"] == "1.0":
            _end_with_the_connection(self.cycle)

    def on_message_complete(self) -> None:
        self._inside_message = False
        super().on_message_complete()
        if not self.pipeline:
            # Paused by a large body, the connection would not be heard of any more.
            self.flow.resume_reading()
        if self.cycle.response_complete and not self.transport.is_closing():
            # The body has stopped the clock of the silence that follows.
            self._stop_rest()
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        super().on_response_complete()
        inside_body = self._inside_message and not self._inside_head
        if inside_body and self.cycle.response_complete and not self.transport.is_closing():
            self._rest_timer = self.loop.call_later(self.rest_seconds, self.transport.close)

    def send_400_response(self, _message: str) -> None:
        """What uvicorn calls for bytes that aren't HTTP, and for what the callbacks raise."""
        self._refuse(self._fault)

    def timeout_keep_alive_handler(self) -> None:
        """A caller who has not even taken the last answer would hold the connection for ever."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def _too_slow(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self._inside_head:
            self._refuse(HEAD_TOO_SLOW)
        else:
            self.transport.close()

    def _too_large(self) -> bool:
        """Of a head that came in one piece with others or a body."""
        return len(self.url) + sum(len(n) + len(v) for n, v in self.headers) > MAX_HEAD

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_rest(self) -> None:
        if self._rest_timer is not None:
            self._rest_timer.cancel()
            self._rest_timer = None

    @property
    def _answering(self) -> bool:
        """Whether an answer is under way: there is no place in it for another one."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and cycle.response_started and not cycle.response_complete

    def _refuse(self, error: ErrorAnswer) -> None:
        if not self._answering:
            record = RequestRecord(new_id(), status=error.status, fault=error.code or "")
            self.transport.write(_written(error, record.id))
            tell(record)
        self.transport.close()


def _end_with_the_connection(cycle: RequestResponseCycle) -> None:
    """HTTP/1.0 knows no chunks, which uvicorn would send: what has no length ends with the rest."""
    send = cycle.send

    async def unchunked(message: Any) -> None:
        if message["type"] == "http.response.body":
            # Whatever length was told is the sender's own affair.
            cycle.expected_content_length = len(message.get("body", b""))
        await send(message)

    cycle.chunked_encoding = False
    cycle.send = unchunked  # type: ignore[method-assign]


def _written(error: ErrorAnswer, request_id: str) -> bytes:
    body = error.body
    head = (
        f"HTTP/1.1 {error.status} {error.phrase}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        f"x-request-id: {request_id}\r\nconnection: close\r\n\r\n"
    )
    return head.encode("latin-1") + body
