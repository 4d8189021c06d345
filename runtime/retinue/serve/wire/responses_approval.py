"""Questions for the user ⇄ `mcp_approval_request` and `mcp_approval_response` items.

Format: OpenAI's `MCPApprovalRequest` and `MCPApprovalResponse` (openai-openapi v2.3.0).
"""

from collections.abc import Sequence
from typing import Any

from retinue.run.approval import Answer, Answers
from retinue.run.messages import ToolCall
from retinue.serve.wire.strict import Strict

Item = dict[str, Any]

REQUEST = "mcp_approval_request"
RESPONSE = "mcp_approval_response"
_KEYS = ("id", "server_label", "name", "arguments")


class ApprovalResponseItem(Strict):
    """The user's word on a call."""

    approval_request_id: str
    approve: bool
    reason: str | None = None


def answers_in(given: str | Sequence[Item], own_server: str) -> Answers | None:
    """What the input's end says to questions: nothing but the user's own words stands beside it.

    Answers before the last output are of earlier: what came of them stands there too. The items
    are known to be valid. `own_server` labels tools that no server brings.
    """
    if isinstance(given, str):
        return None
    end = len(given)
    while end and (given[end - 1].get("type") == RESPONSE or _is_users(given[end - 1])):
        end -= 1
    places = [n for n in range(end, len(given)) if given[n].get("type") == RESPONSE]
    if not places:
        return None
    calls = {item["id"]: _call(item, own_server) for item in given[:end] if _is_request(item)}
    said = len(given) - end - len(places)
    return Answers(
        given=tuple(_answer(given[n], calls) for n in places),
        drop=said,
        said=said,
        param=f"input[{places[0]}].approval_request_id",
    )


def _answer(item: Item, calls: dict[str, ToolCall]) -> Answer:
    asked = item["approval_request_id"]
    return Answer(asked, item["approve"], calls.get(asked), item.get("reason") or "")


def _is_users(item: Item) -> bool:
    return item.get("type") in (None, "message") and item.get("role") == "user"


def _is_request(item: Item) -> bool:
    return item.get("type") == REQUEST and all(isinstance(item.get(key), str) for key in _KEYS)


def _call(item: Item, own_server: str) -> ToolCall:
    label, name = item["server_label"], item["name"]
    exposed = name if label == own_server else f"{label}__{name}"
    return ToolCall(item["id"], exposed, item["arguments"])
