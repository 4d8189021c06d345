"""HTTP bytes → ASGI as uvicorn does it, but a request that offers an upgrade keeps its body.

Java's client and some proxies add `Upgrade: h2c` to ordinary requests. RFC 9110 §7.8 lets a server
ignore it; uvicorn's parser stops at the end of such a head and the body is lost.
"""

import re

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEAD_END = b"\r\n\r\n"
# As long as what it replaces, so that nothing moves; nobody reads it.
_OFFER = re.compile(rb"(?i)(?<=\r\n)upgrade(?=[ \t]*:)")
_IGNORED = b"x-upgrd"


class Protocol(HttpToolsProtocol):
    """Nothing is ever upgraded here: no WebSocket, no HTTP/2."""

    _inside_message = False

    def data_received(self, data: bytes) -> None:
        if not self._inside_message:
            head, end, rest = data.partition(_HEAD_END)
            data = _OFFER.sub(_IGNORED, head) + end + rest
        super().data_received(data)

    def on_message_begin(self) -> None:
        self._inside_message = True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._inside_message = False
        super().on_message_complete()
