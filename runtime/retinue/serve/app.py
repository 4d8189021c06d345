"""A Runtime → the ASGI app around it: routes, who may call, error answers and the log line."""

import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from retinue import __version__
from retinue.errors import RequestError, StoreDownError, StoreError
from retinue.run.runtime import Runtime
from retinue.serve import docs
from retinue.serve.access import AccessLog, record_of
from retinue.serve.admission import Access, Gate
from retinue.serve.compat import CompatRoutes
from retinue.serve.control import Control
from retinue.serve.counters import CountersAt, counters_for
from retinue.serve.endpoints import PREFIXES, endpoints
from retinue.serve.files import file_routes
from retinue.serve.hosts import LocalHosts
from retinue.serve.info import HEALTH_PATHS, Info
from retinue.serve.keeping import Keeping
from retinue.serve.kept_conversations import kept_conversations
from retinue.serve.kept_responses import kept_responses
from retinue.serve.key_routes import key_routes
from retinue.serve.limits import usual_limits
from retinue.serve.logs import logs
from retinue.serve.mcp import METHODS as MCP_METHODS
from retinue.serve.mcp import PATHS as MCP_PATHS
from retinue.serve.mcp import McpEndpoint
from retinue.serve.meter import Meter
from retinue.serve.openapi import document
from retinue.serve.options import ServeOptions
from retinue.serve.overload import Door, House
from retinue.serve.request_log import LogSettings
from retinue.serve.responses import responses
from retinue.serve.shared_counts import SharedCounts
from retinue.serve.wire.errors import ErrorAnswer, RefusedError, answer, http_error
from retinue.serve.wire.mistakes import invalid
from retinue.store.address import Address

_OPENAPI = "/openapi.json"
_TOLD = (RequestError, RefusedError, StoreError, StoreDownError)
OPEN_PATHS = frozenset(
    (*(prefix + path for prefix in PREFIXES for path in HEALTH_PATHS), *docs.PATHS, _OPENAPI)
)
"""What is answered without a key: nothing in it tells of an agent that needs one."""


def app_for(
    runtime: Runtime,
    *,
    access: Access | None = None,
    store: Address | None = None,
    log: LogSettings | None = None,
    control: Control | None = None,
    options: ServeOptions | None = None,
    counters: CountersAt | None = None,
) -> FastAPI:
    """The app that serves the runtime's agents, and opens the runtime for as long as it lives.

    `access` says who may call, by default what the agents say, for a process that no proxy of
    Databricks stands before. State is kept at `store`, where there is one, and with `log` the
    requests too. `control` is what the server is operated by, and outlives the app. `counters` are
    where callers' limits are counted, by default in the store. Raises AccessError and QuotaError.
    """
    if not runtime.agents:
        raise ValueError("there are no agents to serve")
    options = options or ServeOptions()
    access = access or Access(runtime.agents.values(), stored=store is not None)
    control = control or Control(House(options.capacity))
    meter = Meter(
        usual_limits(runtime.agents.values(), options.limits),
        SharedCounts(control.house.tally, counters or counters_for({}, store)),
    )
    keeping = Keeping(
        runtime, options, store, log, meter, metrics=control.metrics, keys=access.takes_stored
    )
    parts = _Parts(runtime, access, control, options, keeping)
    app = _App(parts)
    for router, prefix, in_schema in parts.routers():
        app.include_router(router, prefix=prefix, include_in_schema=in_schema)
    app.router.routes += parts.routes(app.router)
    # For those who host the app themselves, and for tests.
    app.state.runtime = runtime
    app.state.background = parts.keeping.background
    for kind in (HTTPException, RequestValidationError, *_TOLD, Exception):
        app.add_exception_handler(kind, _error_response)
    return app


# What is told at the root beside what takes runs, with the part of the server that it belongs to.
_MORE_POSTS = (("responses", "/v1/conversations"), ("files", "/v1/files"), ("mcp", MCP_PATHS[0]))


