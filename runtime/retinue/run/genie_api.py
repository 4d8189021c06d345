"""A question → Genie's answer, over the Genie Conversation API of a workspace.

Source: https://docs.databricks.com/api/workspace/genie. What an answer looks like is what the
managed MCP servers of Genie spaces say.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import orjson

from retinue.errors import ToolError
from retinue.values import JsonValue

_LAST = {"COMPLETED", "FAILED", "CANCELLED", "QUERY_RESULT_EXPIRED"}
# Seconds between polls; Genie takes minutes, and its limits are low.
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 5.0
_MOST_FAILURES = 3
_LONGEST_RETRY = 30.0

_MOST_ROWS = 1_000
_LARGEST = 16 * 2**20
_LONGEST_ERROR = 2_000
_TIMEOUT = aiohttp.ClientTimeout(total=60, connect=10)

Headers = Mapping[str, str]
Body = dict[str, JsonValue]
Told = Callable[[str], Awaitable[None]]
"""Takes a status that Genie is in now."""


class GenieApi:
    """`async with GenieApi(url, space)`: one space of the workspace at `url`, for all who ask.

    Every call is signed with the `headers` of whoever asks. All raise ToolError, in words for the
    model, and without the workspace's own but for what Genie says of a question.
    """

    def __init__(self, url: str, space: str) -> None:
        self._url = f"{url}/api/2.0/genie/spaces/{_segment(space)}"
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()

    async def space(self, headers: Headers) -> Body:
        """The space's own `title` and `description`."""
        return await self._asked("GET", "", headers)

    async def start(self, question: str, conversation: str | None, headers: Headers) -> Body:
        """The message that the question becomes, in a conversation of its own or in this one."""
        path = f"/conversations/{_segment(conversation)}/messages" if conversation else ""
        told = await self._asked("POST", path or "/start-conversation", headers, content=question)
        message = told.get("message", told)
        return message if isinstance(message, dict) else told

    async def answer(
        self, conversation: str, message: str, wait: float, headers: Headers, told: Told
    ) -> Body:
        """Genie's answer to a message, or the status it has after `wait` seconds."""
        place = f"/conversations/{_segment(conversation)}/messages/{_segment(message)}"
        end = asyncio.get_running_loop().time() + wait
        pause, failures, before = _FIRST_PAUSE, 0, ""
        while True:
            try:
                found = await self._asked("GET", place, headers)
            except ToolError:
                # It changes nothing and can be repeated.
                failures += 1
                if failures == _MOST_FAILURES:
                    raise
                found = {}
            status = str(found.get("status") or before)
            if status in _LAST:
                said = await self._told(place, found, headers)
                return _ids(conversation, message, status) | said
            if status != before:
                await told(status)
                before = status
            if asyncio.get_running_loop().time() + pause > end:
                return _ids(conversation, message, status or "SUBMITTED")
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 1.5)

    async def _told(self, place: str, message: Body, headers: Headers) -> Body:
        """What the message says, in the words of a managed server."""
        queries: list[JsonValue] = []
        texts: list[JsonValue] = []
        content: Body = {"queryAttachments": queries, "textAttachments": texts}
        for each in _objects(message.get("attachments")):
            query, text, more = each.get("query"), each.get("text"), each.get("suggested_questions")
            if isinstance(query, dict):
                attachment = _text(each, "attachment_id")
                queries.append(await self._query(place, attachment, query, headers))
            if isinstance(text, dict):
                texts.append(_text(text, "content"))
            if isinstance(more, dict):
                content["suggestedQuestions"] = more.get("questions")
        told: Body = {"content": content}
        error = message.get("error")
        if isinstance(error, dict):
            told["error"] = {key: _text(error, key)[:_LONGEST_ERROR] for key in ("error", "type")}
        return told

    async def _query(self, place: str, attachment: str, query: Body, headers: Headers) -> JsonValue:
        """Genie's SQL, and the rows it gave, as far as they can be had."""
        made: Body = {"attachmentId": attachment}
        made |= {key: _text(query, key) for key in ("title", "query", "description")}
        made["statementId"] = _text(query, "statement_id")
        try:
            path = f"{place}/attachments/{_segment(attachment)}/query-result"
            found = await self._asked("GET", path, headers)
        except ToolError as error:
            return made | {"note": f"The rows can't be had: {error}"}
        statement = found.get("statement_response")
        return made | {"statement_response": _cut(statement)} if statement else made

    async def _asked(self, method: str, path: str, headers: Headers, **body: str) -> Body:
        """One request; one that was too early is sent again once, as nothing came of it."""
        status, wait, found = await self._sent(method, path, headers, body)
        if status == 429 and wait <= _LONGEST_RETRY:
            await asyncio.sleep(wait)
            status, _, found = await self._sent(method, path, headers, body)
        if status == 200:
            return found
        if status in (401, 403):
            raise ToolError(f"Genie doesn't let this identity in (status {status}).")
        if status == 404:
            raise ToolError("There is no such Genie space, conversation or message.")
        if status == 429:
            raise ToolError("Genie is asked too often: try again in a minute.")
        raise ToolError(f"Genie failed (status {status})." if status else "Genie can't be reached.")

    async def _sent(
        self, method: str, path: str, headers: Headers, body: Mapping[str, str]
    ) -> tuple[int, float, Body]:
        """Status, seconds to wait, and JSON; status 0 where nothing could be reached."""
        if self._session is None:
            raise RuntimeError("open it with `async with`")
        try:
            async with self._session.request(
                method,
                self._url + path,
                headers=headers,
                json=body or None,
                allow_redirects=False,
            ) as response:
                found = bytearray()
                async for piece in response.content.iter_any():
                    found += piece
                    if len(found) > _LARGEST:
                        raise ToolError("Genie's answer is too large.")
                wait = response.headers.get("retry-after", "")
                seconds = float(wait) if wait.isdecimal() else 1.0
                told = orjson.loads(found) if response.status == 200 else {}
        except (aiohttp.ClientError, TimeoutError, OSError, orjson.JSONDecodeError):
            return 0, 0.0, {}
        return response.status, seconds, told if isinstance(told, dict) else {}


def message_of(told: Body) -> tuple[str, str]:
    """Conversation and message, by which to ask for the answer. Raises ToolError without."""
    ids = _text(told, "conversation_id"), _message_id(told)
    if not all(ids):
        raise ToolError("Genie gave no message to wait for.")
    return ids


def _message_id(message: Body) -> str:
    return _text(message, "message_id") or _text(message, "id")


def _ids(conversation: str, message: str, status: str) -> Body:
    return {"conversationId": conversation, "messageId": message, "status": status}


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    return value if isinstance(value, str) else ""


def _objects(found: JsonValue) -> list[dict[str, Any]]:
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _cut(statement: JsonValue) -> JsonValue:
    """The statement with its first rows."""
    if not isinstance(statement, dict) or not isinstance(statement.get("result"), dict):
        return statement
    result: Any = statement["result"]
    rows = result.get("data_array")
    if not isinstance(rows, list) or len(rows) <= _MOST_ROWS:
        return statement
    left_out = f"{len(rows) - _MOST_ROWS:,} rows are left out"
    return {**statement, "result": {**result, "data_array": rows[:_MOST_ROWS]}, "note": left_out}


def _segment(name: str) -> str:
    """A name as a part of a path. Raises ToolError for one that would lead elsewhere."""
    if name in ("", ".", "..") or len(name) > 200:
        raise ToolError("That is no id of Genie's.")
    return quote(name, safe="")
