"""`POST /v1/chat/completions`: a request's bytes → a run → an answer, streamed or whole.

A bare ASGI endpoint, since this is the path that every token takes.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from starlette.types import Receive, Scope, Send

from retinue.run.events import Event, ModelRetried, RunFinished, Usage
from retinue.run.runtime import Runtime
from retinue.serve.access import HUNG_UP, RequestRecord, record_of
from retinue.serve.answers import EventStream, HangUp, Pace, send_error, send_json
from retinue.serve.body import MAX_BODY, HungUpError, read_json_body
from retinue.serve.wire.chat import ChatAnswer, ChatStream, Head, failure
from retinue.serve.wire.chat_messages import heard
from retinue.serve.wire.chat_request import ChatRequest, decode
from retinue.serve.wire.errors import STOPPING, ErrorAnswer, answer
from retinue.serve.wire.hops import hops_header
from retinue.serve.wire.models import find_agent
from retinue.serve.wire.session import HEADER as SESSION_HEADER
from retinue.serve.wire.session import session_name
from retinue.serve.wire.steps import HEADER as STEPS_HEADER
from retinue.serve.wire.steps import steps_mode

log = logging.getLogger("retinue.serve")


class ChatCompletions:
    """The endpoint. `max_body` is in bytes."""

    def __init__(
        self, runtime: Runtime, *, pace: Pace | None = None, max_body: int = MAX_BODY
    ) -> None:
        self._runtime = runtime
        self._pace = pace or Pace()
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record = record_of(scope)
        stream = EventStream(send, self._pace)
        hang_up = HangUp(receive)
        try:
            request = decode(await read_json_body(scope, receive, self._max_body))
            await self._answer(request, scope, stream, hang_up, send)
        except HungUpError:
            record.status = HUNG_UP
        except asyncio.CancelledError:
            # Cancelled by the caller's going away or not reading, or by a server that stops: each
            # is answered here, and with that the request is over.
            if hang_up.noticed or stream.stalled:
                record.status = HUNG_UP
            else:
                await _fail(STOPPING, record, stream, send)
        except Exception as error:  # noqa: BLE001 - the outermost boundary of a request
            await _fail(_told(error, record), record, stream, send)

    async def _answer(
        self,
        request: ChatRequest,
        scope: Scope,
        stream: EventStream,
        hang_up: HangUp,
        send: Send,
    ) -> None:
        record, headers = record_of(scope), dict(scope["headers"])
        identity = record.identity
        agent = find_agent(self._runtime.agents, request.model, identity.closed)
        record.agent = agent.name
        record.session = session_name(
            _header(headers, SESSION_HEADER),
            request.metadata,
            identity.subject or request.user,
            request.messages,
        )
        steps = steps_mode(_header(headers, STEPS_HEADER), agent.serving.steps)
        head = Head(request.model or agent.name, agent.digest)
        run = self._runtime.run(
            agent.name,
            heard(request.messages, agent.serving.system_messages),
            options=request.options,
            caller=identity.caller(request.metadata),
        )
        if request.stream:
            wire = ChatStream(head, include_usage=request.include_usage, steps=steps)
            async with hang_up, stream:
                record.usage = await _stream(run, wire, stream)
            await stream.end()
        else:
            whole = ChatAnswer(steps)
            async with hang_up:
                hops = await _fold(run, whole)
            record.usage = _spent(whole.finish)
            await send_json(send, whole.completion(head, request.metadata), headers=hops)


def _header(headers: Mapping[bytes, bytes], name: str) -> str | None:
    value = headers.get(name.encode())
    return value.decode("utf-8", "replace") if value else None


async def _stream(run: AsyncGenerator[Event, None], wire: ChatStream, stream: EventStream) -> Usage:
    hops = []
    async with aclosing(run) as events:
        async for event in events:
            frames = wire.frames(event)
            if frames:
                await stream.write(frames)
            elif isinstance(event, ModelRetried):
                hops.append(event)
                stream.headers = hops_header(hops)
    return _spent(wire.finish)


async def _fold(run: AsyncGenerator[Event, None], whole: ChatAnswer) -> Mapping[str, str]:
    """Fold the run; the headers that tell of it."""
    hops = []
    async with aclosing(run) as events:
        async for event in events:
            whole.add(event)
            if isinstance(event, ModelRetried):
                hops.append(event)
    return hops_header(hops)


def _spent(finish: RunFinished | None) -> Usage:
    if finish is None:
        raise RuntimeError("the run ended without saying so")
    return finish.usage


def _told(error: Exception, record: RequestRecord) -> ErrorAnswer:
    told = answer(error)
    if told.unexpected:
        log.error("request_id=%s failed", record.id, exc_info=error)
    return told


async def _fail(error: ErrorAnswer, record: RequestRecord, stream: EventStream, send: Send) -> None:
    record.fault = error.code or error.type
    if stream.opened:
        await stream.end(failure(error.object))
    else:
        await send_error(send, error)
