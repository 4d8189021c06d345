"""`/v1/admin/keys`: FastAPI routes by which administrators make, list and revoke API keys."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from retinue.errors import RequestError, StoreDownError
from retinue.run.runtime import Runtime
from retinue.serve.body import HungUpError, read_json_body
from retinue.serve.control import admins_only
from retinue.serve.openapi import errors
from retinue.serve.operations import (
    NUMBER,
    TEXT,
    TEXT_OR_NULL,
    many,
    shape,
)
from retinue.serve.state import State
from retinue.serve.stored_keys import StoredKeys
from retinue.serve.wire.keys import CreateKeyRequest, key_list, key_object
from retinue.serve.wire.logs import how_many
from retinue.store.api_key import SCOPES, TakenError, TooManyKeysError

if TYPE_CHECKING:
    from retinue.store.key_book import KeyBook

_LARGEST = 64 * 1024
_NUMBER_OR_NULL = {"type": ["integer", "null"]}
_LIMITS: dict[str, Any] = dict.fromkeys(("rate", "tokens", "usd"), TEXT_OR_NULL)
_KEY: dict[str, Any] = {
    "id": TEXT,
    "object": {"const": "api_key"},
    "name": TEXT,
    "status": {"enum": ["active", "expired", "revoked"]},
    "scopes": many({"enum": list(SCOPES)}),
    "agents": {"type": ["array", "null"], "items": TEXT},
    "limits": shape(**_LIMITS),
    "created_at": NUMBER,
    "expires_at": _NUMBER_OR_NULL,
    "revoked_at": _NUMBER_OR_NULL,
    "last_used_at": _NUMBER_OR_NULL,
}
_EXAMPLE: dict[str, Any] = {
    "id": "key_5f0c9a31d2e4b687",
    "object": "api_key",
    "name": "ci",
    "status": "active",
    "scopes": ["chat"],
    "agents": None,
    "limits": {"rate": "60/minute", "tokens": None, "usd": "5.00/day"},
    "created_at": 1763683200,
    "expires_at": 1771459200,
    "revoked_at": None,
    "last_used_at": None,
}
_LISTED = shape(
    object={"const": "list"},
    data=many(shape(**_KEY)),
    first_id=TEXT_OR_NULL,
    last_id=TEXT_OR_NULL,
    has_more={"type": "boolean"},
)
_PAGE = {"object": "list", "data": [_EXAMPLE], "first_id": "…", "last_id": "…", "has_more": False}
_WANTED = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 64},
        "scopes": {**many({"enum": list(SCOPES)}), "default": ["chat"]},
        "agents": many(TEXT),
        "expires_in": {"type": "integer", "description": "Seconds that the key is good."},
        "limits": {"type": "object", "properties": _LIMITS, "additionalProperties": False},
    },
    "required": ["name"],
    "additionalProperties": False,
}
_NEW = {"name": "ci", "expires_in": 7_776_000, "limits": {"rate": "60/minute", "usd": "5.00/day"}}
_ASKED = {"one": {"value": _NEW}}


def key_routes(
    runtime: Runtime, state: State, keys: StoredKeys | None, *, anyone: bool
) -> APIRouter:
    """The routes; without a store each of them says so. `keys` are those that this server takes,
    and `anyone` is an administrator where nobody is told apart.
    """
    router = APIRouter(prefix="/v1/admin/keys", tags=["operation"])

    async def book() -> "KeyBook":
        store = await state.store("keys")
        # It brings in SQLAlchemy, which the store has loaded by now.
        from retinue.store.key_book import KeyBook  # noqa: PLC0415

        return KeyBook(store.database)

    @router.get(
        "",
        summary="API keys, the newest first: what they are for",
        responses=_told(_LISTED, _PAGE),
        openapi_extra={"parameters": [_query("limit", NUMBER), _query("after", TEXT)]},
    )
    async def every(request: Request) -> JSONResponse:
        admins_only(request, anyone=anyone)
        limit = how_many(request.query_params.get("limit"))
        after = request.query_params.get("after", "").replace("\0", "") or None
        found = await (await book()).page(after=after, limit=limit + 1)
        return JSONResponse(key_list(found, limit))

    @router.post(
        "",
        summary="Make an API key, which is told this once",
        responses=_told(shape(**_KEY, key=TEXT), {**_EXAMPLE, "key": "rtn-…"}, "409", "413", "415"),
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _WANTED, "examples": _ASKED}},
            }
        },
    )
    async def create(request: Request) -> JSONResponse:
        admins_only(request, anyone=anyone)
        try:
            body = await read_json_body(request.scope, request.receive, _LARGEST)
        except HungUpError:
            # Nobody reads this.
            raise RequestError("The request broke off.", code="request_incomplete") from None
        text, key = CreateKeyRequest.read(body).made(runtime.agents)
        try:
            await (await book()).add(key)
        except TakenError as error:
            code = "key_name_taken"
            raise RequestError(_sentence(error), param="name", code=code, status=409) from None
        except TooManyKeysError as error:
            raise RequestError(_sentence(error), code="too_many_keys", status=409) from None
        return JSONResponse(key_object(key, text), headers={"cache-control": "no-store"})

    @router.delete(
        "/{key_id}",
        summary="Revoke an API key for good",
        responses=_told(shape(**_KEY), {**_EXAMPLE, "status": "revoked"}, "404"),
    )
    async def revoke(request: Request, key_id: str) -> JSONResponse:
        admins_only(request, anyone=anyone)
        key = await (await book()).revoke(key_id.replace("\0", ""))
        if key is None:
            message = "There is no such API key that isn't revoked."
            raise RequestError(message, param="key_id", code="key_not_found", status=404)
        if keys:
            # It is revoked: the next look finds out, where this one finds nobody.
            with suppress(StoreDownError):
                await keys.refresh()
        return JSONResponse(key_object(key))

    return router


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[0].upper()}{text[1:]}."


def _query(name: str, schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema}


def _told(schema: Any, example: Any, *more: str) -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"schema": schema, "example": example}}
    good = {"description": "The answer.", "content": content}
    refused: dict[int | str, dict[str, Any]] = {
        403: {"description": "The caller is no administrator."}
    }
    return {200: good, **errors(("400", "401", *more, "500", "503")), **refused}
