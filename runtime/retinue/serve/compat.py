"""`retinue serve --compat`: the routes of older agent servers, each by one that is there already.

A session is a conversation of the store whose id follows from the caller and the session's name.
"""

import os
import secrets
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retinue.errors import RequestError
from retinue.serve.access import HUNG_UP, record_of
from retinue.serve.body import HungUpError, read_json_body
from retinue.serve.control import Control
from retinue.serve.exchange import header
from retinue.serve.files import same_site
from retinue.serve.files_form import boundary_of
from retinue.serve.files_kept import KeptFiles
from retinue.serve.options import Compat
from retinue.serve.state import State
from retinue.serve.wire.compat import (
    CompatFrames,
    CompatRequest,
    CompatSession,
    compat_answer,
    response_request,
)

if TYPE_CHECKING:
    from retinue.store.store import Store

_ANEW = ("agent_reinitialize", "agent-reinitialize")
_YES = ("1", "true", "yes", "on")
# A file that comes with a question is kept for a day.
_DAY = {
    "purpose": "user_data",
    "expires_after[anchor]": "created_at",
    "expires_after[seconds]": "86400",
}


class CompatRoutes:
    """The routes, over the endpoint for responses and what else the server has."""

    def __init__(
        self,
        responses: ASGIApp,
        state: State,
        files: KeptFiles,
        control: Control,
        *,
        anyone: bool,
        max_body: int,
    ) -> None:
        self._responses = responses
        self._state = state
        self._files = files
        self._control = control
        self._anyone = anyone
        self._max_body = max_body

    def routes(self, app: ASGIApp, mode: Compat, door: Callable[[ASGIApp], ASGIApp]) -> list[Route]:
        """`app` has what the short names stand for; runs go through a `door`."""
        hot = {
            "/chat": _Chat(self, stream=False, files=False),
            "/chat/stream": _Chat(self, stream=True, files=False),
            "/chat/with-files": _Chat(self, stream=False, files=True),
            "/chat/stream/with-files": _Chat(self, stream=True, files=True),
        }
        found = [Route(path, door(one), methods=["POST"]) for path, one in hot.items()]
        found.append(Route("/agent/initialize", self._initialize, methods=["POST"]))
        found += [
            Route(path, _Alias(app), methods=["GET"])
            for path in ("/prompts", "/logs", "/logs/{rest:path}")
        ]
        if mode == "restart":
            found.append(Route("/restart", self._restart, methods=["POST"]))
            found.append(Route("/kill", self._kill, methods=["POST"]))
        return found

    async def chat(
        self, scope: Scope, receive: Receive, send: Send, *, stream: bool, files: bool
    ) -> None:
        """Answer one question. Raises RequestError, HungUpError, and what the store does."""
        record = record_of(scope)
        owner = record.identity.subject
        if files:
            asked, file_ids = await self._form(scope, receive)
        else:
            body = await read_json_body(scope, receive, self._max_body)
            # The endpoint for responses reads a body once more, and the run's place is taken.
            record.begin = None
            asked, file_ids = CompatRequest.read(body), []
        session = asked.session_id or secrets.token_hex(16)
        conversation = await self._conversation(owner, session, anew=_anew(scope))
        given = response_request(asked, stream=stream, conversation=conversation, file_ids=file_ids)
        turned = _Turned(send, session, stream=stream)
        await self._responses(_posting(scope, given, session), _reading(given, receive), turned)

    async def _form(self, scope: Scope, receive: Receive) -> tuple[CompatRequest, list[str]]:
        request = Request(scope, receive)
        same_site(request)
        boundary = boundary_of(request.headers.get("content-type", ""))
        owner = record_of(scope).identity.subject
        stored, fields = await self._files.upload(owner, receive, boundary, None, fixed=_DAY)
        return CompatRequest.read(orjson.dumps(fields)), [stored.id]

    async def _conversation(self, owner: str, session: str, *, anew: bool) -> str | None:
        """The session's, made where it is new; None where nothing is kept."""
        if not self._state.on:
            return None
        store = await self._state.store("session_id")
        name = _conversation_id(owner, session)
        if anew:
            await store.remove_conversation(name, owner)
        await _make(store, name, owner)
        return name

    async def _initialize(self, request: Request) -> JSONResponse:
        """Begin a session anew: `{"session_id"?}` → `{"status", "session_id"}`."""
        same_site(request)
        body = await read_json_body(request.scope, request.receive, self._max_body)
        asked = CompatSession.read(body)
        owner = record_of(request.scope).identity.subject
        session = asked.session_id or secrets.token_hex(16)
        await self._conversation(owner, session, anew=True)
        return JSONResponse({"status": "initialized", "session_id": session})

    async def _restart(self, request: Request) -> JSONResponse:
        self._admins_only(request)
        if self._control.reload is None:
            message = "This server was not started from a project's files: start it anew."
            raise RequestError(message, code="reload_not_possible", status=409)
        return JSONResponse({"status": "restarted", "agents": await self._control.reload()})

    async def _kill(self, request: Request) -> JSONResponse:
        self._admins_only(request)
        # As from the machine: runs under way have their time to end.
        os.kill(os.getpid(), signal.SIGTERM)
        return JSONResponse({"status": "stopping"})

    def _admins_only(self, request: Request) -> None:
        same_site(request)
        if not (self._anyone or record_of(request.scope).identity.admin):
            message = "This is for administrators: see RETINUE_ADMIN_KEYS and RETINUE_ADMINS."
            raise RequestError(message, code="permission_denied", status=403)


