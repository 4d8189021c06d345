"""A database → what a server keeps in it, each method one transaction."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from retinue.errors import RetinueError
from retinue.store import answered, conversations, notes, responses, runs
from retinue.store.address import Address
from retinue.store.database import Database
from retinue.store.presence import Presence
from retinue.store.records import (
    Batch,
    BusyError,
    Claim,
    Conversation,
    Item,
    Passage,
    Response,
    Tail,
)

_CLAIMS = "claims"


class Store:
    """Every method may raise StoreDownError and StoreError."""

    def __init__(self, address: Address) -> None:
        self.database = Database(address)
        self.presence = Presence()
        self._loose: set[asyncio.Task[None]] = set()

    @property
    def down(self) -> bool:
        """Whether the last that was asked of it got no answer."""
        return self.database.down

    async def aclose(self) -> None:
        """Give up what is held, and close the database."""
        await asyncio.gather(*self._loose)
        await self.presence.end(self.database)
        await self.database.aclose()

    async def response(self, response_id: str, owner: str) -> Response | None:
        """The owner's response."""
        return await self.database.read(
            partial(responses.find, response_id=response_id, owner=owner)
        )

    async def remove_response(self, response_id: str, owner: str) -> bool:
        """Whether there was one."""
        return await self.database.write(
            partial(responses.remove, response_id=response_id, owner=owner)
        )

    async def history(self, response_id: str, owner: str) -> list[str]:
        """The messages of each turn up to this one, as `responses.history` has them."""
        return await self.database.read(
            partial(responses.history, response_id=response_id, owner=owner)
        )

    async def referenced(
        self, response_ids: Sequence[str], item_ids: Sequence[str], owner: str
    ) -> tuple[list[tuple[str, str]], list[str]]:
        """Input and body of those responses, and those items of conversations, that are there."""

        async def work(connection: AsyncConnection) -> tuple[list[tuple[str, str]], list[str]]:
            return (
                await responses.bodies(connection, response_ids, owner),
                await conversations.named(connection, item_ids, owner),
            )

        return await self.database.read(work)

    async def create_conversation(
        self, owner: str, conversation: Conversation, added: Sequence[Item]
    ) -> None:
        """A new one with its first items."""

        async def work(connection: AsyncConnection) -> None:
            await conversations.create(connection, owner, conversation)
            await conversations.add_items(connection, conversation.id, added)

        await self.database.write(work)

    async def conversation(self, conversation_id: str, owner: str) -> Conversation:
        """The owner's. Raises MissingError."""
        return await self.database.read(
            partial(conversations.find, conversation_id=conversation_id, owner=owner)
        )

    async def describe(self, conversation_id: str, owner: str, described: str) -> Conversation:
        """The owner's conversation with other metadata. Raises MissingError."""

        async def work(connection: AsyncConnection) -> Conversation:
            await conversations.describe(connection, conversation_id, owner, described)
            return await conversations.find(connection, conversation_id, owner)

        return await self.database.write(work)

    async def remove_conversation(self, conversation_id: str, owner: str) -> bool:
        """Whether there was one."""
        return await self.database.write(
            partial(conversations.remove, conversation_id=conversation_id, owner=owner)
        )

    async def add_items(self, conversation_id: str, owner: str, added: Sequence[Item]) -> None:
        """Raises MissingError, BusyError where a turn is at work on it, and FullError."""

        async def work(connection: AsyncConnection) -> None:
            await conversations.hold(connection, conversation_id, owner, None, "")
            await conversations.add_items(connection, conversation_id, added)

        await self.database.write(work)

    async def remove_item(self, conversation_id: str, owner: str, item_id: str) -> Conversation:
        """Raises MissingError, MissingItemError, and BusyError where a turn is at work on it."""

        async def work(connection: AsyncConnection) -> Conversation:
            await conversations.hold(connection, conversation_id, owner, None, "")
            await conversations.remove_item(connection, conversation_id, item_id)
            return await conversations.find(connection, conversation_id, owner)

        return await self.database.write(work)

    async def item(self, conversation_id: str, owner: str, item_id: str) -> str:
        """Its JSON. Raises MissingError and MissingItemError."""

        async def work(connection: AsyncConnection) -> str:
            await conversations.find(connection, conversation_id, owner)
            return await conversations.find_item(connection, conversation_id, item_id)

        return await self.database.read(work)

    async def page(
        self,
        conversation_id: str,
        owner: str,
        *,
        after: str | None,
        limit: int,
        newest_first: bool,
    ) -> list[str]:
        """Up to `limit` items' JSON. Raises MissingError, and MissingItemError for `after`."""

        async def work(connection: AsyncConnection) -> list[str]:
            await conversations.find(connection, conversation_id, owner)
            return await conversations.page(
                connection, conversation_id, after=after, limit=limit, newest_first=newest_first
            )

        return await self.database.read(work)

    async def hold(self, conversation_id: str, owner: str, holder: str) -> list[Passage]:
        """Begin a turn of the owner's conversation, as `holder`; what was said before.

        Raises MissingError and BusyError.
        """
        holding = asyncio.create_task(self._hold(conversation_id, owner, holder))
        try:
            return await asyncio.shield(holding)
        except asyncio.CancelledError:
            # What was begun comes to its end, and nobody would know of it.
            self._later(self._let_go(holding, conversation_id, holder))
            raise

    async def _hold(self, conversation_id: str, owner: str, holder: str) -> list[Passage]:
        await self.presence.begin(self.database, holder)

        async def work(connection: AsyncConnection) -> list[Passage]:
            worker = self.presence.worker
            await conversations.hold(connection, conversation_id, owner, holder, worker)
            return await conversations.passages(connection, conversation_id)

        try:
            return await self.database.write(work)
        except BaseException:
            self.presence.let_go(holder)
            raise

    async def _let_go(
        self, holding: asyncio.Task[list[Passage]], conversation_id: str, holder: str
    ) -> None:
        with suppress(RetinueError):
            await holding
            await self.release(conversation_id, holder)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._loose.add(task)
        task.add_done_callback(self._loose.discard)

    async def release(self, conversation_id: str, holder: str) -> None:
        """End a turn that leaves nothing behind."""
        # Where this fails the conversation is free once this process isn't known any more.
        self.presence.let_go(holder)
        await self.database.write(
            partial(conversations.release, conversation_id=conversation_id, holder=holder)
        )

    async def keep(
        self,
        response: Response | None,
        *,
        conversation_id: str | None = None,
        holder: str = "",
        added: Sequence[Item] = (),
        messages: str = "",
    ) -> None:
        """What a turn leaves behind: its response, and its items in a conversation that it holds.

        Raises BusyError where it holds that no more, and FullError; nothing is kept then.
        """

        async def work(connection: AsyncConnection) -> None:
            if conversation_id:
                await _into(connection, conversation_id, holder, added, messages)
            if response:
                await responses.add(connection, response)

        try:
            await self.database.write(work)
        finally:
            self.presence.let_go(holder)

    async def submit(self, response: Response, request: str, *, streamed: bool, here: bool) -> None:
        """A response that is made in the background: by this process, if `here`, which holds it
        until `presence.let_go`.

        Raises FullError.
        """
        if here:
            await self.presence.begin(self.database, response.id)

        async def work(connection: AsyncConnection) -> None:
            await responses.add(connection, response)
            worker = self.presence.worker if here else None
            await runs.submit(connection, response.id, request, worker, streamed=streamed)

        try:
            await self.database.write(work)
        except BaseException:
            self.presence.let_go(response.id)
            raise

    async def look(self, agents: Collection[str]) -> tuple[bool, set[str]]:
        """Whether a run of these agents waits, and the runs of this process."""
        work = partial(runs.look, worker=self.presence.worker, agents=agents)
        return await self.database.read(work)

    async def claim(self, most: int, agents: Collection[str]) -> list[Claim]:
        """Up to `most` runs of these agents for this process to work on, which holds them until
        `presence.let_go`.
        """
        await self.presence.begin(self.database, _CLAIMS)
        worker = self.presence.worker
        try:
            work = partial(runs.claim, worker=worker, most=most, agents=agents)
            claims = await self.database.write(work)
            for claim in claims:
                await self.presence.begin(self.database, claim.response_id)
        finally:
            self.presence.let_go(_CLAIMS)
        return claims

    async def give_back(self, response_ids: Sequence[str]) -> None:
        """Free runs that the store takes for those of this process, which works on none of them."""
        worker = self.presence.worker
        await self.database.write(
            partial(runs.give_back, worker=worker, response_ids=tuple(response_ids))
        )

    async def touch(self, response_id: str) -> None:
        """From here on the run can't be made again. Raises LostError."""
        worker = self.presence.worker
        await self.database.write(partial(runs.touch, response_id=response_id, worker=worker))

    async def append(self, response_id: str, batch: Batch) -> None:
        """More of the run's stream. Raises LostError."""
        worker = self.presence.worker
        await self.database.write(
            partial(runs.append, response_id=response_id, worker=worker, batch=batch)
        )

    async def restart(self, response_id: str) -> None:
        """The run's stream begins anew."""
        await self.database.write(partial(runs.restart, response_id=response_id))

    async def finish(
        self,
        response_id: str,
        batch: Batch | None,
        *,
        status: str,
        body: str,
        messages: str,
        conversation_id: str | None = None,
        added: Sequence[Item] = (),
    ) -> None:
        """The run's end, and what it leaves in its conversation.

        Raises LostError; and BusyError and FullError where the conversation can't take it.
        """

        async def work(connection: AsyncConnection) -> None:
            worker = self.presence.worker
            await runs.finish(
                connection,
                response_id,
                worker,
                batch,
                status=status,
                body=body,
                messages=messages,
            )
            if conversation_id and added:
                await _into(connection, conversation_id, response_id, added, messages)
            elif conversation_id:
                await conversations.release(connection, conversation_id, response_id)

        await self.database.write(work)

    async def cancel(
        self, response_id: str, told: Callable[[int], tuple[Batch | None, str]]
    ) -> bool:
        """End a run for good; whether it was going on. `told` gives its last event and its body,
        from the number of the event before.
        """
        return await self.database.write(partial(runs.cancel, response_id=response_id, told=told))

    async def spend(self, key: str, spender: str, expires: float) -> bool:
        """As `answered.spend`."""
        return await self.database.write(
            partial(answered.spend, key=key, spender=spender, expires=expires)
        )

    async def take_note(self, session: str, name: str) -> str | None:
        """As `notes.take`."""
        return await self.database.write(partial(notes.take, session=session, name=name))

    async def put_note(self, session: str, name: str, text: str, seconds: float) -> None:
        """As `notes.put`."""
        await self.database.write(
            partial(notes.put, session=session, name=name, text=text, seconds=seconds)
        )

    async def tail(self, response_id: str, owner: str, after: int) -> Tail | None:
        """What the stream of the owner's run tells after that event."""
        return await self.database.read(
            partial(runs.tail, response_id=response_id, owner=owner, after=after)
        )


async def _into(
    connection: AsyncConnection,
    conversation_id: str,
    turn_id: str,
    added: Sequence[Item],
    messages: str,
) -> None:
    """A turn into the conversation that it holds, and lets go of. Raises BusyError, FullError."""
    if not await conversations.release(connection, conversation_id, turn_id):
        raise BusyError
    await conversations.add_turn(connection, conversation_id, turn_id, added, messages)
