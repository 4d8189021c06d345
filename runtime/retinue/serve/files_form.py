"""The body of an upload → its fields, and its one file in a spool on disk, piece by piece."""

import asyncio
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.types import Message, Receive

from retinue.errors import RequestError
from retinue.serve.body import HungUpError

SILENCE = 30.0
"""Seconds without a byte, after which an upload is given up."""
LONGEST = 1800.0
"""Seconds of a whole upload."""
_MOST_PARTS = 16
_LONGEST_FIELD = 4096
_HEAD = 512
_BUFFER = 1024 * 1024


class UploadForm:
    """What came in. `name` is the file's as it was given, None where there was no file; `fields`
    are the others; `beginning` are the file's first bytes, `size` all of them.
    """

    def __init__(self, spool: BinaryIO, most: int) -> None:
        self.fields: dict[str, str] = {}
        self.name: str | None = None
        self.size = 0
        self.beginning = b""
        self.whole = False
        self._spool = spool
        self._most = most
        self._parts = 0
        self._header = bytearray(), bytearray()
        self._part: tuple[str, str | None] = ("", None)
        self._field = bytearray()
        self._buffer = bytearray()

    async def read(self, receive: Receive, boundary: bytes) -> None:
        """The whole body. Raises RequestError: 400, 408 or 413; HungUpError; and OSError."""
        parser = self._parser(boundary)
        more = True
        while more:
            message = await receive_in_time(receive)
            try:
                parser.write(message.get("body", b""))
            except FormParserError:
                raise _malformed() from None
            if len(self._buffer) >= _BUFFER:
                await self._flush()
            more = bool(message.get("more_body"))
        await self._flush()
        if not self.whole:
            raise _malformed()

    def _parser(self, boundary: bytes) -> MultipartParser:
        return MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                "on_header_end": self._read_header,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._finish,
            },
        )

    async def _flush(self) -> None:
        if self._buffer:
            piece, self._buffer = self._buffer, bytearray()
            await asyncio.to_thread(self._spool.write, piece)

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise RequestError("The form has too many parts.", code="invalid_value")
        self._part = ("", None)
        self._field.clear()

    def _read_header(self) -> None:
        field, value = (bytes(part).strip() for part in self._header)
        for part in self._header:
            part.clear()
        if field.lower() != b"content-disposition":
            return
        _, given = parse_options_header(value)
        name = given.get(b"filename")
        self._part = (
            given.get(b"name", b"").decode("utf-8", "replace"),
            None if name is None else name.decode("utf-8", "replace"),
        )
        if self._part[0] == "file":
            if self.name is not None or name is None:
                rule = "must be one file, with a filename"
                raise RequestError(f"'file' {rule}.", param="file", code="invalid_value")
            self.name = self._part[1]

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part[0] == "file":
            self.size += end - start
            if self.size > self._most:
                raise too_large(self._most)
            if len(self.beginning) < _HEAD:
                self.beginning += data[start : min(end, start + _HEAD)]
            self._buffer += memoryview(data)[start:end]
            return
        self._field += data[start : min(end, start + _LONGEST_FIELD + 1)]
        if len(self._field) > _LONGEST_FIELD:
            raise RequestError("A field of the form is too long.", code="invalid_value")

    def _end(self) -> None:
        if self._part[0] != "file":
            self.fields[self._part[0]] = self._field.decode("utf-8", "replace")

    def _finish(self) -> None:
        self.whole = True


async def read_form(receive: Receive, boundary: bytes, spool: Path, most: int) -> UploadForm:
    """The form of a body; its file of up to `most` bytes is in `spool` then.

    Raises what `UploadForm.read` does.
    """
    file = await asyncio.to_thread(spool.open, "wb")
    try:
        async with asyncio.timeout(LONGEST):
            form = UploadForm(file, most)
            await form.read(receive, boundary)
    except TimeoutError:
        raise _late() from None
    finally:
        await asyncio.shield(asyncio.to_thread(file.close))
    return form


async def receive_in_time(receive: Receive) -> Message:
    """The next piece of a body. Raises RequestError and HungUpError."""
    try:
        async with asyncio.timeout(SILENCE):
            message = await receive()
    except TimeoutError:
        raise _late() from None
    if message["type"] == "http.disconnect":
        raise HungUpError
    return message


def boundary_of(content_type: str) -> bytes:
    """What stands between the parts. Raises RequestError for what is no form."""
    kind, given = parse_options_header(content_type)
    boundary = given.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 1 <= len(boundary) <= 70:
        message = "The content-type must be multipart/form-data, with a boundary."
        raise RequestError(message, code="unsupported_media_type", status=415)
    return boundary


def too_large(most: int) -> RequestError:
    """The file has more bytes than any may have."""
    message = f"The file is larger than {most // 1024**2} MiB."
    return RequestError(message, param="file", code="file_too_large", status=413)


def _late() -> RequestError:
    message = "The file did not arrive in time."
    return RequestError(message, code="request_timeout", status=408)


def _malformed() -> RequestError:
    message = "The body is not a whole multipart form: it was cut, or has another boundary."
    return RequestError(message, code="malformed_form")
