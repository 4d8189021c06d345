"""A Runtime → the ASGI app around it: routes, error answers, request ids and the log line."""

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from retinue import __version__
from retinue.errors import RequestError
from retinue.run.runtime import Runtime
from retinue.serve.access import AccessLog, record_of
from retinue.serve.answers import Pace
from retinue.serve.body import MAX_BODY
from retinue.serve.chat import ChatCompletions
from retinue.serve.openapi import with_chat
from retinue.serve.wire.errors import ErrorAnswer, answer, http_error
from retinue.serve.wire.models import find_agent, model_list, model_object

# The root too: Databricks' client takes an app's root for its base URL.
PREFIXES = ("/v1", "/api/v1", "")


def app_for(
    runtime: Runtime,
    *,
    pace: Pace | None = None,
    max_body: int = MAX_BODY,
    created: int | None = None,
) -> FastAPI:
    """The app that serves the runtime's agents, and opens the runtime for as long as it lives.

    `max_body` is in bytes, `created` (what `/v1/models` says) in Unix seconds, by default now.
    """
    if not runtime.agents:
        raise ValueError("there are no agents to serve")
    chat = ChatCompletions(runtime, pace=pace, max_body=max_body)
    paths = [f"{prefix}/chat/completions" for prefix in PREFIXES]
    app = _App(lifespan=_lifespan(runtime), hot=dict.fromkeys(paths, chat))
    # The router knows them too, for 405 and for apps that mount this one below a path.
    app.router.routes += [Route(path, chat, methods=["POST"]) for path in paths]
    models = _models(runtime, created or int(time.time()))
    status = _status(runtime)
    for prefix in PREFIXES:
        documented = prefix == PREFIXES[0]
        app.include_router(models, prefix=prefix, include_in_schema=documented)
        app.include_router(status, prefix=prefix, include_in_schema=prefix == "")
    app.include_router(_greeting(runtime))
    # For those who host the app themselves, and for tests.
    app.state.runtime = runtime
    for kind in (HTTPException, RequestError, Exception):
        app.add_exception_handler(kind, _error_response)
    return app


class _App(FastAPI):
    """FastAPI, with the paths that carry tokens in front of its middleware and router."""

    def __init__(self, *, hot: Mapping[str, ASGIApp], **options: Any) -> None:
        # The pages under /docs would load their scripts from a CDN.
        super().__init__(
            title="Retinue",
            version=__version__,
            redirect_slashes=False,
            docs_url=None,
            redoc_url=None,
            **options,
        )
        self._hot = hot

    def build_middleware_stack(self) -> ASGIApp:
        return AccessLog(_Front(self._hot, super().build_middleware_stack()))

    def openapi(self) -> dict[str, Any]:
        if not self.openapi_schema:
            self.openapi_schema = with_chat(super().openapi())
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


def _lifespan(runtime: Runtime) -> Any:
    @asynccontextmanager
    async def opened(_app: FastAPI) -> AsyncGenerator[None, None]:
        async with runtime:
            runtime.warm()
            yield

    return opened


def _models(runtime: Runtime, created: int) -> APIRouter:
    router = APIRouter(tags=["models"])

    @router.get("/models", summary="The agents, as models")
    async def models() -> dict[str, Any]:
        return model_list(runtime.agents, created)

    @router.get("/models/{model:path}", summary="One agent, as a model")
    async def model(model: str) -> dict[str, Any]:
        if not model:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return model_object(find_agent(runtime.agents, model), created)

    return router


def _status(runtime: Runtime) -> APIRouter:
    router = APIRouter(tags=["status"])

    @router.get("/health", summary="Whether it works, and each agent's tool servers")
    async def health() -> dict[str, Any]:
        return {"status": "healthy", "version": __version__, "agents": runtime.health()}

    return router


def _greeting(runtime: Runtime) -> APIRouter:
    router = APIRouter(tags=["status"])

    @router.get("/", summary="What this is")
    async def greeting() -> dict[str, Any]:
        return {
            "service": "retinue",
            "version": __version__,
            "agents": list(runtime.agents),
            "endpoints": ["POST /v1/chat/completions", "GET /v1/models", "GET /health"],
            "openapi": "/openapi.json",
        }

    return router


def _error_response(request: Request, error: Exception) -> Response:
    told = _told(request, error)
    record_of(request.scope).fault = told.code or told.type
    return Response(told.body, told.status, dict(told.headers), "application/json")


def _told(request: Request, error: Exception) -> ErrorAnswer:
    if isinstance(error, HTTPException):
        headers = {name.lower(): value for name, value in (error.headers or {}).items()}
        return http_error(error.status_code, request.method, request.url.path, headers)
    return answer(error)
