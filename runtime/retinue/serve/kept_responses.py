"""Responses that are kept, asked for again: FastAPI routes to get, list, cancel and delete."""

from http import HTTPStatus

import orjson
from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from retinue.errors import RequestError
from retinue.serve import kept_operations as told
from retinue.serve.access import record_of
from retinue.serve.background import Background
from retinue.serve.frames import FrameResponse
from retinue.serve.wire.listed import Paging, page, shown
from retinue.serve.wire.mistakes import invalid
from retinue.store.records import Response as Kept


def kept_responses(background: Background) -> APIRouter:
    """The routes; without a store there is no response of earlier."""
    state = background.state
    router = APIRouter(tags=["responses"])

    async def find(request: Request, response_id: str) -> Kept:
        if not state.on:
            raise _missing(response_id, ": responses are not stored here")
        store = await state.store("response_id")
        found = await store.response(response_id, _owner(request))
        if found is None:
            raise _missing(response_id)
        if found.status in ("queued", "in_progress"):
            background.look()
        return found

    @router.post("/responses/compact", include_in_schema=False)
    async def compact() -> None:
        # It would look like a response's name, which takes no POST.
        raise HTTPException(HTTPStatus.NOT_FOUND)

    @router.get(
        "/responses/{response_id}",
        summary="A response of earlier",
        responses=told.RESPONSE,
        openapi_extra=told.STREAM,
    )
    async def get(request: Request, response_id: str) -> Response:
        query = request.query_params
        found = await find(request, response_id)
        if query.get("stream") == "true":
            after = _number(query.get("starting_after"))
            return FrameResponse(background.stream(response_id, _owner(request), after))
        return _json(_now(found))

    @router.delete(
        "/responses/{response_id}", summary="Forget a response", responses=told.RESPONSE_DELETED
    )
    async def delete(request: Request, response_id: str) -> Response:
        await find(request, response_id)
        store = await state.store("response_id")
        await store.remove_response(response_id, _owner(request))
        return _json(orjson.dumps({"id": response_id, "object": "response", "deleted": True}))

    @router.get(
        "/responses/{response_id}/input_items",
        summary="What a response answers",
        responses=told.ITEMS,
        openapi_extra=told.PAGE,
    )
    async def input_items(request: Request, response_id: str) -> Response:
        paging = Paging(request.query_params)
        items = orjson.loads((await find(request, response_id)).input)
        return _json(page(paging.cut(items), paging.limit))

    @router.post(
        "/responses/{response_id}/cancel",
        summary="Stop a background response",
        responses=told.RESPONSE,
    )
    async def cancel(request: Request, response_id: str) -> Response:
        found = await find(request, response_id)
        body = orjson.loads(found.body)
        if not body["background"]:
            raise RequestError(
                "Only a response that was created with background=true can be cancelled.",
                param="response_id",
                code="invalid_value",
            )
        await background.cancel(found)
        return _json(_now(await find(request, response_id)))

    return router


def _now(found: Kept) -> bytes:
    """The response with the status that it has now."""
    return orjson.dumps(orjson.loads(found.body) | {"status": found.status})


def _number(given: str | None) -> int:
    if given is None:
        return -1
    if not given.isascii() or not given.isdecimal() or len(given) > 9:
        raise invalid("starting_after", "must be the number of an event")
    return int(given)


def _json(body: str | bytes) -> Response:
    return Response(body, media_type="application/json")


def _owner(request: Request) -> str:
    return record_of(request.scope).identity.subject


def _missing(response_id: str, why: str = "") -> RequestError:
    message = f"There is no response '{shown(response_id)}'{why}."
    return RequestError(message, param="response_id", code="response_not_found", status=404)
