"""The files and images of a conversation → what its model takes: data it can read, or text.

A stored file is read for its owner, and one at a URL is fetched from hosts that the agent allows. A
document that the model is known not to take, or that models in general don't, becomes its text.
"""

import asyncio
import base64
import binascii
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from retinue.errors import RequestError
from retinue.route import Route
from retinue.run.caller import Caller
from retinue.run.documents import Documents, kind_of
from retinue.run.fetchable import NOT_FETCHED, Fetched, allows
from retinue.run.messages import AudioPart, FilePart, ImagePart, Message, Part, TextPart
from retinue.run.models.media import takes_pdf

if TYPE_CHECKING:
    from retinue.run.fetch import Fetcher

_URL = "https://"
FILE_ID = re.compile(r"file-[0-9A-Za-z]{1,64}")
MOST_BYTES = 32 * 1024 * 1024
"""Of all the stored and fetched files of one request, together."""
_MOST_FETCHED = 10
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_SOUNDS = {"audio/mpeg": "mp3", "audio/wav": "wav", "audio/x-wav": "wav"}
_DATA_URL = re.compile(r"data:([^;,]+)[^,]*;base64,", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Opened:
    """A stored file, whole."""

    name: str
    media_type: str
    content: bytes = field(repr=False)


OpenFile = Callable[[str, str, int], Awaitable[Opened]]
"""A stored file by its id, its owner and the bytes that it may have. Raises RequestError, and what
the store does."""


Fetch = Callable[[str, Sequence[str], int], Awaitable[Fetched]]
"""What is at a URL on one of these hosts, of so many bytes at most; as `Fetcher.fetch`."""


async def _no_files(file_id: str, _owner: str, _most: int) -> Opened:
    raise RequestError(f"There is no file '{file_id}': nothing is stored here.", code="no_store")


class Attachments:
    """Reads them; `open_file` is for who serves to set."""

    def __init__(self) -> None:
        self.open_file: OpenFile = _no_files
        self.fetch: Fetch = self._fetch
        self._fetcher: Fetcher | None = None
        self._documents = Documents()

    async def _fetch(self, url: str, hosts: Sequence[str], most: int) -> Fetched:
        # Off the start-up path of those who fetch nothing: aiohttp.
        from retinue.run.fetch import Fetcher  # noqa: PLC0415

        self._fetcher = self._fetcher or Fetcher()
        return await self._fetcher.fetch(url, hosts, most)

    async def read(
        self,
        conversation: Sequence[Message],
        route: Route,
        caller: Caller,
        hosts: Sequence[str] = (),
    ) -> tuple[Message, ...]:
        """The conversation as its model can be sent it; what is at `hosts` is fetched.

        Raises RequestError for a file that isn't the caller's or can't be read, naming its place.
        What was fetched for an earlier question may be gone by now: its place says so.
        """
        last = max((n for n, m in enumerate(conversation) if m.role == "user"), default=0)
        reading = _Reading(
            self.open_file, self.fetch, self._documents, caller.owner, takes_pdf(route), hosts, last
        )
        return tuple([await reading.message(m, n) for n, m in enumerate(conversation)])


@dataclass(slots=True)
class _Reading:
    open_file: OpenFile
    fetch: Fetch
    documents: Documents
    owner: str
    takes_pdf: bool
    hosts: Sequence[str]
    last: int
    left: int = MOST_BYTES
    fetched: int = 0

    async def message(self, message: Message, index: int) -> Message:
        if not message.parts:
            return message
        parts = []
        for position, part in enumerate(message.parts):
            try:
                parts.append(await self._part(part))
            except RequestError as error:
                if index < self.last and error.code == NOT_FETCHED:
                    parts.append(TextPart("(A file was here, which can't be fetched any more.)"))
                    continue
                place = f"messages[{index}].content[{position}]"
                raise RequestError(
                    str(error), param=place, code=error.code, status=error.status
                ) from None
        texts = "\n".join(part.text for part in parts if isinstance(part, TextPart))
        mixed = any(not isinstance(part, TextPart) for part in parts)
        return replace(message, content=texts, parts=tuple(parts) if mixed else ())

    async def _part(self, part: Part) -> Part:
        if isinstance(part, ImagePart) and FILE_ID.fullmatch(part.url):
            file = await self._open(part.url)
            if not file.media_type.startswith("image/"):
                raise RequestError(f"The file '{part.url}' is no image.", code="invalid_value")
            return ImagePart(await _data_url(file), part.detail)
        if isinstance(part, ImagePart) and self._fetches(part.url):
            file = await self._fetch(part.url, None)
            if file.media_type not in _PICTURES:
                raise RequestError("What is at the URL is no image.", code="invalid_value")
            return ImagePart(await _data_url(file), part.detail)
        if not isinstance(part, FilePart):
            return part
        if FILE_ID.fullmatch(part.data):
            return await self._whole(await self._open(part.data))
        if part.data.startswith(_URL):
            return await self._whole(await self._fetch(part.data, part.filename))
        head = _DATA_URL.match(part.data)
        if head and self._to_text(head[1].lower()):
            content = await asyncio.to_thread(_decoded, part.data[head.end() :])
            return await self._text(Opened(part.filename or "file", head[1].lower(), content))
        return part

    async def _whole(self, file: Opened) -> Part:
        if file.media_type.startswith("image/"):
            return ImagePart(await _data_url(file))
        if file.media_type in _SOUNDS:
            return AudioPart(await _encoded(file), _SOUNDS[file.media_type])
        if self._to_text(file.media_type):
            return await self._text(file)
        return FilePart(await _data_url(file), file.name)

    def _fetches(self, url: str) -> bool:
        """Images elsewhere are for the model to fetch."""
        return url.startswith(_URL) and allows(self.hosts, urlsplit(url).hostname or "")

    async def _fetch(self, url: str, name: str | None) -> Opened:
        if not self._fetches(url):
            raise RequestError(
                "Files are fetched only from hosts that the agent's file lists under "
                "`serve: {file_urls: […]}`, and this one isn't among them.",
                code="unsupported_value",
            )
        self.fetched += 1
        if self.fetched > _MOST_FETCHED:
            raise RequestError(
                f"At most {_MOST_FETCHED} files are fetched for one request.", code="invalid_value"
            )
        found = await self.fetch(url, self.hosts, self.left)
        self.left -= len(found.content)
        kind = found.media_type
        if kind not in (*_PICTURES, *_SOUNDS) and kind_of(kind) is None:
            raise RequestError(
                "The file at the URL is of no kind that is taken.", code="invalid_value"
            )
        return Opened(name or found.name, kind, found.content)

    def _to_text(self, media_type: str) -> bool:
        kind = kind_of(media_type)
        return kind is not None and not (kind == "pdf" and self.takes_pdf)

    async def _open(self, file_id: str) -> Opened:
        file = await self.open_file(file_id, self.owner, self.left)
        self.left -= len(file.content)
        return file

    async def _text(self, file: Opened) -> TextPart:
        return TextPart(await self.documents.text(file.name, file.media_type, file.content))


async def _data_url(file: Opened) -> str:
    return f"data:{file.media_type};base64,{await _encoded(file)}"


async def _encoded(file: Opened) -> str:
    return (await asyncio.to_thread(base64.b64encode, file.content)).decode()


def _decoded(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text)
    except ValueError:
        raise RequestError("The file is not valid base64.", code="invalid_value") from None
