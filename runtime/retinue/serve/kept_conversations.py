"""`/v1/conversations`: FastAPI routes for conversations and their items."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
from fastapi import APIRouter, Request, Response

from retinue.errors import RequestError
from retinue.serve import kept_operations as told
from retinue.serve.access import record_of
from retinue.serve.body import HungUpError, read_json_body
from retinue.serve.state import State
from retinue.serve.turn import busy, no_conversation, stored_items
from retinue.serve.wire.conversations import (
    CreateConversationRequest,
    CreateItemsRequest,
    UpdateConversationRequest,
    checked_items,
    conversation_deleted,
    conversation_object,
    metadata_text,
)
from retinue.serve.wire.listed import Paging, listed, no_item, page
from retinue.store.records import BusyError, Conversation, FullError, MissingError, MissingItemError

_NAME = "conversation"


def kept_conversations(state: State) -> APIRouter:
    """The routes; without a store each of them says so."""
    router = APIRouter(prefix="/conversations", tags=["conversations"])

    @router.post(
        "",
        summary="Begin a conversation",
        responses=told.CONVERSATION,
        openapi_extra=told.NEW,
    )
    async def create(request: Request) -> Response:
        given = CreateConversationRequest.read(await _body(request))
        items = stored_items(listed(checked_items(given.items), secrets.token_hex(16)))
        conversation = Conversation(
            f"conv_{secrets.token_hex(16)}", int(time.time()), metadata_text(given.metadata)
        )
        store = await state.store(_NAME)
        await store.create_conversation(_owner(request), conversation, items)
        return _json(conversation_object(conversation))

    @router.get(
        "/{conversation_id}",
        summary="A conversation's metadata",
        responses=told.CONVERSATION,
    )
    async def get(request: Request, conversation_id: str) -> Response:
        store = await state.store(_NAME)
        with _finding(conversation_id):
            return _json(
                conversation_object(await store.conversation(conversation_id, _owner(request)))
            )

    @router.post(
        "/{conversation_id}",
        summary="Give a conversation other metadata",
        responses=told.CONVERSATION,
        openapi_extra=told.METADATA,
    )
    async def update(request: Request, conversation_id: str) -> Response:
        given = UpdateConversationRequest.read(await _body(request))
        store = await state.store(_NAME)
        with _finding(conversation_id):
            described = metadata_text(given.metadata)
            return _json(
                conversation_object(
                    await store.describe(conversation_id, _owner(request), described)
                )
            )

    @router.delete(
        "/{conversation_id}",
        summary="Forget a conversation",
        responses=told.CONVERSATION_DELETED,
    )
    async def delete(request: Request, conversation_id: str) -> Response:
        store = await state.store(_NAME)
        if not await store.remove_conversation(conversation_id, _owner(request)):
            raise no_conversation(conversation_id)
        return _json(conversation_deleted(conversation_id))

    @router.post(
        "/{conversation_id}/items",
        summary="Add items to a conversation",
        responses=told.ITEMS,
        openapi_extra=told.MORE_ITEMS,
    )
    async def add(request: Request, conversation_id: str) -> Response:
        given = CreateItemsRequest.read(await _body(request))
        items = listed(checked_items(given.items), secrets.token_hex(16))
        store = await state.store(_NAME)
        with _finding(conversation_id):
            await store.add_items(conversation_id, _owner(request), stored_items(items))
        return _json(page(items, len(items)))

    @router.get(
        "/{conversation_id}/items",
        summary="A conversation's items",
        responses=told.ITEMS,
        openapi_extra=told.PAGE,
    )
    async def items(request: Request, conversation_id: str) -> Response:
        paging = Paging(request.query_params)
        store = await state.store(_NAME)
        with _finding(conversation_id, paging.after, "after"):
            found = await store.page(
                conversation_id,
                _owner(request),
                after=paging.after,
                limit=paging.limit + 1,
                newest_first=paging.newest_first,
            )
        return _json(page([orjson.loads(text) for text in found], paging.limit))

    @router.get(
        "/{conversation_id}/items/{item_id}",
        summary="An item of a conversation",
        responses=told.ITEM,
    )
    async def item(request: Request, conversation_id: str, item_id: str) -> Response:
        store = await state.store(_NAME)
        with _finding(conversation_id, item_id):
            return _json(await store.item(conversation_id, _owner(request), item_id))

    @router.delete(
        "/{conversation_id}/items/{item_id}",
        summary="Take an item out",
        responses=told.CONVERSATION,
    )
    async def remove(request: Request, conversation_id: str, item_id: str) -> Response:
        store = await state.store(_NAME)
        with _finding(conversation_id, item_id):
            left = await store.remove_item(conversation_id, _owner(request), item_id)
        return _json(conversation_object(left))

    return router


async def _body(request: Request) -> bytes:
    try:
        return await read_json_body(request.scope, request.receive)
    except HungUpError:
        # Nobody reads this.
        raise RequestError("The request broke off.", code="request_incomplete") from None


def _owner(request: Request) -> str:
    return record_of(request.scope).identity.subject


def _json(body: str | bytes) -> Response:
    return Response(body, media_type="application/json")


@contextmanager
def _finding(
    conversation_id: str, item_id: str | None = None, param: str = "item_id"
) -> Iterator[None]:
    """What the store finds amiss, as the caller is told."""
    try:
        yield
    except MissingError:
        raise no_conversation(conversation_id) from None
    except MissingItemError:
        raise no_item(item_id or "", param) from None
    except BusyError:
        raise busy() from None
    except FullError:
        message = "The conversation has all the items that it may have: begin a new one."
        raise RequestError(message, param="items", code="conversation_full") from None
