"""A `Deployment` that speaks OpenAI's wire → a `Model`."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator
from typing import TYPE_CHECKING

from retinue.agent import Deployment
from retinue.errors import MissingReferenceError, ModelError
from retinue.run.events import ModelEvent, TextDelta
from retinue.run.models.answer import Answer
from retinue.run.models.direct.address import AddressBook
from retinue.run.models.direct.body import body_of, encode, left_out
from retinue.run.models.direct.reply import Reply
from retinue.run.models.faults import failure
from retinue.run.models.left_out import LeftOut
from retinue.run.models.shape import mapping
from retinue.run.ports import Lookup, ModelRequest

if TYPE_CHECKING:
    from retinue.run.models.direct.exchange import Exchange
    from retinue.run.models.direct.pool import Pool

# Seconds that the token counts and the end of a stream may take after the finish reason.
_AFTER_FINISH = 2.0


class DirectModel:
    """One deployment. What its address and key refer to is looked up at each call."""

    def __init__(self, deployment: Deployment, lookup: Lookup) -> None:
        self._deployment = deployment
        self._addresses = AddressBook(deployment, lookup)
        self._left_out = LeftOut(deployment.model)
        self._pool: Pool | None = None

    async def warm(self) -> None:
        """Open the pool of connections. Idempotent."""
        _ = self._here().session

    def _here(self) -> "Pool":
        # Not at the top: only routes that need the client should pay for its import.
        from retinue.run.models.direct.pool import Pool  # noqa: PLC0415

        pool = Pool.here()
        if self._pool is not pool:
            self._pool = pool
            pool.hold()
        return pool

    async def aclose(self) -> None:
        """Give up the pool of connections. Idempotent."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await pool.release()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """As `retinue.run.ports.Model.stream`. Text that came in together is one delta."""
        exchange = await self._ask(request)
        try:
            answer, reply = Answer(), Reply(exchange.encoding)
            until: float | None = None
            while not reply.done:
                piece = await exchange.read(until)
                if not piece:
                    for event in self._events(self._last(reply, answer), answer, exchange):
                        yield event
                    break
                for number, part in enumerate(reply.unpacked(piece)):
                    if number:
                        # A little that is packed may be a lot: others have their turn in between.
                        await asyncio.sleep(0)
                    for event in self._events(reply.take(part), answer, exchange):
                        yield event
                if answer.finished and until is None:
                    until = asyncio.get_running_loop().time() + _AFTER_FINISH
            if not answer.finished:
                raise self._cut_off()
            await exchange.drain()
            for event in answer.end():
                yield event
        finally:
            exchange.close()

    async def _ask(self, request: ModelRequest) -> "Exchange":
        from retinue.run.models.direct.exchange import post  # noqa: PLC0415 - as above

        model = self._deployment.model
        try:
            address = await self._addresses.find(request)
        except MissingReferenceError as missing:
            raise ModelError("auth", f"the model '{model}' can't be reached: {missing}") from None
        body = body_of(self._deployment, request)
        if lost := left_out(self._deployment, request, body):
            self._left_out.note(lost, request.optional)
        return await post(self._here(), model, address, encode(body))

    def _last(self, reply: Reply, answer: Answer) -> list[object]:
        """What the end of the bytes completes; half an event matters only in half an answer."""
        try:
            return reply.end()
        except ModelError:
            if answer.finished:
                return []
            raise

    def _events(
        self, chunks: Iterable[object], answer: Answer, exchange: "Exchange"
    ) -> list[ModelEvent]:
        events: list[ModelEvent] = []
        for chunk in chunks:
            told = failure(mapping(chunk), self._deployment.model, started=exchange.started)
            if told:
                raise told
            events += answer.take(chunk)
        if events:
            exchange.started = True
        return list(_joined(events)) if len(events) > 1 else events

    def _cut_off(self) -> ModelError:
        return ModelError("truncated", f"the answer of '{self._deployment.model}' was cut off")


def _joined(events: Iterable[ModelEvent]) -> Iterator[ModelEvent]:
    """The events, with pieces of text that follow one another as one."""
    pieces: list[str] = []
    for event in events:
        if type(event) is TextDelta:
            pieces.append(event.text)
            continue
        if pieces:
            yield TextDelta("".join(pieces))
            pieces.clear()
        yield event
    if pieces:
        yield TextDelta("".join(pieces))
