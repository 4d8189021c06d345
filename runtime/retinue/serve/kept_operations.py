"""What OpenAPI says of what is kept: responses of earlier, and conversations."""

from typing import Any

from retinue.serve.openapi import errors
from retinue.serve.operations import ANYTHING, NUMBER, TEXT, TEXT_OR_NULL, many, ref, shape
from retinue.serve.responses_operations import RESPONSES

Told = dict[int | str, dict[str, Any]]

_ITEM = {
    "id": "msg_1f0c",
    "type": "message",
    "status": "completed",
    "role": "user",
    "content": [{"type": "input_text", "text": "What sold best in May?"}],
}
_CONVERSATION = {
    "id": "conv_1f0c",
    "object": "conversation",
    "created_at": 1763683200,
    "metadata": {"topic": "sales"},
}
_DELETED = shape(id=TEXT, object=TEXT, deleted={"const": True})


def _told(schema: Any, example: Any, *more: str) -> Told:
    good = {
        "description": "The answer.",
        "content": {"application/json": {"schema": schema, "example": example}},
    }
    return {200: good, **errors(("400", "401", "404", *more, "500", "503"))}


RESPONSE = _told(ref("Response"), RESPONSES.answer_example)
RESPONSE_DELETED = _told(_DELETED, {"id": "resp_1f0c", "object": "response", "deleted": True})
ITEMS = _told(
    shape(
        object={"const": "list"},
        data=many(ANYTHING),
        first_id=TEXT_OR_NULL,
        last_id=TEXT_OR_NULL,
        has_more={"type": "boolean"},
    ),
    {
        "object": "list",
        "data": [_ITEM],
        "first_id": _ITEM["id"],
        "last_id": _ITEM["id"],
        "has_more": False,
    },
    "409",
)
ITEM = _told(shape(id=TEXT, type=TEXT), _ITEM)
CONVERSATION = _told(
    shape(id=TEXT, object={"const": "conversation"}, created_at=NUMBER, metadata=ANYTHING),
    _CONVERSATION,
    "409",
)
CONVERSATION_DELETED = _told(
    _DELETED, {"id": "conv_1f0c", "object": "conversation.deleted", "deleted": True}
)

_QUESTION = {"role": "user", "content": "What sold best in May?"}


def _body(schema: Any, example: Any) -> dict[str, Any]:
    content = {"schema": schema, "examples": {"one": {"value": example}}}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


NEW = _body(
    shape(optional={"items": many(ANYTHING), "metadata": ANYTHING}),
    {"metadata": {"topic": "sales"}, "items": [_QUESTION]},
)
METADATA = _body(shape(metadata=ANYTHING), {"metadata": {"topic": "sales"}})
MORE_ITEMS = _body(shape(items=many(ANYTHING)), {"items": [_QUESTION]})


def query(**described: str) -> dict[str, Any]:
    """Parameters of the query, all optional."""
    return {
        "parameters": [
            {"name": name, "in": "query", "required": False, "description": text, "schema": TEXT}
            for name, text in described.items()
        ]
    }


PAGE = query(
    limit="How many: 1 to 100, by default 20.",
    order="asc or desc, by default desc.",
    after="The id of the item before.",
)
STREAM = query(
    stream="true for its events, where it was created with background and stream.",
    starting_after="The number of the event before.",
)