class _Chat:
    """One of the routes that ask, as an ASGI app."""

    def __init__(self, routes: CompatRoutes, *, stream: bool, files: bool) -> None:
        self._routes = routes
        self._stream = stream
        self._files = files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._routes.chat(scope, receive, send, stream=self._stream, files=self._files)
        except HungUpError:
            record_of(scope).status = HUNG_UP


class _Alias:
    """The same path under /v1."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = f"/v1{scope['path']}"
        # What routing has found of the short name must not be taken for the long one's.
        known = {"path": path, "raw_path": path.encode(), "path_params": {}}
        await self._app({**scope, **known}, receive, send)


class _Turned:
    """An ASGI `send` that takes a response's answer, and sends it in the older form."""

    def __init__(self, send: Send, session: str, *, stream: bool) -> None:
        self._send = send
        self._session = session
        self._frames = CompatFrames(session) if stream else None
        self._head: Message = {}
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._head = message
            if message["status"] >= 400:
                self._frames = None
            if self._frames:
                await self._send(message)
            return
        if self._frames:
            body = self._frames.frames(message.get("body", b""))
            if body or not message.get("more_body"):
                await self._send({**message, "body": body})
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        failed = self._head["status"] >= 400
        body = self._body if failed else compat_answer(self._body, self._session)
        headers = [pair for pair in self._head["headers"] if pair[0] != b"content-length"]
        headers.append((b"content-length", b"%d" % len(body)))
        await self._send({**self._head, "headers": headers})
        await self._send({**message, "body": body})


def _anew(scope: Scope) -> bool:
    return any((header(scope, name) or "").lower() in _YES for name in _ANEW)


def _conversation_id(owner: str, session: str) -> str:
    told = f"retinue compat\0{owner}\0{session}".encode("utf-8", "replace")
    return f"conv_{sha256(told).hexdigest()[:32]}"


async def _make(store: "Store", name: str, owner: str) -> None:
    from sqlalchemy.exc import IntegrityError  # noqa: PLC0415 - loaded beside the start

    from retinue.store.records import Conversation, MissingError  # noqa: PLC0415

    try:
        await store.conversation(name, owner)
    except MissingError:
        # Of two at the same time one makes it.
        with suppress(IntegrityError):
            await store.create_conversation(owner, Conversation(name, int(time.time()), "{}"), ())


def _posting(scope: Scope, body: bytes, session: str) -> Scope:
    replaced = (b"content-type", b"content-length", b"transfer-encoding", b"x-session-id")
    headers = [pair for pair in scope["headers"] if pair[0] not in replaced]
    headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    headers.append((b"x-session-id", session.encode()))
    record_of(scope).received = dict(headers)
    return {**scope, "headers": headers}


def _reading(body: bytes, receive: Receive) -> Receive:
    left = [body]

    async def read() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return read