class _Parts:
    """What one app is made of: hot endpoints, routers and plain routes, by its options."""

    def __init__(
        self,
        runtime: Runtime,
        access: Access,
        control: Control,
        options: ServeOptions,
        keeping: Keeping,
    ) -> None:
        self.runtime = runtime
        self.access = access
        self.control = control
        self.options = options
        self.keeping = keeping
        self.local = options.reach == "local"
        self.mcp = McpEndpoint(runtime, max_body=options.capacity.max_body)
        every = endpoints(keeping.background, options, proxied=access.proxied)
        self.hot = tuple(one for one in every if one.operation.tag in options.apis)

    def door(self, app: ASGIApp) -> Door:
        """What has its callers counted."""
        return Door(self.control.house, self.keeping.meter, app)

    @property
    def _anyone(self) -> bool:
        """Whether nobody is told apart, and only this machine asks."""
        return self.local and not self.access.checks

    def routers(self) -> Iterator[tuple[APIRouter, str, bool]]:
        """Each with its prefix, and whether OpenAPI tells of it."""
        apis, keeping = self.options.apis, self.keeping
        posts = [one.paths[0] for one in self.hot]
        posts += [path for api, path in _MORE_POSTS if api in apis]
        info = Info(
            self.runtime,
            self.options.created or int(time.time()),
            posts,
            house=self.control.house,
            state=keeping.state,
            requests=keeping.requests,
        )
        kept = []
        if "responses" in apis:
            kept += [kept_responses(keeping.background), kept_conversations(keeping.state)]
        if keeping.requests and "logs" in apis:
            kept.append(logs(keeping.requests, anyone=self._anyone))
        for prefix in PREFIXES:
            named = prefix == PREFIXES[0]
            if "models" in apis:
                yield info.models(), prefix, named
            yield info.status(), prefix, prefix == ""
            for router in kept:
                yield router, prefix, named
            if "files" in apis:
                yield file_routes(keeping.files), prefix, False
        yield info.about(), "", True
        if "operation" in apis:
            yield self.control.router(self.runtime, anyone=self._anyone), "", True
            made = key_routes(self.runtime, keeping.state, keeping.keys, anyone=self._anyone)
            yield made, "", True

    def routes(self, router: ASGIApp) -> Iterator[BaseRoute]:
        """What FastAPI knows nothing of; `router` has what older names stand for."""
        apis, options = self.options.apis, self.options
        if "mcp" in apis:
            door = self.door(self.mcp)
            yield from (Route(path, door, methods=MCP_METHODS) for path in MCP_PATHS)
        if options.compat != "off" and "chat" in apis:
            older = CompatRoutes(
                responses(
                    self.keeping.background,
                    pace=options.pace,
                    max_body=options.capacity.max_body,
                ),
                self.keeping.state,
                self.keeping.files,
                self.control,
                anyone=self._anyone,
                max_body=options.capacity.max_body,
            )
            yield from older.routes(router, options.compat, self.door)
        if "docs" in apis:
            yield from docs.routes()

    @asynccontextmanager
    async def opened(self, _app: FastAPI) -> AsyncGenerator[None, None]:
        """Its lifespan."""
        async with self.runtime, self.keeping, aclosing(self.mcp):
            self.runtime.warm()
            yield


class _App(FastAPI):
    """FastAPI, with the paths that carry tokens in front of its middleware and router."""

    def __init__(self, parts: _Parts) -> None:
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
            lifespan=parts.opened,
        )
        self._parts = parts
        paths = {path: one.path for one in parts.hot for path in one.paths}
        parts.control.metrics.names({**paths, **dict.fromkeys(MCP_PATHS, MCP_PATHS[0])})
        self._hot: dict[str, ASGIApp] = {}
        for endpoint in parts.hot:
            self._hot |= dict.fromkeys(endpoint.paths, parts.door(endpoint.app))
        # The router knows them too, for 405 and for apps that mount this one below a path.
        self.router.routes += [
            Route(path, hot, methods=["POST"]) for path, hot in self._hot.items()
        ]

    def build_middleware_stack(self) -> ASGIApp:
        front: ASGIApp = _Front(self._hot, super().build_middleware_stack())
        access, metrics = self._parts.access, self._parts.control.metrics
        keeping = self._parts.keeping
        if access.checks:
            front = Gate(access, OPEN_PATHS, front, keeping.keys)
        if keeping.requests:
            metrics.watch(keeping.requests)
        metrics.watch_counts(keeping.meter.counts)
        guarded = self._parts.local and bool(access.unchecked)
        return AccessLog(LocalHosts(front) if guarded else front, metrics.count, *keeping.observers)

    def openapi(self) -> dict[str, Any]:
        if not self.openapi_schema:
            self.openapi_schema = document(super().openapi(), self._parts.hot)
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
