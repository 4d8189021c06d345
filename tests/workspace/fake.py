"""A whole Databricks workspace on loopback: what the CLI, the SDK and a deployed App ask of one.

It takes nothing for granted: a path it doesn't know, a token it didn't give out or that has
expired, and a body with a wrong shape are refused, and `refused` tells a test of them.
"""

import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from run.fake_workspace import CLIENT, FakeWorkspace

Handler = Callable[[web.Request, "Caller"], Awaitable[web.StreamResponse]]
OPEN = ("/.well-known/", "/oidc/")


@dataclass(frozen=True)
class Caller:
    """Whom a token belongs to; `kind` is `user`, `app` or `pat`."""

    id: str
    name: str
    kind: str = "user"


@dataclass
class Route:
    method: str
    pattern: re.Pattern[str]
    handler: Handler
    kinds: tuple[str, ...] = ("user", "app", "pat")


class RefusedError(Exception):
    """Something that a workspace answers with an error object."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.answer = status, {"error_code": code, "message": message}


@dataclass
class Issued:
    caller: Caller
    until: float


class Workspace(FakeWorkspace):
    """Routes of the areas (`files`, `apps`, `serving`, `genie`) over discovery and OAuth.

    `now` gives seconds, and is what tokens expire by.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = time.time
        self.refused: list[str] = []
        self.issued: dict[str, Issued] = {}
        self.routes: list[Route] = []
        self.secrets: dict[tuple[str, str], str] = {}
        self.experiments: dict[str, str] = {}
        self.secret_clients: dict[str, tuple[str, Caller]] = {
            CLIENT[0]: (CLIENT[1], Caller("sp-1", CLIENT[0], "app"))
        }
        self.on("GET", r"/api/2\.0/preview/scim/v2/Me", self._me)
        self.on("GET", r"/api/2\.0/secrets/get", self._secret)
        self.on("POST", r"/api/2\.0/mlflow/experiments/create", self._experiment)
        self.on("GET", r"/api/2\.0/mlflow/experiments/get-by-name", self._experiment_by_name)
        self.on("*", r"/api/2\.0/mcp/genie/[0-9a-z-]+", self._mcp)

    def on(self, method: str, pattern: str, handler: Handler, **more: Any) -> None:
        self.routes.append(Route(method, re.compile(pattern), handler, **more))

    def sign_in(self, name: str, *, kind: str = "user", life: float = 3600) -> str:
        """A token of that user's: by OAuth, or their personal access token."""
        token = f"{'dapi' if kind == 'pat' else 'user'}-{secrets.token_hex(16)}"
        self.issued[token] = Issued(Caller(f"id-{name}", name, kind), self.now() + life)
        return token

    def holder(self, request: web.BaseRequest) -> Caller | None:
        """Whom the request's token belongs to, where it is good."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        found = self.issued.get(token) if scheme == "Bearer" else None
        return found.caller if found and found.until > self.now() else None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith(OPEN):
            answered = await super().answer(request)
            if request.path == "/oidc/v1/token" and answered.status == 200:
                self.issued[f"token-{self.tokens}"] = Issued(
                    self.secret_clients[CLIENT[0]][1], self.now() + self.life
                )
            return answered
        self.signed.append((request.path, request.headers.get("Authorization", "")))
        try:
            return await self._routed(request)
        except RefusedError as refused:
            status, body = refused.answer
            self.refused.append(f"{status} {request.method} {request.path}: {body['message']}")
            return web.json_response(body, status=status)

    async def _routed(self, request: web.Request) -> web.StreamResponse:
        caller = self.holder(request)
        if caller is None:
            raise RefusedError(401, "UNAUTHENTICATED", "no token, or none that is good")
        for route in self.routes:
            if route.method in ("*", request.method) and route.pattern.fullmatch(request.path):
                return await route.handler(request, caller)
        raise RefusedError(501, "NOT_IMPLEMENTED", "the fake workspace knows no such endpoint")

    async def _me(self, _request: web.Request, caller: Caller) -> web.Response:
        return web.json_response({"id": caller.id, "userName": caller.name, "active": True})

    async def _secret(self, request: web.Request, _caller: Caller) -> web.Response:
        key = request.query["scope"], request.query["key"]
        if key not in self.secrets:
            raise RefusedError(404, "RESOURCE_DOES_NOT_EXIST", "no such secret")
        return web.json_response({"key": key[1], "value": self.secrets[key]})

    async def _experiment(self, request: web.Request, _caller: Caller) -> web.Response:
        name = (await fields(request, {"name": str}))["name"]
        if name in self.experiments:
            raise RefusedError(400, "RESOURCE_ALREADY_EXISTS", "there is such an experiment")
        self.experiments[name] = str(len(self.experiments) + 1)
        return web.json_response({"experiment_id": self.experiments[name]})

    async def _experiment_by_name(self, request: web.Request, _caller: Caller) -> web.Response:
        name = request.query["experiment_name"]
        if name not in self.experiments:
            raise RefusedError(404, "RESOURCE_DOES_NOT_EXIST", "no such experiment")
        found = {"experiment_id": self.experiments[name], "name": name}
        return web.json_response({"experiment": found})

    async def _mcp(self, request: web.Request, _caller: Caller) -> web.StreamResponse:
        if not self.mcp_url:
            raise RefusedError(404, "RESOURCE_DOES_NOT_EXIST", "no such Genie space")
        return await self._forwarded(request)


async def fields(request: web.Request, needed: Mapping[str, type], **may: type) -> dict[str, Any]:
    """A body's fields. One that is missing, of another type, or unknown is refused."""
    try:
        body = await request.json()
    except ValueError:
        raise RefusedError(400, "MALFORMED_REQUEST", "the body is no JSON") from None
    known = {**needed, **may}
    for name, value in body.items():
        if name not in known:
            raise RefusedError(400, "INVALID_PARAMETER_VALUE", f"unknown field '{name}'")
        if not isinstance(value, known[name]):
            raise RefusedError(400, "INVALID_PARAMETER_VALUE", f"'{name}' has the wrong type")
    if missing := needed.keys() - body.keys():
        raise RefusedError(400, "INVALID_PARAMETER_VALUE", f"no {', '.join(sorted(missing))}")
    return body
