"""Every HTTP request → an id on its answer and one line in the log."""

import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retinue.errors import RequestError
from retinue.run.budget import Budget
from retinue.run.caller import Caller
from retinue.run.events import RunFinished, Usage
from retinue.run.messages import Message as Said
from retinue.run.remote_address import DEPTH_HEADER
from retinue.serve.identity import ANYONE, Identity

log = logging.getLogger("retinue.access")

HUNG_UP = 499
_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_PLAIN = re.compile(r"[A-Za-z0-9_.~:@-]*")
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_.~:@/%-]*")
_DEPTH = re.compile(r"[0-9]{1,3}")
_KEY = "retinue.request"


@dataclass(slots=True)
class RequestRecord:
    """What is known of a request: filled in as it goes along, and told by the log line.

    `headers` are for its answer, `received` its own, the last of each name, in ASGI's form;
    `trace_id` is of its run's trace, where there is one; `budget` is its run's, for what one that
    did not come to its end has spent; `finish` is its run's last event, and
    `said` the conversation that it was asked; `begin` is called when its body is there and a run
    would start. `observers` are told when it is over.
    """

    id: str
    method: str = ""
    path: str = ""
    status: int = 0
    session: str = ""
    agent: str = ""
    trace_id: str = ""
    identity: Identity = ANYONE
    usage: Usage | None = None
    budget: Budget | None = None
    finish: RunFinished | None = None
    said: Sequence[Said] = ()
    fault: str = ""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    received: Mapping[bytes, bytes] = field(default_factory=dict)
    begin: Callable[[], None] | None = None
    observers: "tuple[Observer, ...]" = ()
    started: float = field(default_factory=time.perf_counter)

    @property
    def spent(self) -> Usage | None:
        """What its run has spent so far; None for nothing."""
        used = self.budget.usage if self.budget else None
        return used if used and used.total_tokens else None

    def over(self) -> None:
        """What came of it is known, and the last of its answer is about to go out. Idempotent."""
        if self.usage is None and self.spent:
            self.usage = self.spent
        observers, self.observers = self.observers, ()
        for observe in observers:
            observe(self)

    def __str__(self) -> str:
        pairs = {
            "method": self.method,
            "path": _quoted(self.path, "/:@%", _PLAIN_PATH),
            "status": self.status,
            "ms": f"{(time.perf_counter() - self.started) * 1000:.1f}",
            "session": _quoted(self.session, ":@"),
            "agent": self.agent,
            "caller": _quoted(self.identity.subject, "@._:-"),
            "input_tokens": self.usage and self.usage.input_tokens,
            "output_tokens": self.usage and self.usage.output_tokens,
            "error": self.fault,
            "trace_id": self.trace_id,
            "request_id": self.id,
        }
        return " ".join([f"{k}={v}" for k, v in pairs.items() if v not in (None, "")])

    def header(self, name: bytes) -> str | None:
        """The last of the request's headers of that name, which is in lower case."""
        value = self.received.get(name)
        return value.decode("utf-8", "replace") if value else None

    def caller(self, metadata: Mapping[str, str]) -> Caller:
        """Who asks, as a run sees it. Raises RequestError for a depth that is none."""
        told = self.header(DEPTH_HEADER.encode())
        if told and not _DEPTH.fullmatch(told):
            message = f"The header {DEPTH_HEADER} must be a number of at most three digits."
            raise RequestError(message, param=DEPTH_HEADER, code="invalid_value")
        return self.identity.caller(metadata, self.session, int(told or 0))


Observer = Callable[[RequestRecord], None]
"""Takes a request that is over. It must not raise, and it must not wait for anybody."""


def record_of(scope: Scope) -> RequestRecord:
    """The record of the request that `scope` belongs to; a fresh one outside of AccessLog."""
    found: RequestRecord | None = scope.get(_KEY)
    if found is None:
        found = scope[_KEY] = RequestRecord(id=_id_of(scope), received=dict(scope["headers"]))
    return found


class AccessLog:
    """ASGI middleware: `x-request-id` on every answer; when it is over, `observers` and a line.

    The observers come before the last of the answer: who has all of it can count on them.
    """

    def __init__(self, app: ASGIApp, *observers: Observer) -> None:
        self._app = app
        self._observers = observers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = RequestRecord(_id_of(scope), scope["method"], scope["path"])
        record.received = dict(scope["headers"])
        record.observers = self._observers
        scope[_KEY] = record
        record.headers.append((b"x-request-id", record.id.encode()))

        async def tagged(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = record.status or message["status"]
                message["headers"] = [*message.get("headers", ()), *record.headers]
            elif not message.get("more_body"):
                record.over()
            await send(message)

        try:
            await self._app(scope, receive, tagged)
        finally:
            record.over()
            tell(record)


def tell(record: RequestRecord) -> None:
    """Write the line of a request that is over."""
    if log.isEnabledFor(logging.INFO):
        # `log.info` would find out who calls it, which takes as long as the line itself.
        log.handle(log.makeRecord(log.name, logging.INFO, "", 0, "%s", (record,), None))


def _quoted(text: str, safe: str, plain: re.Pattern[str] = _PLAIN) -> str:
    return text if plain.fullmatch(text) else quote(text, safe=safe)


def _id_of(scope: Scope) -> str:
    """The caller's own id, if it is fit for a header and a log; else a random one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SANE_ID.fullmatch(value):
            return bytes(value).decode()
    return new_id()


def new_id() -> str:
    """A request's id, where its caller has given none."""
    return f"req_{secrets.token_hex(16)}"
