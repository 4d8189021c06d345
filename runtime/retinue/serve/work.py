"""A run that this process works on in the background → its stream and its end in the store."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import TYPE_CHECKING

from retinue.agent import Agent
from retinue.errors import StoreDownError
from retinue.run.events import ModelFinished, RunFinished
from retinue.run.runtime import Runtime
from retinue.serve.access import HUNG_UP, Observer, RequestRecord, new_id
from retinue.serve.asking import Asking
from retinue.serve.identity import Identity
from retinue.serve.state import State
from retinue.serve.turn import Turn, text
from retinue.serve.wire.errors import ErrorAnswer, answer
from retinue.serve.wire.frames import DONE
from retinue.serve.wire.orders import Order
from retinue.serve.wire.responses import ResponseHead, ResponseStream, in_responses_terms
from retinue.serve.wire.responses_echo import echo
from retinue.serve.wire.responses_output import Fields
from retinue.serve.wire.responses_request import CreateResponseRequest, parse, told
from retinue.store.records import Batch, BusyError, Claim, FullError, Item, LostError

if TYPE_CHECKING:
    from retinue.store.store import Store

log = logging.getLogger("retinue.serve")

MAX_SECONDS = 3600.0
"""How long a background run may take: its caller isn't waiting."""
_ATTEMPTS = 3
_FLUSH = 0.1
_PATIENCE = 600.0
_OPENING = 2
"""Events that every stream begins with, and that say nothing yet."""


Ended = Callable[[RequestRecord, str], None]
"""Is told of a run that is over, and the status that its response has."""


def _tell_nobody(_record: RequestRecord, _status: str) -> None:
    """Nobody asks."""


May = Callable[[RequestRecord], Awaitable[None]]
"""Raises RefusedError where a run that waited its turn may not begin any more."""


async def anybody_may(_record: RequestRecord) -> None:
    """Nothing is limited."""


class News:
    """Who follows a run of this process hears at once of what is new."""

    def __init__(self) -> None:
        self._events: dict[str, asyncio.Event] = {}

    def begin(self, response_id: str) -> None:
        """There will be news of it."""
        self._events[response_id] = asyncio.Event()

    def of(self, response_id: str) -> asyncio.Event:
        """Set when there is something new, if this process hears of it; good for once."""
        return self._events.get(response_id) or asyncio.Event()

    def tell(self, response_id: str, *, last: bool = False) -> None:
        """There is something new."""
        event = self._events.pop(response_id, None)
        if event and not last:
            self.begin(response_id)
        if event:
            event.set()


