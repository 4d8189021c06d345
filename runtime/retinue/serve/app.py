"""A Runtime → the ASGI app around it: routes, who may call, error answers and the log line."""

import time
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing, asynccontextmanager, nullcontext
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from retinue import __version__
from retinue.errors import RequestError, StoreDownError, StoreError
from retinue.run.runtime import Runtime
from retinue.serve import docs
from retinue.serve.access import AccessLog, record_of
from retinue.serve.admission import Access, Gate
from retinue.serve.answers import Pace
from retinue.serve.background import Background
from retinue.serve.compat import Compat, CompatRoutes
from retinue.serve.control import Control
from retinue.serve.endpoints import PREFIXES, Endpoint, endpoints
from retinue.serve.files import file_routes
from retinue.serve.files_kept import KeptFiles
from retinue.serve.hosts import LocalHosts
from retinue.serve.info import HEALTH_PATHS, Info
from retinue.serve.kept_conversations import kept_conversations
from retinue.serve.kept_responses import kept_responses
from retinue.serve.logs import logs
from retinue.serve.mcp import METHODS as MCP_METHODS
from retinue.serve.mcp import PATHS as MCP_PATHS
from retinue.serve.mcp import McpEndpoint
from retinue.serve.openapi import document
from retinue.serve.overload import Capacity, Door, House
from retinue.serve.request_log import LogSettings, RequestLog
from retinue.serve.responses import responses
from retinue.serve.state import State
from retinue.serve.wire.errors import ErrorAnswer, RefusedError, answer, http_error
from retinue.serve.wire.mistakes import invalid
from retinue.store.address import Address

_OPENAPI = "/openapi.json"
_TOLD = (RequestError, RefusedError, StoreError, StoreDownError)
OPEN_PATHS = frozenset(
    (*(prefix + path for prefix in PREFIXES for path in HEALTH_PATHS), *docs.PATHS, _OPENAPI)
)
"""What is answered without a key: nothing in it tells of an agent that needs one."""

APIS = (
    "chat",
    "responses",
    "invocations",
    "mcp",
    "models",
    "files",
    "logs",
    "docs",
    "operation",
)
"""The surfaces that can be switched off. What a load balancer asks is always answered."""


def app_for(
    runtime: Runtime,
    *,
    pace: Pace | None = None,
    capacity: Capacity | None = None,
    access: Access | None = None,
    created: int | None = None,
    local: bool = False,
    store: Address | None = None,
    log: LogSettings | None = None,
    control: Control | None = None,
    apis: Collection[str] = APIS,
    compat: Compat = "off",
) -> FastAPI:
    """The app that serves the runtime's agents, and opens the runtime for as long as it lives.

    `access` says who may call, by default what the agents say, for a process that no proxy of
    Databricks stands before. `created` (what `/v1/models` says) is in Unix seconds, by default
    now. `local` says that only this machine reaches the app: where it checks no callers it then
    answers to no public name. State is kept at `store`, where there is one, and with `log` the
    requests too. `control` is what the server is operated by, and outlives the app; `apis` are the
    surfaces that it has, and `compat` says whether it has those of older agent servers. Raises
    AccessError.
    """
    if not runtime.agents:
        raise ValueError("there are no agents to serve")
    capacity = capacity or Capacity()
    access = access or Access(runtime.agents.values())
    control = control or Control(House(capacity))
    state = State(store)
    files = KeptFiles(state)
    runtime.attachments.open_file = files.open
    requests = RequestLog(store, log, runtime.agents) if store and log else None
    observers = (requests.keep,) if requests else ()
    background = Background(runtime, state, capacity.background, observers)
    every = endpoints(background, pace, capacity.max_body, proxied=access.proxied)
    table = tuple(one for one in every if one.operation.tag in apis)
    guarded = local and bool(access.unchecked)
    mcp = McpEndpoint(runtime, max_body=capacity.max_body)
    lifespan = _lifespan(runtime, mcp, state, files, background, requests=requests)
    app = _App(table, access, control, lifespan, requests, guarded=guarded)
    if "mcp" in apis:
        door = Door(control.house, mcp)
        app.router.routes += [Route(path, door, methods=MCP_METHODS) for path in MCP_PATHS]
    posts = [one.paths[0] for one in table]
    info = Info(
        runtime,
        created or int(time.time()),
        posts,
        house=control.house,
        state=state,
        requests=requests,
    )
    kept = [kept_responses(background), kept_conversations(state)] if "responses" in apis else []
    if requests and "logs" in apis:
        kept.append(logs(requests, anyone=local and not access.checks))
    for prefix in PREFIXES:
        if "models" in apis:
            named = prefix == PREFIXES[0]
            app.include_router(info.models(), prefix=prefix, include_in_schema=named)
        app.include_router(info.status(), prefix=prefix, include_in_schema=prefix == "")
        for router in kept:
            app.include_router(router, prefix=prefix, include_in_schema=prefix == PREFIXES[0])
        if "files" in apis:
            app.include_router(file_routes(files), prefix=prefix, include_in_schema=False)
    if compat != "off" and "chat" in apis:
        older = CompatRoutes(
            responses(background, pace=pace, max_body=capacity.max_body),
            state,
            files,
            control,
            anyone=local and not access.checks,
            max_body=capacity.max_body,
        )
        app.router.routes += older.routes(app.router, compat)
    app.include_router(info.about())
    if "operation" in apis:
        app.include_router(control.router(runtime, anyone=local and not access.checks))
    if "docs" in apis:
        app.router.routes += docs.routes()
    # For those who host the app themselves, and for tests.
    app.state.runtime = runtime
    app.state.background = background
    for kind in (HTTPException, RequestValidationError, *_TOLD, Exception):
        app.add_exception_handler(kind, _error_response)
    return app


