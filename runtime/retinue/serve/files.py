"""`/v1/files`: OpenAI's files, each caller's own."""

from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from retinue.errors import RequestError
from retinue.serve.access import HUNG_UP, record_of
from retinue.serve.body import HungUpError
from retinue.serve.files_form import boundary_of, too_large
from retinue.serve.files_kept import MAX_FILE, KeptFiles
from retinue.serve.wire.file_objects import file_list, file_object, file_query

_AROUND = 64 * 1024
"""Bytes of a form beside its file."""


def file_routes(files: KeptFiles) -> APIRouter:
    """The routes; a caller's files are those of its user or key."""
    router = APIRouter(tags=["files"])

    @router.post("/files", summary="Store a file")
    async def create(request: Request) -> Response:
        same_site(request)
        boundary = boundary_of(request.headers.get("content-type", ""))
        length = request.headers.get("content-length", "")
        size = int(length) if length.isdigit() and len(length) < 19 else None
        if size is not None and size > MAX_FILE + _AROUND:
            raise too_large(MAX_FILE)
        try:
            stored, _ = await files.upload(_owner(request), request.receive, boundary, size)
        except HungUpError:
            record_of(request.scope).status = HUNG_UP
            return Response(status_code=HUNG_UP)
        return JSONResponse(file_object(stored))

    @router.get("/files", summary="The caller's files")
    async def listed(request: Request) -> JSONResponse:
        query = file_query(request.query_params)
        found = await files.page(_owner(request), query)
        return JSONResponse(file_list(found, query.limit))

    @router.get("/files/{file_id}", summary="One file")
    async def one(request: Request, file_id: str) -> JSONResponse:
        return JSONResponse(file_object(await files.find(_owner(request), file_id)))

    @router.get("/files/{file_id}/content", summary="A file's bytes", response_class=Response)
    async def content(request: Request, file_id: str) -> StreamingResponse:
        file = await files.find(_owner(request), file_id)
        pieces = await files.content(file)

        # Nothing that a caller has stored is ever shown as a page of this server's.
        headers = {
            "content-disposition": f"attachment; filename*=UTF-8''{quote(file.name, safe='')}",
            "content-length": str(file.size),
            "content-security-policy": "sandbox",
            "x-content-type-options": "nosniff",
        }
        return StreamingResponse(pieces, media_type=file.media_type, headers=headers)

    @router.delete("/files/{file_id}", summary="Delete a file")
    async def delete(request: Request, file_id: str) -> JSONResponse:
        same_site(request)
        await files.remove(_owner(request), file_id)
        return JSONResponse({"id": file_id, "object": "file", "deleted": True})

    return router


def _owner(request: Request) -> str:
    return record_of(request.scope).identity.subject


def same_site(request: Request) -> None:
    """Raises RequestError for a request that a page of another site has sent."""
    # A page elsewhere can send a form with the user's cookies, unlike JSON.
    if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        raise RequestError("Requests from other sites are refused.", code="cross_site", status=403)
