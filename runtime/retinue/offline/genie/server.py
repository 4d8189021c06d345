"""A space and its matcher → the two tools of a managed Genie space, as an MCP server."""

import asyncio
import json
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

# The types are at run time what the SDK makes the tools' schemas from.
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError as McpToolError
from mcp_types import CallToolResult, TextContent, ToolAnnotations

from retinue import __version__
from retinue.errors import RetinueError
from retinue.offline.genie.ask import Ask
from retinue.offline.genie.match import Answer, Matcher, Refusal
from retinue.offline.genie.space import Space
from retinue.offline.genie.warehouse import Rows, Warehouse
from retinue.values import JsonValue

MAX_QUESTION = 2_000
MAX_CONVERSATIONS = 1_000
MAX_MESSAGES = 50
POLL_SECONDS = 5.0
"""How long one poll waits for the answer before it says EXECUTING_QUERY again."""

Opened = Callable[[], tuple[Matcher, Warehouse]]


@dataclass(slots=True)
class _Conversation:
    """The messages still to be polled, and the last question understood."""

    previous: Ask | None = None
    messages: "OrderedDict[str, asyncio.Task[dict[str, JsonValue]]]" = field(
        default_factory=OrderedDict
    )


class GenieSpace:
    """The space's conversations. `open_space` blocks until the data is there; `wait` is how many
    seconds a question waits for its answer before the caller has to poll.
    """

    def __init__(self, space: Space, open_space: Opened, *, wait: float) -> None:
        self.space = space
        self._open = open_space
        self._wait = wait
        self._conversations: OrderedDict[str, _Conversation] = OrderedDict()

    async def ask(self, query: str, conversation_id: str | None = None) -> CallToolResult:
        """Start on a question; its answer when it is there in time, else where to poll."""
        if not query.strip() or len(query) > MAX_QUESTION:
            raise McpToolError(f"query must be a question of 1 to {MAX_QUESTION} characters")
        identity, conversation = self._conversation(conversation_id)
        message = uuid.uuid4().hex
        before = next(reversed(conversation.messages.values()), None)
        conversation.messages[message] = asyncio.create_task(
            self._answer(query, conversation, before)
        )
        while len(conversation.messages) > MAX_MESSAGES:
            conversation.messages.popitem(last=False)
        return await self._reply(identity, message, conversation, self._wait)

    async def poll(self, conversation_id: str, message_id: str) -> CallToolResult:
        """The answer to an earlier question, or that it isn't there yet."""
        conversation = self._conversations.get(conversation_id)
        if conversation is None or message_id not in conversation.messages:
            raise McpToolError("there is no such conversation or message")
        return await self._reply(conversation_id, message_id, conversation, POLL_SECONDS)

    def _conversation(self, identity: str | None) -> tuple[str, _Conversation]:
        if identity:
            found = self._conversations.get(identity)
            if found is None:
                raise McpToolError("there is no such conversation; leave conversation_id out")
            self._conversations.move_to_end(identity)
            return identity, found
        identity = uuid.uuid4().hex
        self._conversations[identity] = conversation = _Conversation()
        while len(self._conversations) > MAX_CONVERSATIONS:
            self._conversations.popitem(last=False)
        return identity, conversation

    async def _answer(
        self,
        query: str,
        conversation: _Conversation,
        before: "asyncio.Task[dict[str, JsonValue]] | None",
    ) -> dict[str, JsonValue]:
        if before is not None:
            await asyncio.wait([before])
        try:
            matcher, warehouse = await asyncio.to_thread(self._open)
            found = matcher.match(query, conversation.previous)
            if isinstance(found, Refusal):
                return _refused(found)
            rows = await asyncio.to_thread(warehouse.select, found.sql)
        except RetinueError as error:
            return {"status": "FAILED", "error": {"error": str(error), "type": "SQL_EXECUTION"}}
        conversation.previous = found.ask
        return _completed(found, rows)

    async def _reply(
        self, conversation_id: str, message_id: str, conversation: _Conversation, seconds: float
    ) -> CallToolResult:
        task = conversation.messages[message_id]
        await asyncio.wait([task], timeout=seconds)
        result: Mapping[str, JsonValue] = {"status": "EXECUTING_QUERY"}
        if task.done():
            result = task.result()
        body = {"conversationId": conversation_id, "messageId": message_id, **result}
        failed = result["status"] == "FAILED"
        text = TextContent(type="text", text=json.dumps(body, ensure_ascii=False))
        return CallToolResult(content=[text], structured_content=body, is_error=failed)


def _completed(answer: Answer, rows: Rows) -> dict[str, JsonValue]:
    description = [f"Matched: {answer.matched}.", *(f"Note: {note}." for note in answer.notes)]
    statement = uuid.uuid4().hex
    query: dict[str, JsonValue] = {
        "attachmentId": uuid.uuid4().hex,
        "title": answer.title,
        "query": answer.sql,
        "description": " ".join(description),
        "statementId": statement,
        "statement_response": _statement(statement, rows),
    }
    return {"status": "COMPLETED", "content": {"queryAttachments": [query], "textAttachments": []}}


def _statement(identity: str, rows: Rows) -> dict[str, JsonValue]:
    """The rows in the shape of the SQL Statement Execution API: every cell is text or null."""
    columns: list[JsonValue] = [
        {"name": name, "type_name": kind.partition("(")[0], "type_text": kind, "position": n}
        for n, (name, kind) in enumerate(rows.columns)
    ]
    cells: list[JsonValue] = [list(row) for row in rows.as_text()]
    count = len(rows.values)
    return {
        "statement_id": identity,
        "status": {"state": "SUCCEEDED"},
        "manifest": {
            "format": "JSON_ARRAY",
            "schema": {"column_count": len(columns), "columns": columns},
            "total_row_count": count,
            "truncated": rows.truncated,
        },
        "result": {"row_count": count, "row_offset": 0, "data_array": cells},
    }


def _refused(refusal: Refusal) -> dict[str, JsonValue]:
    nearest: list[JsonValue] = list(refusal.nearest)
    text = f"I have no trusted SQL for this: {refusal.reason}."
    return {
        "status": "COMPLETED",
        "content": {
            "queryAttachments": [],
            "textAttachments": [text],
            "suggestedQuestions": nearest,
        },
    }


def server(genie: GenieSpace) -> MCPServer:
    """The MCP server with the space's `query_space_<id>` and `poll_response_<id>`."""
    space = genie.space
    made = MCPServer(
        f"genie-{space.id}", title=space.title, version=__version__, log_level="WARNING"
    )
    reading = ToolAnnotations(read_only_hint=True, destructive_hint=False, open_world_hint=False)
    examples = "; ".join(question.ask for question in space.questions[:5])
    made.add_tool(
        genie.ask,
        name=f"query_space_{space.id}",
        title=space.title,
        description=(
            f"Ask a question in plain words about: {space.title}. {space.description} "
            "Pass the conversationId of an earlier answer as conversation_id to go on from it. "
            "While the status is not COMPLETED or FAILED, call "
            f"poll_response_{space.id} with the ids. Example questions: {examples}"
        ),
        annotations=reading,
        structured_output=False,
    )
    made.add_tool(
        genie.poll,
        name=f"poll_response_{space.id}",
        title=f"{space.title}: poll",
        description="Fetch the answer to a question that was still being worked on.",
        annotations=reading,
        structured_output=False,
    )
    return made
