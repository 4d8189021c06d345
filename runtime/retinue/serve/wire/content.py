"""Images, sound and files of a request → parts of a message, or a RequestError that names them.

Nothing is fetched here, and no address inside a network is passed on: some who read the message
fetch for themselves.
"""

import binascii
import re
from mimetypes import MimeTypes
from urllib.parse import urlsplit

from retinue.run.attachments import FILE_ID
from retinue.run.fetchable import is_address, is_public
from retinue.run.messages import AudioPart, FilePart, ImagePart, Message, Part, Role, TextPart
from retinue.serve.wire.mistakes import invalid

_LONGEST_URL = 8192
_LONGEST_FILENAME = 255
_DATA_URL = re.compile(
    r"data:([a-z0-9.+-]+/[a-z0-9.+-]+)(?:;[a-z0-9-]+=[\w.+-]+)*;base64,", re.IGNORECASE
)
_DETAILS = (None, "low", "high", "auto")
_SOUNDS = ("wav", "mp3")
# Names that a network gives its own machines.
_INSIDE = ("localhost", "local", "internal", "intranet", "lan", "home", "corp", "arpa", "test")


def image_part(url: str, detail: str | None, *, param: str, detail_param: str) -> ImagePart:
    """An image by its https: or data: URL, which stands at `param`."""
    if detail not in _DETAILS:
        raise invalid(detail_param, "must be 'low', 'high' or 'auto'")
    if url[:5].lower() == "data:":
        if not _checked_data_url(url, param).startswith("image/"):
            raise invalid(param, "must be an image: its media type is another one")
    else:
        _check_public(url, param)
    return ImagePart(url, detail)


def audio_part(data: str, sound: str, *, param: str, format_param: str) -> AudioPart:
    """Sound in base64."""
    if sound not in _SOUNDS:
        raise invalid(format_param, "must be 'wav' or 'mp3'")
    _check_base64(data, param)
    return AudioPart(data, sound)


def file_part(data: str, filename: str | None, *, param: str) -> FilePart:
    """A document: a data: URL, or bare base64 whose kind the name tells."""
    name = file_name(filename)
    if data[:5].lower() == "data:":
        _checked_data_url(data, param)
        return FilePart(data, name)
    _check_base64(data, param)
    media_type = MimeTypes().guess_type(name or "")[0]
    if media_type is None:
        raise invalid(param, "must be a data: URL, or its filename must tell what it is")
    return FilePart(f"data:{media_type};base64,{data}", name)


def file_at(url: str, filename: str | None, *, param: str) -> FilePart:
    """A document by its https: URL; whether it is fetched is the agent's to say."""
    _check_public(url, param)
    # The scheme is written in any case.
    return FilePart(f"https{url[5:]}", file_name(filename))


def stored_image(file_id: str, detail: str | None, *, param: str, detail_param: str) -> ImagePart:
    """An image that the caller has stored."""
    if detail not in _DETAILS:
        raise invalid(detail_param, "must be 'low', 'high' or 'auto'")
    return ImagePart(_file_id(file_id, param), detail)


def stored_file(file_id: str, *, param: str) -> FilePart:
    """A document that the caller has stored."""
    return FilePart(_file_id(file_id, param))


def message_of(role: Role, parts: list[Part], *, name: str | None = None) -> Message:
    """A message of these parts: plain text where there is nothing else."""
    text = "\n".join(part.text for part in parts if isinstance(part, TextPart))
    mixed = any(not isinstance(part, TextPart) for part in parts)
    return Message(role, text, name=name, parts=tuple(parts) if mixed else ())


def _file_id(file_id: str, param: str) -> str:
    if not FILE_ID.fullmatch(file_id):
        raise invalid(param, "is not the id of a file: store one with POST /v1/files")
    return file_id


def _checked_data_url(url: str, param: str) -> str:
    """The media type of a data: URL."""
    head = _DATA_URL.match(url)
    if not head:
        raise invalid(param, "must be a data: URL in base64: data:TYPE;base64,DATA")
    _check_base64(url[head.end() :], param)
    return head[1].lower()


def _check_base64(data: str, param: str) -> None:
    try:
        decoded = binascii.a2b_base64(data, strict_mode=True)
    except ValueError:
        raise invalid(param, "is not valid base64") from None
    if not decoded:
        raise invalid(param, "must not be empty")


def _check_public(url: str, param: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise invalid(param, "is not a valid URL") from None
    if parts.scheme != "https" or not host:
        raise invalid(param, "must be an https: or data: URL")
    if len(url) > _LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise invalid(param, f"must be a URL of at most {_LONGEST_URL} plain characters")
    if parts.username is not None or parts.password is not None:
        raise invalid(param, "must not carry a user's name or password")
    if not _is_public(host):
        raise invalid(param, "must be on a public address")


def _is_public(host: str) -> bool:
    """By its looks alone: what a name stands for is known to who fetches it."""
    if is_address(host):
        return is_public(host)
    *above, last = host.split(".")
    # 127.1, 0x7f000001 and 2130706433 are addresses too; no name ends in a number.
    return bool(above) and all(above) and last[:1].isalpha() and last not in _INSIDE


def file_name(given: str | None) -> str | None:
    """The last part of a path, fit to be shown."""
    bare = re.split(r"[/\\]", given or "")[-1]
    return "".join(c for c in bare if c.isprintable())[-_LONGEST_FILENAME:] or None
