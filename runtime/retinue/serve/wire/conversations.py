"""Bodies of requests about conversations → items and metadata; and conversations as objects.

Format: OpenAI's `Conversation` and `ConversationItemList`, as openai-python 2 reads them.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from pydantic import Field

from retinue.serve.wire.responses_input import read_items
from retinue.serve.wire.strict import MAX_METADATA, Strict, metadata
from retinue.store.records import Conversation

_MAX_ITEMS = 20

_Items = Annotated[list[dict[str, Any]], Field(max_length=_MAX_ITEMS, fail_fast=True)]
_Metadata = Annotated[dict[str, Any], Field(max_length=MAX_METADATA)]


class CreateConversationRequest(Strict):
    """A new conversation."""

    items: _Items | None = None
    metadata: _Metadata | None = None


class UpdateConversationRequest(Strict):
    """Other metadata for one."""

    metadata: _Metadata


class CreateItemsRequest(Strict):
    """More items for one."""

    items: _Items


def checked_items(items: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """The items, each of which could stand in a conversation. Raises RequestError."""
    read_items(items or [], "items")
    return items or []


def metadata_text(given: Mapping[str, Any] | None) -> str:
    """Metadata as a store keeps it. Raises RequestError."""
    return orjson.dumps(dict(metadata(given))).decode()


def conversation_object(conversation: Conversation) -> bytes:
    """OpenAI's `Conversation`."""
    return orjson.dumps(
        {
            "id": conversation.id,
            "object": "conversation",
            "created_at": conversation.created_at,
            "metadata": orjson.loads(conversation.metadata),
        }
    )


def conversation_deleted(conversation_id: str) -> bytes:
    """What is said of one that is no more."""
    gone = {"id": conversation_id, "object": "conversation.deleted", "deleted": True}
    return orjson.dumps(gone)
