"""`/docs`: a page that shows the OpenAPI document; everything it needs comes from this server."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_PAGES = Path(__file__).with_name("pages")
_FILES = {
    "/docs": ("docs.html", "text/html; charset=utf-8"),
    "/docs/docs.js": ("docs.js", "text/javascript; charset=utf-8"),
    "/docs/docs.css": ("docs.css", "text/css; charset=utf-8"),
}
PATHS = tuple(_FILES)
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cache-control": "no-cache",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def routes() -> list[Route]:
    """The page and its two files."""
    return [Route(path, _page(*file), include_in_schema=False) for path, file in _FILES.items()]


def _page(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    content = (_PAGES / name).read_bytes()

    async def page(_request: Request) -> Response:
        return Response(content, media_type=media_type, headers=_HEADERS)

    return page
