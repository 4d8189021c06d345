"""Stored files ↔ OpenAI's file objects, and what a request for them may ask.

Format: OpenAI's `OpenAIFile`, `CreateFileRequest` and `ListFilesResponse` (openai-openapi v2.3.0).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from mimetypes import MimeTypes
from typing import TYPE_CHECKING, Any

from retinue.errors import RequestError
from retinue.serve.wire.content import file_name
from retinue.serve.wire.listed import shown
from retinue.serve.wire.mistakes import invalid, missing

if TYPE_CHECKING:
    from retinue.store.files import StoredFile

PURPOSES = ("assistants", "user_data", "vision")
_MOST_LISTED = 10_000
_SHORTEST, _LONGEST = 3600, 30 * 24 * 3600
_TYPES = MimeTypes()
# Python's own list has these since 3.12 or later, or by another name.
for _type, _ending in (
    ("text/markdown", ".md"),
    ("text/csv", ".csv"),
    ("text/yaml", ".yaml"),
    ("text/yaml", ".yml"),
    ("text/plain", ".log"),
    ("text/plain", ".jsonl"),
    ("application/json", ".json"),
    ("image/webp", ".webp"),
    ("audio/wav", ".wav"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", ".docx"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", ".xlsx"),
):
    _TYPES.add_type(_type, _ending)
# What a file of the type begins with; None is text, where no byte is zero.
_BEGINNINGS: Mapping[str, tuple[bytes, ...]] = {
    "application/pdf": (b"%PDF-",),
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": (b"PK\x03\x04",),
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": (b"PK\x03\x04",),
    "image/gif": (b"GIF8",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/webp": (b"RIFF",),
    "audio/mpeg": (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2"),
    "audio/wav": (b"RIFF",),
    "audio/x-wav": (b"RIFF",),
}
_TEXTS = ("application/json", "application/xhtml+xml")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_SECONDS = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class FileForm:
    """What came beside a file's bytes. `seconds` is how long it is kept; None is for ever."""

    name: str
    media_type: str
    purpose: str
    seconds: int | None


def file_form(fields: Mapping[str, str], name: str | None, beginning: bytes) -> FileForm:
    """The form of an upload, whose file begins so. Raises RequestError."""
    if name is None:
        raise missing("file")
    plain = file_name(name) or "file"
    if "purpose" not in fields:
        raise missing("purpose")
    if fields["purpose"] not in PURPOSES:
        raise invalid("purpose", "must be 'assistants', 'user_data' or 'vision' here")
    kind = _media_type(plain, beginning)
    return FileForm(plain, kind, fields["purpose"], _seconds(fields))


def _media_type(name: str, beginning: bytes) -> str:
    """By the name's ending, where the bytes don't belie it; what a client says doesn't count."""
    kind = _TYPES.guess_type(name)[0] or ""
    if kind.startswith("text/") or kind in _TEXTS:
        if b"\0" in beginning and not beginning.startswith(_UTF_16):
            raise _refused(f"The file '{name}' is no text, as its name says.")
    elif kind not in _BEGINNINGS:
        raise _refused(
            f"Files such as '{name}' are not taken: text, CSV, JSON, HTML, PDF, DOCX, XLSX, images "
            "and sound are, by the endings of their names."
        )
    elif not beginning.startswith(_BEGINNINGS[kind]):
        raise _refused(f"The file '{name}' is another kind of file than its name says.")
    return kind


def _refused(message: str) -> RequestError:
    return RequestError(message, param="file", code="unsupported_file_type")


def _seconds(fields: Mapping[str, str]) -> int | None:
    anchor, seconds = (fields.get(f"expires_after[{key}]") for key in ("anchor", "seconds"))
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise invalid("expires_after[anchor]", "must be 'created_at'")
    found = int(seconds) if seconds and _SECONDS.fullmatch(seconds) else 0
    if not _SHORTEST <= found <= _LONGEST:
        rule = f"must be an integer from {_SHORTEST} to {_LONGEST}"
        raise invalid("expires_after[seconds]", rule)
    return found


@dataclass(frozen=True, slots=True)
class FileQuery:
    """What of a list is asked for."""

    purpose: str | None
    after: str | None
    limit: int
    newest_first: bool


def file_query(query: Mapping[str, str]) -> FileQuery:
    """The query of a list. Raises RequestError."""
    limit = query.get("limit") or str(_MOST_LISTED)
    if not _SECONDS.fullmatch(limit) or not 1 <= int(limit) <= _MOST_LISTED:
        raise invalid("limit", f"must be an integer from 1 to {_MOST_LISTED}")
    order = query.get("order") or "desc"
    if order not in ("asc", "desc"):
        raise invalid("order", "must be 'asc' or 'desc'")
    purpose, after = query.get("purpose") or None, query.get("after") or None
    return FileQuery(purpose, after, int(limit), order == "desc")


def file_object(file: "StoredFile") -> dict[str, Any]:
    """`GET /v1/files/{id}`."""
    told: dict[str, Any] = {
        "id": file.id,
        "object": "file",
        "bytes": file.size,
        "created_at": int(file.created_at),
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
    }
    if file.expires_at is not None:
        told["expires_at"] = int(file.expires_at)
    return told


def file_list(found: "Sequence[StoredFile]", limit: int) -> dict[str, Any]:
    """A page of up to `limit`; `found` may have one more."""
    data = [file_object(file) for file in found[:limit]]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(found) > limit,
    }


def no_file(file_id: str, param: str = "file_id") -> RequestError:
    """There is no such file, or it is somebody else's."""
    message = f"There is no file '{shown(file_id)}'."
    return RequestError(message, param=param, code="file_not_found", status=404)
