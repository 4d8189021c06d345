"""The bytes of an answer in OpenAI's shape, wherever they come from → events."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from typing import Protocol

from retinue.errors import ModelError
from retinue.run.events import ModelEvent, TextDelta
from retinue.run.models.answer import Answer
from retinue.run.models.direct.reply import Reply
from retinue.run.models.faults import failure
from retinue.run.models.shape import mapping
from retinue.run.ports import ModelRequest

# Seconds that the token counts and the end of a stream may take after the finish reason.
_AFTER_FINISH = 2.0


class Source(Protocol):
    """An answer under way. `started` is set here, once output has come in."""

    started: bool

    @property
    def encoding(self) -> str:
        """The answer's content encoding."""

    async def read(self, until: float | None = None) -> bytes:
        """What has come in, empty at the end. A moment `until`, if given, is the end too.

        Raises ModelError when the answer breaks off, unless `until` is given.
        """

    async def drain(self) -> None:
        """Take the end of an answer that is known to be complete."""

    async def aclose(self) -> None:
        """End it, at the provider too if there is more to come."""


async def answered(
    ask: Callable[[ModelRequest], Awaitable[Source]], request: ModelRequest, model: str
) -> AsyncGenerator[ModelEvent, None]:
    """As `retinue.run.ports.Model.stream`. Text that came in together is one delta."""
    source = await ask(request)
    try:
        answer, reply = Answer(), Reply(source.encoding)
        until: float | None = None
        while not reply.done:
            piece = await source.read(until)
            if not piece:
                events, error = _events(_last(reply, answer), answer, source, model)
                for event in events:
                    yield event
                if error:
                    raise error
                break
            for number, part in enumerate(reply.unpacked(piece)):
                if number:
                    # A little that is packed may be a lot: others have their turn in between.
                    await asyncio.sleep(0)
                events, error = _events(reply.take(part), answer, source, model)
                for event in events:
                    yield event
                if error:
                    raise error
            if answer.finished and until is None:
                until = asyncio.get_running_loop().time() + _AFTER_FINISH
        if not answer.finished:
            raise ModelError("truncated", f"the answer of '{model}' was cut off")
        await source.drain()
        for event in answer.end():
            yield event
    finally:
        await source.aclose()


def _last(reply: Reply, answer: Answer) -> list[object]:
    """What the end of the bytes completes; half an event matters only in half an answer."""
    try:
        return reply.end()
    except ModelError:
        if answer.finished:
            return []
        raise


def _events(
    chunks: Iterable[object], answer: Answer, source: Source, model: str
) -> tuple[list[ModelEvent], ModelError | None]:
    """What the chunks say, and the error that they end with, if one of them tells of it."""
    events: list[ModelEvent] = []
    error: ModelError | None = None
    for chunk in chunks:
        error = failure(mapping(chunk), model, started=source.started or bool(events))
        if error:
            break
        events += answer.take(chunk)
    if events:
        source.started = True
    return (list(_joined(events)) if len(events) > 1 else events), error


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