class Work:
    """One run. It is given up without a word where the store says that it isn't this process's."""

    def __init__(
        self,
        runtime: Runtime,
        state: State,
        claim: Claim,
        news: News,
        observers: tuple[Observer, ...] = (),
        *,
        ended: Ended = _tell_nobody,
        may: May = anybody_may,
    ) -> None:
        self._runtime = runtime
        self._state = state
        self._claim = claim
        self._id = claim.response_id
        self._news = news
        self._observers = observers
        self._ended = ended
        self._may = may
        self._status: str | None = None
        self._frames: list[bytes] = []
        self._first = self._count = 0
        self._more = asyncio.Event()
        self._turn = asyncio.Lock()
        self._lost = False

    async def do(self, identity: Identity | None) -> None:
        """Work on it to its end. `identity` is who asked, where that is known first-hand."""
        order = Order.loaded(self._claim.request)
        given = parse(order.body.encode())
        agent = self._runtime.agents.get(order.agent)
        head = ResponseHead(
            given.model or order.agent,
            echo(given, agent) if agent else {},
            token=self._id.removeprefix("resp_"),
            created=self._claim.created_at,
            store=True,
            background=True,
            previous=given.previous_response_id,
            conversation=given.conversation_id,
        )
        why = self._refusal(agent)
        begun = 0 if why is None or self._claim.told is None else self._claim.told + 1
        wire = ResponseStream(head, order.style, held=True, begun=begun)
        self._first = begun
        record = RequestRecord(new_id(), "RUN", f"/v1/responses/{self._id}")
        record.identity = identity or order.identity
        record.agent = order.agent
        record.observers = self._observers
        self._news.begin(self._id)
        try:
            if identity is None and self._claim.attempts == 1:
                await self._may(record)
            if agent and why is None:
                turn = Turn(self._state, given, head, self._claim.owner, agent.name)
                asking = Asking(self._runtime, agent, record, order.session, turn, MAX_SECONDS)
                await self._run(given, asking, wire)
                record.status = 200
            else:
                await self._fail(head, wire, _interrupted(why or ""), record)
        except LostError:
            _left(record, "lost")
        except asyncio.CancelledError:
            _left(record, "stopped")
            raise
        except Exception as error:
            shown = in_responses_terms(answer(error))
            if shown.unexpected:
                log.error("request_id=%s failed", record.id, exc_info=error)
            with suppress(LostError, StoreDownError):
                await self._fail(head, wire, shown, record)
        finally:
            self._news.tell(self._id, last=True)
            record.over()
            if self._status:
                self._ended(record, self._status)
            logging.getLogger("retinue.access").info("%s", record)

    def _refusal(self, agent: Agent | None) -> str | None:
        """Why it can't be run, or run once more."""
        claim = self._claim
        if agent is None:
            return "its agent is not served any more"
        if claim.attempts == 1:
            return None
        if claim.touched:
            return "the server stopped after tools may have been used, which are not used twice"
        if claim.told is not None and claim.told >= _OPENING:
            return "the server stopped amid the answer"
        if claim.attempts > _ATTEMPTS:
            return f"the server stopped {_ATTEMPTS} times while it ran"
        return None

    async def _run(
        self, given: CreateResponseRequest, asking: Asking, wire: ResponseStream
    ) -> None:
        if self._claim.attempts > 1:
            await self._persist(lambda store: store.restart(self._id))
        turn = asking.turn
        run = asking.continued(given) if turn.goes_on else asking.run(told(given))
        self._add(wire.begin(), wire)
        writing = asyncio.create_task(self._write())
        try:
            async with aclosing(run) as events:
                async for event in events:
                    self._add(wire.frames(event), wire)
                    if self._lost:
                        raise LostError
                    if isinstance(event, RunFinished):
                        asking.record.finish, asking.record.usage = event, event.usage
                        await self._finish(given.conversation_id, wire, turn, event)
                    elif isinstance(event, ModelFinished) and self._may_act(asking.agent):
                        # What comes next may be a tool's call.
                        await self._persist(lambda store: store.touch(self._id))
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    def _may_act(self, agent: Agent) -> bool:
        """Whether any of the agent's tools may do what can't be done twice.

        What a server that isn't trusted says of its tools doesn't count, and what one lists for a
        user isn't known here.
        """
        servers = agent.mcp_servers
        unknown = any(not server.trusted or server.auth == "user" for server in servers)
        return unknown or bool(agent.sub_agents) or not self._runtime.only_reads(agent.name)

    def _add(self, frames: bytes, wire: ResponseStream) -> None:
        if frames and self._claim.streamed:
            self._frames.append(frames)
            self._count = wire.count
            self._more.set()

    def _batch(self) -> Batch | None:
        """What is to be written, and is written no more then."""
        if not self._frames:
            return None
        batch = Batch(self._first, self._count - 1, b"".join(self._frames))
        self._frames, self._first = [], self._count
        return batch

    async def _write(self) -> None:
        """Write the stream, a batch at a time."""
        try:
            while True:
                await self._more.wait()
                self._more.clear()
                # Whole and in order, or the stream would have a gap.
                await asyncio.shield(self._flush())
                await asyncio.sleep(_FLUSH)
        except (LostError, StoreDownError):
            self._lost = True

    async def _flush(self) -> None:
        async with self._turn:
            if batch := self._batch():
                await self._persist(lambda store: store.append(self._id, batch))
                self._news.tell(self._id)

    async def _finish(
        self, conversation_id: str | None, wire: ResponseStream, turn: Turn, finish: RunFinished
    ) -> None:
        response = wire.response(finish)
        self._add(wire.end(response).removesuffix(DONE), wire)
        async with self._turn:
            end = partial(
                self._end, batch=self._batch(), response=response, messages=turn.told(finish)
            )
            try:
                added = turn.added(response) if conversation_id else ()
                await end(conversation_id=conversation_id, added=added)
            except (BusyError, FullError) as error:
                log.warning("%s is not in its conversation: %s", self._id, type(error).__name__)
                await end(conversation_id=None)

    async def _fail(
        self, head: ResponseHead, wire: ResponseStream, error: ErrorAnswer, record: RequestRecord
    ) -> None:
        record.fault = error.code or error.type
        self._add(wire.failure(error).removesuffix(DONE), wire)
        async with self._turn:
            await self._end(
                batch=self._batch(),
                response=wire.failed(error),
                messages="[]",
                conversation_id=head.conversation,
            )

    async def _end(
        self,
        *,
        batch: Batch | None,
        response: Fields,
        messages: str,
        conversation_id: str | None,
        added: Sequence[Item] = (),
    ) -> None:
        status, body = response["status"], text(response)
        await self._persist(
            lambda store: store.finish(
                self._id,
                batch,
                status=status,
                body=body,
                messages=messages,
                conversation_id=conversation_id,
                added=added,
            )
        )
        self._status = status

    async def _persist(self, write: "Callable[[Store], Awaitable[None]]") -> None:
        """Write it, if the database is away some minutes later. Raises StoreDownError then."""
        store = await self._state.store("background")
        left = _PATIENCE
        while True:
            try:
                return await write(store)
            except StoreDownError as down:
                left -= down.retry_after
                if left < 0:
                    raise
                await asyncio.sleep(down.retry_after)


def _left(record: RequestRecord, why: str) -> None:
    """Whoever has it next tells of it, and of what is spent from there on."""
    record.fault, record.status = why, HUNG_UP
    if record.spent is None:
        record.observers = ()


def _interrupted(why: str) -> ErrorAnswer:
    return ErrorAnswer(
        status=503,
        type="server_error",
        message=f"The response could not be completed: {why}.",
        code="run_interrupted",
    )
