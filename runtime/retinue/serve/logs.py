"""`/v1/logs`: FastAPI routes to the log of requests, where everyone sees their own."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from retinue.errors import RequestError
from retinue.serve.access import record_of
from retinue.serve.openapi import errors
from retinue.serve.operations import ANYTHING, NUMBER, TEXT, TEXT_OR_NULL, many, shape
from retinue.serve.request_log import RequestLog
from retinue.serve.wire.logs import how_many, log_list, moment, stats_object, user_list
from retinue.serve.wire.models import unauthorised
from retinue.store.log_query import Which

_SUMS: Mapping[str, Any] = {
    "requests": NUMBER,
    "errors": NUMBER,
    "input_tokens": NUMBER,
    "output_tokens": NUMBER,
    "cost_usd": {"type": "number"},
    "mean_ms": {"type": "number"},
    "max_ms": {"type": "number"},
}
_SUMS_EXAMPLE = {
    "requests": 12,
    "errors": 1,
    "input_tokens": 4100,
    "output_tokens": 620,
    "cost_usd": 0.021,
    "mean_ms": 840.2,
    "max_ms": 2301.0,
}
_LOG = shape(id=TEXT, object={"const": "log"}, request_id=TEXT, agent=TEXT, status=NUMBER)
_LOG_EXAMPLE = {
    "id": "log_0649a2c1f08000d1c5b1a0e2f37a48",
    "object": "log",
    "request_id": "req_5f0c",
    "created_at": 1763683200.25,
    "agent": "genie-analyst",
    "digest": "sha256:5d0c…",
    "user": "ann@example.com",
    "session": "thread-7",
    "endpoint": "/v1/chat/completions",
    "status": 200,
    "finish_reason": "stop",
    "error": None,
    "ms": 812.4,
    "tools": ["genie__query_space"],
    "input_tokens": 310,
    "output_tokens": 42,
    "cost_usd": 0.0016,
    "trace_id": "",
}


def _told(schema: Any, example: Any) -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"schema": schema, "example": example}}
    good = {"description": "The answer.", "content": content}
    return {200: good, **errors(("400", "401", "500", "503"))}


def _listed(schema: Any, example: Any) -> dict[int | str, dict[str, Any]]:
    return _told(
        shape(
            object={"const": "list"},
            data=many(schema),
            first_id=TEXT_OR_NULL,
            last_id=TEXT_OR_NULL,
            has_more={"type": "boolean"},
        ),
        {"object": "list", "data": [example], "first_id": "…", "last_id": "…", "has_more": False},
    )


def logs(requests: RequestLog, *, anyone: bool) -> APIRouter:
    """Administrators see all of it, and so do keys that are for it, and `anyone` where nobody is
    told apart.
    """
    router = APIRouter(tags=["logs"])

    @router.get(
        "/logs", summary="Requests, the newest first", responses=_listed(_LOG, _LOG_EXAMPLE)
    )
    async def every(request: Request) -> JSONResponse:
        return JSONResponse(await _page(requests, _given(request, anyone), messages=False))

    @router.get(
        "/logs/sessions/{session:path}",
        summary="The requests of a session, with what was said where that is kept",
        responses=_listed(_LOG, _LOG_EXAMPLE),
    )
    async def of_session(request: Request, session: str) -> JSONResponse:
        given = {**_given(request, anyone), "session": session}
        return JSONResponse(await _page(requests, given, messages=True))

    @router.get(
        "/logs/stats",
        summary="What requests come to, all together and by agent",
        responses=_told(
            shape(object=TEXT, **_SUMS, agents=many(ANYTHING)),
            {
                "object": "log.stats",
                **_SUMS_EXAMPLE,
                "agents": [{"agent": "genie-analyst", **_SUMS_EXAMPLE}],
            },
        ),
    )
    async def stats(request: Request) -> JSONResponse:
        given = _given(request, anyone)
        await requests.settle()
        book = await requests.book()
        return JSONResponse(stats_object(*await book.totals(_which(given))))

    @router.get(
        "/logs/stats/users",
        summary="What requests come to, by user",
        responses=_listed(
            shape(object=TEXT, user=TEXT, **_SUMS),
            {"object": "log.stats", "user": "ann@example.com", **_SUMS_EXAMPLE},
        ),
    )
    async def users(request: Request) -> JSONResponse:
        given = _given(request, anyone)
        limit = how_many(given.get("limit"))
        which = _which(given)
        await requests.settle()
        book = await requests.book()
        found = await book.totals_by_user(which, after=given.get("after"), limit=limit + 1)
        return JSONResponse(user_list(found, limit))

    return router


async def _page(requests: RequestLog, given: Mapping[str, str], *, messages: bool) -> Any:
    limit = how_many(given.get("limit"))
    order = given.get("order", "desc")
    if order not in ("asc", "desc"):
        raise RequestError("'order' must be 'asc' or 'desc'.", param="order")
    which = _which(given)
    await requests.settle()
    found = await (await requests.book()).page(
        which,
        after=given.get("after"),
        limit=limit + 1,
        newest_first=order == "desc",
        messages=messages,
    )
    return log_list(found, limit)


def _given(request: Request, anyone: bool) -> dict[str, str]:
    """What the query says, for the rows that this caller may see. Raises RequestError (401)."""
    identity = record_of(request.scope).identity
    given = {name: text.replace("\0", "") for name, text in request.query_params.items() if text}
    if anyone or identity.reads_all:
        return given
    if not identity.subject:
        raise unauthorised()
    return {**given, "user": identity.subject}


def _which(given: Mapping[str, str]) -> Which:
    return Which(
        user=given.get("user"),
        session=given.get("session"),
        agent=given.get("agent"),
        since=moment(given.get("from"), "from"),
        until=moment(given.get("to"), "to"),
    )
