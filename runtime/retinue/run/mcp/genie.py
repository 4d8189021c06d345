"""Two tools of a workspace's, one to ask and one to poll → one whose answer is waited for.

The names and the answers are those of managed servers as their public clients have them: Genie's
`query_space_<ID>` with `poll_response_<ID>`, whose ids come as `conversationId` and go as
`conversation_id`, and `genie_ask` with `genie_poll_response`; SQL's `execute_sql` and
`execute_sql_read_only` with `poll_sql_result`, whose answers are those of the Statement Execution
API.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from retinue.errors import ToolError
from retinue.run.events import ToolResult
from retinue.run.mcp.conversations import QUESTIONS
from retinue.run.mcp.results import NOTHING
from retinue.run.ports import Tool
from retinue.values import JsonValue

Call = Callable[[str, dict[str, JsonValue]], Awaitable[ToolResult]]

_POLLED_BY = (
    *zip(QUESTIONS, ("poll_response", "genie_poll_response"), strict=True),
    ("execute_sql_read_only", "poll_sql_result"),
    ("execute_sql", "poll_sql_result"),
)
# Any other status, with ids to poll by, is one on the way: Genie has had new ones before.
_LAST = {
    "COMPLETED", "SUCCEEDED", "FAILED", "CANCELLED", "CANCELED", "CLOSED", "ERROR",
    "QUERY_RESULT_EXPIRED",
}  # fmt: skip
_IDS = ("conversation_id", "message_id", "response_id", "statement_id")
_WAITED = "The answer is waited for: there is nothing to poll, though it may take minutes."

# Seconds between polls, and how many may fail in a row: they change nothing and can be repeated.
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 5.0
_MOST_FAILURES = 3


@dataclass(frozen=True, slots=True)
class Poll:
    """The tool that fetches an answer, and which ids it takes."""

    name: str
    ids: tuple[str, ...]


def polls(tools: Sequence[Tool]) -> dict[str, Poll]:
    """The tools that may answer later, and how each is polled."""
    known = {tool.name: tool for tool in tools}
    found: dict[str, Poll] = {}
    for name in known:
        for asks, fetches in _POLLED_BY:
            poll = known.get(name.replace(asks, fetches)) if asks in name else None
            ids = _ids_of(poll) if poll else ()
            if poll and ids:
                found[name] = Poll(poll.name, ids)
    return found


def waiting(tools: Iterable[Tool], polled: Mapping[str, Poll]) -> tuple[Tool, ...]:
    """The tools without those that poll for another of them; those that ask say so."""
    tools = tuple(tools)
    hidden = {polled[tool.name].name for tool in tools if tool.name in polled}
    return tuple(
        replace(tool, description=f"{tool.description} {_WAITED}".lstrip())
        if tool.name in polled
        else tool
        for tool in tools
        if tool.name not in hidden
    )


async def answered(first: ToolResult, poll: Poll, call: Call, patience: float) -> ToolResult:
    """The answer to a question that `first` may have left open, polled for with `call`.

    What Genie says is structured content also where the server gave it as text alone. Raises
    ToolError where it isn't done within `patience`, in seconds, and what `call` raises.
    """
    try:
        async with asyncio.timeout(patience):
            return await _answered(first, poll, call)
    except TimeoutError:
        raise ToolError(
            "Databricks is still working on the answer, and it can't be waited for any longer. Say "
            "so, and do not answer the question without it."
        ) from None


async def _answered(result: ToolResult, poll: Poll, call: Call) -> ToolResult:
    ids: dict[str, JsonValue] = {}
    pause, failures, polled = _FIRST_PAUSE, 0, False
    while True:
        body = _body(result)
        ids |= _given_ids(body, poll)
        if result.is_error or len(ids) < len(poll.ids) or not _is_open(result, body, polled):
            return replace(result, structured=body) if body else result
        await asyncio.sleep(pause)
        pause = min(_LONGEST_PAUSE, pause * 1.5)
        try:
            result = await call(poll.name, dict(ids))
        except ToolError:
            failures += 1
            if failures == _MOST_FAILURES:
                raise
        else:
            polled, failures = True, 0


def _is_open(result: ToolResult, body: Mapping[str, Any], polled: bool) -> bool:
    status = body.get("status")
    if isinstance(status, dict):
        status = status.get("state")
    if isinstance(status, str):
        return status.upper() not in _LAST
    # A poll may come back empty before there is an answer.
    said = [value for key, value in body.items() if _snake(key) not in _IDS and value]
    return polled and not said and (bool(body) or result.text == NOTHING)


def _body(result: ToolResult) -> dict[str, Any]:
    if isinstance(result.structured, dict):
        return result.structured
    try:
        body = orjson.loads(result.text)
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _given_ids(body: Mapping[str, Any], poll: Poll) -> dict[str, JsonValue]:
    given = {_snake(key): value for key, value in body.items() if isinstance(value, str)}
    return {key: given[key] for key in poll.ids if given.get(key)}


def _ids_of(poll: Tool) -> tuple[str, ...]:
    taken = poll.parameters.get("properties")
    return tuple(key for key in _IDS if isinstance(taken, dict) and key in taken)


def _snake(key: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower()
