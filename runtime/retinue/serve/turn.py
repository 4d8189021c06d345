"""A response request → what lies before it in the store, and what it leaves there."""

import asyncio
import logging
from collections.abc import Iterable

import orjson

from retinue.errors import RequestError, RetinueError
from retinue.run.events import RunFinished
from retinue.run.messages import Message
from retinue.serve.state import State
from retinue.serve.wire.kept_messages import dumped, loaded
from retinue.serve.wire.listed import listed, reference, references, response_of, shown
from retinue.serve.wire.responses import ResponseHead
from retinue.serve.wire.responses_input import Item as Given
from retinue.serve.wire.responses_input import conversation
from retinue.serve.wire.responses_output import Fields
from retinue.serve.wire.responses_request import CreateResponseRequest
from retinue.store.records import (
    BusyError,
    Item,
    MissingError,
    Passage,
    Response,
    TooLongError,
)

log = logging.getLogger("retinue.serve")

_PATIENCE = 2.0


class Turn:
    """One request's place among what `owner` has said before.

    `said` is set by whoever knows what the agent has heard. Nothing changes before `keep`.
    """

    def __init__(
        self, state: State, given: CreateResponseRequest, head: ResponseHead, owner: str, agent: str
    ) -> None:
        self._state = state
        self._given = given
        self._head = head
        self.owner = owner
        self._agent = agent
        self._items: str | list[Given] = given.input
        self._holds = self._settled = False
        self.said: tuple[Message, ...] = ()
        self.refers = not isinstance(given.input, str) and any(map(reference, given.input))

    @property
    def goes_on(self) -> bool:
        """Whether anything has to be read before the run."""
        return self.refers or bool(self._head.previous or self._head.conversation)

    @property
    def leaves(self) -> bool:
        """Whether anything is to be kept of it."""
        return self._head.store or self._head.conversation is not None

    @property
    def stores(self) -> bool:
        """Whether its response is to be kept, also where it has failed."""
        return self._head.store

    async def before(self) -> tuple[Message, ...]:
        """What was said before. Holds the conversation, which `keep` and `release` let go.

        Raises RequestError where there is no such response or conversation, or somebody else is
        at work on it, and what the store does.
        """
        if self._head.previous:
            return await self._chain(self._head.previous)
        if self._head.conversation:
            return await self._conversation(self._head.conversation)
        return ()

    async def _chain(self, response_id: str) -> tuple[Message, ...]:
        store = await self._state.store("previous_response_id")
        try:
            texts = await store.history(response_id, self.owner)
        except TooLongError:
            raise _too_long("previous_response_id") from None
        if not texts:
            raise RequestError(
                f"There is no response '{shown(response_id)}' to go on from.",
                param="previous_response_id",
                code="previous_response_not_found",
            )
        return loaded(texts)

    async def _conversation(self, conversation_id: str) -> tuple[Message, ...]:
        store = await self._state.store("conversation")
        try:
            passages = await store.hold(conversation_id, self.owner, self._head.id)
        except MissingError:
            raise no_conversation(conversation_id, "conversation") from None
        except BusyError:
            raise busy() from None
        self._holds = True
        return _retold(passages)

    def listed(self) -> str:
        """What came with the request, as listed items in JSON."""
        return text(listed(self._items, self._head.token))

    def told(self, finish: RunFinished) -> str:
        """The turn as the model saw it, in JSON."""
        # A paused turn goes on where it stood, which its questions tell.
        return dumped(self.said if finish.paused else (*self.said, *finish.messages))

    def added(self, response: Fields) -> list[Item]:
        """What a conversation grows by."""
        return stored_items((*listed(self._items, self._head.token), *response["output"]))

    async def items(self) -> str | list[Given]:
        """The input, with what it refers to in place of references. Raises RequestError."""
        if isinstance(self._items, str) or not self.refers:
            return self._items
        names = [name for item in self._items if (name := reference(item))]
        store = await self._state.store("input")
        answers = dict.fromkeys(found for name in names if (found := response_of(name)))
        kept, loose = await store.referenced(tuple(answers), names, self.owner)
        known = {item["id"]: item for text in loose for item in [orjson.loads(text)]}
        for given, body in kept:
            known |= {i["id"]: i for i in (*orjson.loads(given), *orjson.loads(body)["output"])}
        self._items = references(self._items, known.get)
        return self._items

    async def keep(self, response: Fields, finish: RunFinished) -> bool:
        """Keep the turn; whether that worked. Its answer is good in any case."""
        head = self._head
        self._settled = True
        messages = self.told(finish)
        record = self._record(response, messages)
        try:
            store = await self._state.store("store")
            await store.keep(
                record if head.store else None,
                conversation_id=head.conversation,
                holder=head.id,
                added=self.added(response) if head.conversation else (),
                messages=messages,
            )
        except RetinueError as error:
            log.warning(
                "%s was answered and is not kept: %s", head.id, str(error) or type(error).__name__
            )
            return False
        self._holds = False
        return True

    def _record(self, response: Fields, messages: str) -> Response:
        return Response(
            id=self._head.id,
            owner=self.owner,
            agent=self._agent,
            created_at=self._head.created,
            status=response["status"],
            previous_id=self._head.previous,
            body=text(response),
            input=self.listed(),
            messages=messages,
        )

    async def keep_failed(self, response: Fields) -> None:
        """Keep a response that has failed, if that goes soon: its caller waits to be told."""
        if self._settled:
            return
        try:
            async with asyncio.timeout(_PATIENCE):
                store = await self._state.store("store")
                await store.keep(self._record(response, "[]"))
        except (RetinueError, TimeoutError) as error:
            why = str(error) or type(error).__name__
            log.warning("%s has failed and is not kept: %s", self._head.id, why)

    async def release(self) -> None:
        """Let go of the conversation, if it is held; nothing has changed."""
        if self._holds and self._head.conversation:
            self._holds = False
            try:
                store = await self._state.store("conversation")
                await store.release(self._head.conversation, self._head.id)
            except RetinueError as error:
                log.warning("a conversation stays locked for a moment: %s", error)


def _retold(passages: Iterable[Passage]) -> tuple[Message, ...]:
    """Whole turns as the model saw them; what is left of others as anyone would read it."""
    messages: list[Message] = []
    for passage in passages:
        if passage.messages is not None:
            messages += loaded([passage.messages])
            continue
        items = [orjson.loads(body) for body in passage.items]
        try:
            messages += conversation(items, strict=False)[0]
        except RequestError:
            # Nothing in them says anything by itself, such as an answer whose call was deleted.
            continue
    return tuple(messages)


def text(value: object) -> str:
    """JSON as a store keeps it."""
    return orjson.dumps(value).decode()


def stored_items(items: Iterable[Fields]) -> list[Item]:
    """Listed items as a store keeps them."""
    return [Item(item["id"], text(item)) for item in items]


def no_conversation(conversation_id: str, param: str = "conversation_id") -> RequestError:
    """There is none of that id, or it is somebody else's."""
    message = f"There is no conversation '{shown(conversation_id)}'."
    return RequestError(message, param=param, code="conversation_not_found", status=404)


def busy() -> RequestError:
    """Somebody else is at work on the conversation."""
    return RequestError(
        "Another request is at work on this conversation: ask again when it is answered.",
        param="conversation",
        code="conversation_locked",
        status=409,
    )


def _too_long(param: str) -> RequestError:
    message = "What was said before is more than can be read: begin a new conversation."
    return RequestError(message, param=param, code="context_length_exceeded")
