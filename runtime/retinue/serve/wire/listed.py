"""What callers send and answers hold → items as they are listed, each with an id; and pages."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from retinue.errors import RequestError
from retinue.serve.wire.mistakes import invalid
from retinue.serve.wire.responses_input import Item
from retinue.serve.wire.responses_output import Fields

_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "mcp_call": "mcp",
    "reasoning": "rs",
}
_LONGEST_ID = 64
_MOST = 100


def listed(given: str | Sequence[Item], token: str) -> list[Fields]:
    """Items with types, statuses and ids of their own."""
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    return [_listed(item, f"{token}i{n:x}") for n, item in enumerate(items)]


def _listed(item: Item, own: str) -> Fields:
    kind = item.get("type") or "message"
    told: Fields = {"id": f"{_PREFIXES.get(kind, 'item')}_{own}", "type": kind}
    if kind in ("message", "function_call", "function_call_output"):
        told["status"] = "completed"
    told |= {key: value for key, value in item.items() if key not in ("id", "type") and value}
    if kind == "message":
        told["content"] = _content(item)
    return told


def _content(item: Item) -> list[Any]:
    content = item.get("content") or []
    if not isinstance(content, str):
        return list(content)
    if item.get("role") == "assistant":
        return [{"type": "output_text", "text": content, "annotations": [], "logprobs": []}]
    return [{"type": "input_text", "text": content}]


def page(found: Sequence[Mapping[str, Any]], limit: int) -> bytes:
    """A list object of up to `limit` of what was found, which may be one more."""
    shown = found[:limit]
    return orjson.dumps(
        {
            "object": "list",
            "data": shown,
            "first_id": shown[0]["id"] if shown else None,
            "last_id": shown[-1]["id"] if shown else None,
            "has_more": len(found) > limit,
        }
    )


class Paging:
    """`after`, `limit` and `order` of a listing, as OpenAI's have them. Raises RequestError."""

    def __init__(self, query: Mapping[str, str]) -> None:
        self.after = query.get("after") or None
        limit = query.get("limit") or "20"
        if not limit.isascii() or not limit.isdecimal() or not 1 <= int(limit[:9]) <= _MOST:
            raise invalid("limit", f"must be an integer from 1 to {_MOST}")
        self.limit = int(limit)
        order = query.get("order") or "desc"
        if order not in ("asc", "desc"):
            raise invalid("order", "must be 'asc' or 'desc'")
        self.newest_first = order == "desc"

    def cut(self, items: Sequence[Fields]) -> Sequence[Fields]:
        """Of items in the order of time those to show, and one more where there are more."""
        ordered = list(reversed(items)) if self.newest_first else list(items)
        start = 0
        if self.after is not None:
            ids = [item["id"] for item in ordered]
            if self.after not in ids:
                raise no_item(self.after, param="after")
            start = ids.index(self.after) + 1
        return ordered[start : start + self.limit + 1]


def no_item(item_id: str, param: str = "item_id") -> RequestError:
    """There is no such item, or it is somebody else's."""
    message = f"There is no item '{shown(item_id)}'."
    return RequestError(message, param=param, code="item_not_found", status=404)


def shown(name: str) -> str:
    """A name of the caller's, as a message may repeat it."""
    return "".join(c if c.isprintable() else "?" for c in name[:100])


def references(items: Sequence[Item], find: Callable[[str], Fields | None]) -> list[Item]:
    """The items, with what they refer to in place of references. Raises RequestError."""
    told = []
    for n, item in enumerate(items):
        if (name := reference(item)) is None:
            told.append(item)
        elif (found := find(name)) is not None:
            told.append(found)
        else:
            raise no_item(name, param=f"input[{n}]")
    return told


def reference(item: Item) -> str | None:
    """The id that an item refers to, if it does nothing but that."""
    kind, name = item.get("type"), item.get("id")
    if not isinstance(name, str) or len(name) > _LONGEST_ID:
        return None
    plain = kind is None and "role" not in item and "content" not in item
    return name if kind == "item_reference" or plain else None


def response_of(item_id: str) -> str | None:
    """The id of the response that an item of that id is part of, if it is one of an answer's."""
    token = item_id.partition("_")[2][:32]
    return f"resp_{token}" if len(token) == 32 and token.isalnum() else None
