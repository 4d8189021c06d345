"""What can be asked of the server itself: FastAPI routes for health, models and agents."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from retinue import __version__
from retinue.agent import Agent
from retinue.run.runtime import Runtime
from retinue.serve.access import record_of
from retinue.serve.openapi import errors
from retinue.serve.operations import ANYTHING, NUMBER, TEXT, many, shape
from retinue.serve.overload import House
from retinue.serve.request_log import RequestLog
from retinue.serve.state import State
from retinue.serve.wire.agents import agent_info, agent_list, readiness
from retinue.serve.wire.models import find_agent, model_list, model_object, open_agents

# What a load balancer and a browser ask without a key.
HEALTH_PATHS = ("/health", "/health/live", "/health/ready", "/healthcheck")

_GETS = ("GET /v1/models", "GET /v1/agents", "GET /health")
_MODEL = shape(id=TEXT, object=TEXT, created=NUMBER, owned_by=TEXT, optional={"description": TEXT})
_MODEL_EXAMPLE = {
    "id": "genie-analyst",
    "object": "model",
    "created": 1763683200,
    "owned_by": "retinue",
    "description": "Answers questions about orders.",
}
_AGENT = shape(
    id=TEXT,
    object={"const": "agent"},
    description=TEXT,
    model=TEXT,
    tools=many(shape(name=TEXT, description=TEXT)),
    skills=many(TEXT),
    digest=TEXT,
)
_AGENT_EXAMPLE = {
    "id": "genie-analyst",
    "object": "agent",
    "description": "Answers questions about orders.",
    "model": "databricks/databricks-claude-sonnet-4-5",
    "tools": [{"name": "genie__query_space", "description": "Asks the Genie space."}],
    "skills": ["charts"],
    "digest": "sha256:5d0c…",
}


def _told(schema: Any, example: Any, *more: str) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of a GET's answers: of a good one, and of the errors `more`."""
    content = {"application/json": {"schema": schema, "example": example}}
    good = {"description": "The answer.", "content": content}
    return {200: good, **errors(("401", "500", *more))}


def _listed(schema: Any, example: Any) -> dict[int | str, dict[str, Any]]:
    return _told(
        shape(object={"const": "list"}, data=many(schema)), {"object": "list", "data": [example]}
    )