class _App(FastAPI):
    """FastAPI, with the paths that carry tokens in front of its middleware and router."""

    def __init__(
        self,
        table: tuple[Endpoint, ...],
        access: Access,
        control: Control,
        lifespan: Any,
        requests: RequestLog | None,
        *,
        guarded: bool,
    ) -> None:
        super().__init__(
            title="Retinue",
            version=__version__,
            redirect_slashes=False,
            openapi_url=_OPENAPI,
            # FastAPI's own pages load their scripts from a CDN.
            docs_url=None,
            redoc_url=None,
            # Runs have traces of our own; asking for FastAPI's providers costs 20 µs a request.
            telemetry={"tracing": False, "metrics": False, "logs": False},
            lifespan=lifespan,
        )
        self._table = table
        self._access = access
        self._guarded = guarded
        self._requests = requests
        self._metrics = control.metrics
        paths = {path: one.path for one in table for path in one.paths}
        self._metrics.names({**paths, **dict.fromkeys(MCP_PATHS, MCP_PATHS[0])})
        self._hot: dict[str, ASGIApp] = {}
        for endpoint in table:
            self._hot |= dict.fromkeys(endpoint.paths, Door(control.house, endpoint.app))
        # The router knows them too, for 405 and for apps that mount this one below a path.
        self.router.routes += [
            Route(path, hot, methods=["POST"]) for path, hot in self._hot.items()
        ]

    def build_middleware_stack(self) -> ASGIApp:
        front: ASGIApp = _Front(self._hot, super().build_middleware_stack())
        if self._access.checks:
            front = Gate(self._access, OPEN_PATHS, front)
        observers = [self._metrics.count]
        if self._requests:
            self._metrics.watch(self._requests)
            observers.append(self._requests.keep)
        return AccessLog(LocalHosts(front) if self._guarded else front, *observers)

    def openapi(self) -> dict[str, Any]:
        if not self.openapi_schema:
            self.openapi_schema = document(super().openapi(), self._table)
        return self.openapi_schema


class _Front:
    """POSTs to the hot paths go straight to their endpoint; HEAD is answered as GET."""

    def __init__(self, hot: Mapping[str, ASGIApp], rest: ASGIApp) -> None:
        self._hot = hot
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope.get("method")
        endpoint = self._hot.get(scope["path"]) if method == "POST" else None
        if endpoint:
            await endpoint(scope, receive, send)
        elif method == "HEAD":
            # The server leaves out the body, as it has the request's own method.
            await self._rest({**scope, "method": "GET"}, receive, send)
        else:
            await self._rest(scope, receive, send)


def _lifespan(
    runtime: Runtime,
    mcp: McpEndpoint,
    state: State,
    files: KeptFiles,
    background: Background,
    *,
    requests: RequestLog | None,
) -> Any:
    log = requests or nullcontext()

    @asynccontextmanager
    async def opened(_app: FastAPI) -> AsyncGenerator[None, None]:
        async with runtime, state, aclosing(files), log, background, aclosing(mcp):
            runtime.warm()
            yield

    return opened


def _error_response(request: Request, error: Exception) -> Response:
    told = _told(request, error)
    record_of(request.scope).fault = told.code or told.type
    return Response(told.body, told.status, dict(told.headers), "application/json")


def _methods(request: Request) -> list[str]:
    """What the path takes: the router tells of the first route that fits alone."""
    routes, scope = request.app.router.routes, request.scope
    asked = {method: {**scope, "method": method} for method in ("DELETE", "GET", "POST")}
    found = [
        method
        for method, other in asked.items()
        if any(route.matches(other)[0] is Match.FULL for route in routes)
    ]
    return sorted([*found, "HEAD"] if "GET" in found else found)


def _told(request: Request, error: Exception) -> ErrorAnswer:
    if isinstance(error, HTTPException):
        headers = {name.lower(): value for name, value in (error.headers or {}).items()}
        if "allow" in headers:
            headers["allow"] = ", ".join(_methods(request))
        return http_error(error.status_code, request.method, request.url.path, headers)
    if isinstance(error, RequestValidationError):
        # FastAPI's own answer would be a 422 of another form.
        return answer(invalid(str(error.errors()[0]["loc"][-1]), "is not valid"))
    return answer(error)
