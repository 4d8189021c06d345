"""A tool's answer as MCP has it → a `ToolResult` that a model can read."""

import re
from itertools import islice
from typing import Any, TypeGuard

import orjson
from mcp.types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
)

from retinue.run.events import ToolResult
from retinue.run.mcp.faults import clip
from retinue.run.mcp.secrets import Secrets
from retinue.run.messages import ImagePart

# Characters of text kept, and bytes of structured content given to a program.
MOST_TEXT = 2_000_000
MOST_STRUCTURED = 2_000_000
NOTHING = "(the tool returned nothing)"

_MOST_IMAGES = 8
# Bytes of one image, in base64; what providers take is about this.
_LARGEST_IMAGE = 7_000_000
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_SEEN = ("image/png", "image/jpeg", "image/gif", "image/webp")


def tool_result(result: CallToolResult, secrets: Secrets) -> ToolResult:
    """Its text; or, where it has none, its structured content as JSON; its images; and notes for
    the rest.

    What the server quotes of `secrets` is taken out.
    """
    texts = [text for block in result.content if (text := _text(block)) is not None]
    pictures = list(islice(filter(_is_seen, result.content), _MOST_IMAGES))
    notes = [note for block in result.content if (note := _note(block, pictures)) is not None]
    structured = result.structured_content
    # What can't be JSON is left to the text.
    encoded = b"" if structured is None else _json(structured)
    if not texts and encoded:
        texts = [encoded.decode()]
    fits = encoded and len(encoded) <= MOST_STRUCTURED
    if fits and secrets.redacted(encoded.decode()) != encoded.decode():
        structured = secrets.redacted_json(structured)
    text = capped(secrets.redacted("\n".join([*texts, *notes]))) or NOTHING
    images = tuple(ImagePart(f"data:{p.mime_type};base64,{p.data}") for p in pictures)
    return ToolResult(text, bool(result.is_error), structured if fits else None, images)


def capped(text: str, limit: int = MOST_TEXT) -> str:
    """The text, or its head and its tail with a line that says how much is left out between."""
    if len(text) <= limit:
        return text
    head, tail = limit * 3 // 4, limit // 4
    left_out = len(text) - head - tail
    return f"{text[:head]}\n[… {left_out:,} characters left out …]\n{text[-tail:]}"


def _json(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except (orjson.JSONEncodeError, RecursionError):
        return b""


def _text(block: Any) -> str | None:
    if isinstance(block, TextContent):
        return block.text
    if isinstance(block, EmbeddedResource) and not isinstance(block.resource, BlobResourceContents):
        return block.resource.text
    return None


def _is_seen(block: Any) -> TypeGuard[ImageContent]:
    """Whether it is an image that models take."""
    return (
        isinstance(block, ImageContent)
        and block.mime_type in _SEEN
        and 0 < len(block.data) <= _LARGEST_IMAGE
        and _BASE64.fullmatch(block.data) is not None
    )


def _note(block: Any, pictures: list[ImageContent]) -> str | None:
    """Never the bytes themselves: base64 in a prompt is noise at a price."""
    if isinstance(block, ImageContent | AudioContent):
        size = len(block.data.rstrip("=")) * 3 // 4
        shown = "" if any(block is picture for picture in pictures) else ", not shown"
        return f"[{block.type}: {clip(block.mime_type, 80)}, {size:,} bytes{shown}]"
    if isinstance(block, ResourceLink):
        return f"[resource: {clip(block.name, 200)} at {clip(str(block.uri), 500)}]"
    if isinstance(block, EmbeddedResource) and isinstance(block.resource, BlobResourceContents):
        return f"[resource: {clip(str(block.resource.uri), 500)}, binary, not shown]"
    return None
