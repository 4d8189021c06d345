"""The bytes of an answer → the chunks in them, as they come in.

An answer is an event stream, or one JSON value from a server that doesn't stream; which of them
is told by its first character, as servers mislabel both. Raises ModelError for what is neither,
and for what outgrows its bounds.
"""

import zlib
from collections.abc import Iterator
from typing import Any

import orjson

from retinue.errors import ModelError
from retinue.run.models.direct.sse import EventStream

# Bytes, unpacked. One event may hold a whole answer; a stream repeats its frame with every token.
LONGEST_EVENT = 16_000_000
LONGEST_ANSWER = 64_000_000
_STEP = 65_536

_DONE = b"[DONE]"
_BOM = b"\xef\xbb\xbf"
# zlib's number for a header of its own or of gzip.
_EITHER_HEADER = 47


class Reply:
    """One answer. `done` is set by the event that says that there are no more."""

    def __init__(self, encoding: str = "") -> None:
        self._unpacking = _unpacking(encoding)
        self._events = EventStream(LONGEST_EVENT)
        self._whole: list[bytes] | None = None
        self._sniffed = False
        self._size = 0
        self._begun = False
        self.done = False

    def unpacked(self, piece: bytes) -> Iterator[bytes]:
        """The piece without its packing, in parts that are none too long."""
        unpacking, left = self._unpacking, piece
        if unpacking is None:
            yield piece
            return
        try:
            while left:
                yield unpacking.decompress(left, _STEP)
                left = unpacking.unconsumed_tail
        except zlib.error:
            raise ModelError("unavailable", "the model's answer can't be unpacked") from None

    def take(self, part: bytes) -> list[Any]:
        """The chunks that an unpacked part completes."""
        self._size += len(part)
        if not self._sniffed:
            self._sniff(part)
        if self._whole is not None:
            self._whole.append(part)
        if self._size > (LONGEST_ANSWER if self._whole is None else LONGEST_EVENT):
            raise ModelError("unavailable", f"the model's answer grew over {self._size:,} bytes")
        return [] if self._whole is not None or self.done else self._chunks(part)

    def _sniff(self, part: bytes) -> None:
        start = part.removeprefix(_BOM).lstrip()
        if start:
            self._sniffed = True
            if start[:1] == b"{":
                self._whole = []
            elif start[:1] == b"<":
                raise ModelError("unavailable", "the model's address answered with a web page")

    def _chunks(self, part: bytes) -> list[Any]:
        chunks: list[Any] = []
        for event in self._events.take(part):
            chunks += self._decoded(event)
            if self.done:
                break
        self._begun = self._begun or bool(chunks)
        return chunks

    def _decoded(self, event: bytes) -> list[Any]:
        if event == _DONE:
            self.done = True
            return []
        try:
            return [orjson.loads(event)]
        except orjson.JSONDecodeError:
            pass
        # Some servers leave out the blank lines between their events.
        chunks: list[Any] = []
        for line in event.split(b"\n"):
            if line.strip().startswith(_DONE):
                self.done = True
                break
            if line and not line.isspace():
                chunks.append(self._json(line, "the model sent an event that is no JSON"))
        return chunks

    def _json(self, text: bytes, problem: str) -> Any:
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            raise ModelError("truncated" if self._begun else "unavailable", problem) from None

    def end(self) -> list[Any]:
        """The chunks that the end of the bytes completes."""
        if self._unpacking is not None and not self._unpacking.eof:
            raise ModelError("truncated", "the model broke off its answer")
        if self._whole is not None:
            body = b"".join(self._whole).removeprefix(_BOM)
            return [self._json(body, "the model's answer is no JSON")]
        self._begun = True
        return [chunk for event in self._events.end() for chunk in self._decoded(event)]


def _unpacking(encoding: str) -> Any:
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return None
    if name in ("gzip", "x-gzip", "deflate"):
        return zlib.decompressobj(_EITHER_HEADER)
    raise ModelError("unavailable", "the model's answer is packed in a way that wasn't asked for")