class Info:
    """The routers of one server; `created` (what `/v1/models` says) is in Unix seconds.

    `posts` are the paths that take questions.
    """

    def __init__(
        self,
        runtime: Runtime,
        created: int,
        posts: Sequence[str],
        *,
        house: House,
        state: State,
        requests: RequestLog | None = None,
    ) -> None:
        self._runtime = runtime
        self._created = created
        self._posts = posts
        self._house = house
        self._state = state
        self._requests = requests

    def _open(self, request: Request) -> Mapping[str, Agent]:
        """The agents that this caller may know of."""
        closed = record_of(request.scope).identity.closed
        return open_agents(self._runtime.agents, closed)

    def models(self) -> APIRouter:
        """OpenAI's model list, and the agents behind it."""
        router = APIRouter(tags=["models"])

        @router.get(
            "/models", summary="The agents, as models", responses=_listed(_MODEL, _MODEL_EXAMPLE)
        )
        async def models(request: Request) -> JSONResponse:
            return JSONResponse(model_list(self._open(request), self._created))

        @router.get(
            "/models/{model:path}",
            summary="One agent, as a model",
            responses=_told(_MODEL, _MODEL_EXAMPLE, "404"),
        )
        async def model(request: Request, model: str) -> JSONResponse:
            if not model:
                raise HTTPException(HTTPStatus.NOT_FOUND)
            closed = record_of(request.scope).identity.closed
            agent = find_agent(self._runtime.agents, model, closed)
            return JSONResponse(model_object(agent, self._created))

        @router.get(
            "/agents",
            summary="The agents, with what they are made of",
            responses=_listed(_AGENT, _AGENT_EXAMPLE),
        )
        async def agents(request: Request) -> JSONResponse:
            return JSONResponse(agent_list(self._open(request), self._runtime.tools))

        return router

    def status(self) -> APIRouter:
        """Whether it works. Open to everyone, so details are told of open agents only."""
        router = APIRouter(tags=["status"])
        details = {"version": TEXT, "store": TEXT, "agents": ANYTHING}
        live = {
            "status": "healthy",
            "version": __version__,
            "store": "ok",
            "agents": {"genie-analyst": {}},
        }

        @router.get(
            "/health",
            summary="Whether it works, and the store, and each agent's tool servers",
            responses=_told(shape(status=TEXT, **details), live),
        )
        async def health(request: Request) -> JSONResponse:
            known = self._runtime.health()
            agents = {name: known[name] for name in self._open(request)}
            told = {"status": "healthy", "version": __version__, "store": self._state.health}
            return JSONResponse({**told, "agents": agents})

        @router.get(
            "/health/live",
            summary="Whether the process answers",
            responses=_told(shape(status=TEXT), {"status": "healthy"}),
        )
        async def alive() -> JSONResponse:
            return JSONResponse({"status": "healthy"})

        @router.get(
            "/health/ready",
            summary="Whether agents can run, and their tool servers: 503 where none can",
            responses={
                **_told(
                    shape(
                        status=TEXT, agents=ANYTHING, servers=ANYTHING, optional={"log": ANYTHING}
                    ),
                    {
                        "status": "ready",
                        "agents": {"genie-analyst": True},
                        "servers": {"genie-analyst": {"bakehouse": {"state": "up", "tools": 1}}},
                    },
                ),
                503: {"description": "None can: a required tool server is down, or it drains."},
            },
        )
        async def ready(request: Request) -> JSONResponse:
            known = self._runtime.health()
            status, able = readiness(self._runtime.agents, known)
            agents = {name: able[name] for name in self._open(request)}
            if self._house.shut:
                status = "draining"
            told: dict[str, Any] = {"servers": {name: known[name] for name in agents}}
            if self._requests:
                told["log"] = self._requests.health
                if status == "ready" and told["log"]["state"] != "ok":
                    status = "degraded"
            bad = status in ("not_ready", "draining")
            code = HTTPStatus.SERVICE_UNAVAILABLE if bad else HTTPStatus.OK
            return JSONResponse({"status": status, "agents": agents, **told}, code)

        @router.get(
            "/healthcheck",
            summary="Whether it works, as Databricks' app templates ask",
            responses=_told(
                shape(status=TEXT, timestamp=TEXT, service=TEXT),
                {"status": "healthy", "timestamp": "2026-01-31T12:00:00Z", "service": "retinue"},
            ),
        )
        async def healthcheck() -> JSONResponse:
            now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            return JSONResponse({"status": "healthy", "timestamp": now, "service": "retinue"})

        return router

    def about(self) -> APIRouter:
        """What this is; at the root alone."""
        router = APIRouter(tags=["status"])

        @router.get(
            "/agent/info",
            summary="The default agent, in MLflow's form",
            responses=_told(
                shape(name=TEXT, use_case=TEXT, agent_api=TEXT),
                {"name": "genie-analyst", "use_case": "agent", "agent_api": "responses"},
            ),
        )
        async def info(request: Request) -> JSONResponse:
            closed = record_of(request.scope).identity.closed
            return JSONResponse(agent_info(find_agent(self._runtime.agents, None, closed)))

        @router.get("/", summary="What this is", responses=_told(ANYTHING, {"service": "retinue"}))
        async def greeting(request: Request) -> JSONResponse:
            return JSONResponse(
                {
                    "service": "retinue",
                    "version": __version__,
                    "agents": list(self._open(request)),
                    "endpoints": [*(f"POST {path}" for path in self._posts), *_GETS],
                    "openapi": "/openapi.json",
                    "docs": "/docs",
                }
            )

        return router
