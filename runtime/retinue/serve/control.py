"""What whoever runs the server asks of it: FastAPI routes to reload, drain, count and look."""

import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from retinue import __version__
from retinue.errors import RequestError, RetinueError
from retinue.run.approvals import Approvals, ApprovalsInMemory
from retinue.run.runtime import Runtime
from retinue.run.sessions import Sessions, SessionsInMemory
from retinue.serve.access import record_of
from retinue.serve.metrics import CONTENT_TYPE, Metrics
from retinue.serve.openapi import errors
from retinue.serve.operations import ANYTHING, NUMBER, TEXT, many, shape
from retinue.serve.overload import House
from retinue.serve.wire.models import open_agents
from retinue.serve.wire.prompts import prompt_list

_REFUSED = {
    "403": "The caller is no administrator.",
    "409": "There are no files to load again.",
    "422": "The files have mistakes, or what they name can't be opened; nothing has changed.",
}

Reload = Callable[[], Awaitable[list[str]]]
"""Serve the files as they are now; the agents' names. Raises RetinueError."""


@dataclass(slots=True)
class Control:
    """What outlives a reload: also the runs that wait for their user's word, and what sessions are
    to know. `reload` is None where the app's host does that itself.
    """

    house: House
    reload: Reload | None = None
    approvals: Approvals = field(default_factory=ApprovalsInMemory)
    sessions: Sessions = field(default_factory=SessionsInMemory)
    started: float = field(default_factory=time.time)
    metrics: Metrics = field(init=False)

    def __post_init__(self) -> None:
        self.metrics = Metrics(lambda: self.house.running)

    def router(self, runtime: Runtime, *, anyone: bool) -> APIRouter:
        """`anyone` may do it where only this machine asks, and nobody is told apart."""
        routes = APIRouter(tags=["operation"])

        @routes.get(
            "/status",
            summary="Versions, uptime and what runs",
            responses=_told(
                shape(status=TEXT, version=TEXT, uptime_seconds=NUMBER, runs=NUMBER),
                {"status": "serving", "version": __version__, "uptime_seconds": 60, "runs": 0},
            ),
        )
        async def status(request: Request) -> JSONResponse:
            closed = record_of(request.scope).identity.closed
            agents = open_agents(runtime.agents, closed)
            since = datetime.fromtimestamp(self.started, UTC).isoformat(timespec="seconds")
            return JSONResponse(
                {
                    "status": "draining" if self.house.shut else "serving",
                    "version": __version__,
                    "started": since.replace("+00:00", "Z"),
                    "uptime_seconds": int(time.time() - self.started),
                    "process": os.getpid(),
                    "runs": self.house.running,
                    "agents": {name: agent.digest for name, agent in agents.items()},
                }
            )

        @routes.get(
            "/metrics",
            summary="Counters, in Prometheus' format",
            response_class=Response,
            responses={
                200: {
                    "description": "The counters.",
                    "content": {"text/plain": {"schema": TEXT, "example": "retinue_runs 2.0\n"}},
                },
                **errors(("401", "500")),
            },
        )
        async def metrics() -> Response:
            return Response(self.metrics.text(), media_type=CONTENT_TYPE)

        @routes.get(
            "/v1/prompts",
            summary="The agents' prompts and what they need",
            responses=_told(
                shape(object={"const": "list"}, data=many(shape(id=TEXT, variables=ANYTHING))),
                {"object": "list", "data": [{"id": "genie-analyst", "variables": []}]},
            ),
        )
        async def prompts(request: Request) -> JSONResponse:
            identity = record_of(request.scope).identity
            agents = open_agents(runtime.agents, identity.closed)
            return JSONResponse(prompt_list(agents, texts=anyone or identity.admin))

        @routes.post(
            "/v1/admin/reload",
            summary="Serve the project's files as they are now",
            responses=_told(
                shape(object=TEXT, agents=many(TEXT)),
                {"object": "reload", "agents": ["genie-analyst"]},
                *("403", "409", "422"),
            ),
        )
        async def reload(request: Request) -> JSONResponse:
            admins_only(request, anyone=anyone)
            if self.reload is None:
                message = "This server was not started from a project's files: start it anew."
                raise RequestError(message, code="reload_not_possible", status=409)
            try:
                agents = await self.reload()
            except RetinueError as error:
                message = f"Nothing has changed, as the files can't be served: {error}"
                raise RequestError(message, code="invalid_configuration", status=422) from None
            return JSONResponse({"object": "reload", "agents": agents})

        @routes.post(
            "/v1/admin/drain",
            summary="Take no more runs, or take them again",
            responses=_told(
                shape(object=TEXT, draining={"type": "boolean"}, runs=NUMBER),
                {"object": "drain", "draining": True, "runs": 2},
                "403",
            ),
        )
        async def drain(request: Request, *, draining: bool = True) -> JSONResponse:
            admins_only(request, anyone=anyone)
            self.house.shut = draining
            told: dict[str, Any] = {"object": "drain", "draining": draining}
            return JSONResponse({**told, "runs": self.house.running}, HTTPStatus.OK)

        return routes


def admins_only(request: Request, *, anyone: bool) -> None:
    """Raises RequestError (403) for whoever may not operate the server."""
    identity = record_of(request.scope).identity
    if not (anyone or identity.admin):
        message = "This is for administrators: see RETINUE_ADMIN_KEYS and RETINUE_ADMINS."
        raise RequestError(message, code="permission_denied", status=403)
    if request.headers.get("sec-fetch-site") == "cross-site":
        message = "Requests from other sites are refused."
        raise RequestError(message, code="cross_site", status=403)


def _told(schema: Any, example: Any, *more: str) -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"schema": schema, "example": example}}
    refused: dict[int | str, dict[str, Any]] = {
        int(status): {"description": _REFUSED[status]} for status in more
    }
    return {
        200: {"description": "The answer.", "content": content},
        **errors(("401", "500")),
        **refused,
    }
