"""A Genie space over its REST API → an MCP server with the tools of a managed one."""

import json
from collections.abc import Awaitable, Callable, Mapping

# The types are at run time what the SDK makes the tools' schemas from.
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError as McpToolError
from mcp_types import CallToolResult, TextContent, ToolAnnotations

from retinue import __version__
from retinue.errors import MissingReferenceError, ToolError
from retinue.run.genie_api import Body, GenieApi, message_of

_LONGEST_QUESTION = 10_000

Sign = Callable[[Mapping[str, str]], Awaitable[Mapping[str, str]]]
"""A request's headers, none over stdio → those that sign for whoever asks. Raises
MissingReferenceError."""


class GenieTools:
    """Two tools: one asks and waits for `wait` seconds, one waits for what took longer."""

    def __init__(self, api: GenieApi, sign: Sign, *, wait: float) -> None:
        self._api = api
        self._sign = sign
        self._wait = wait

    async def ask(
        self, query: str, context: Context, conversation_id: str | None = None
    ) -> CallToolResult:
        """Ask a question; its answer when it is there in time, else where to poll."""
        if not query.strip() or len(query) > _LONGEST_QUESTION:
            raise McpToolError(f"query must be a question of 1 to {_LONGEST_QUESTION} characters")
        try:
            signed = await self._sign(context.headers or {})
            started = await self._api.start(query, conversation_id, signed)
            return await self._answer(*message_of(started), signed, context)
        except (MissingReferenceError, ToolError) as error:
            raise McpToolError(str(error)) from None

    async def poll(self, conversation_id: str, message_id: str, context: Context) -> CallToolResult:
        """The answer to an earlier question, or that it isn't there yet."""
        try:
            signed = await self._sign(context.headers or {})
            return await self._answer(conversation_id, message_id, signed, context)
        except (MissingReferenceError, ToolError) as error:
            raise McpToolError(str(error)) from None

    async def _answer(
        self, conversation: str, message: str, signed: Mapping[str, str], context: Context
    ) -> CallToolResult:
        steps = 0

        async def told(status: str) -> None:
            nonlocal steps
            steps += 1
            await context.report_progress(steps, None, status.replace("_", " ").lower())

        body = await self._api.answer(conversation, message, self._wait, signed, told)
        text = TextContent(type="text", text=json.dumps(body, ensure_ascii=False))
        failed = body["status"] in ("FAILED", "CANCELLED")
        return CallToolResult(content=[text], structured_content=body, is_error=failed)


def genie_server(space: str, about: Body, tools: GenieTools) -> MCPServer:
    """The server with the space's `query_space_<id>` and `poll_response_<id>`.

    `about` is what the workspace says of the space, empty where that can't be told.
    """
    title = str(about.get("title") or f"Genie space {space}")
    made = MCPServer(f"genie-{space}", title=title, version=__version__, log_level="WARNING")
    reading = ToolAnnotations(read_only_hint=True, destructive_hint=False, open_world_hint=False)
    described = " ".join(str(about.get("description") or "").split())[:2_000]
    made.add_tool(
        tools.ask,
        name=f"query_space_{space}",
        title=title,
        description=(
            f"Ask a question in plain words about: {title}. {described} "
            "Pass the conversationId of an earlier answer as conversation_id to go on from it. "
            "While the status is not COMPLETED or FAILED, call "
            f"poll_response_{space} with the ids."
        ),
        annotations=reading,
        structured_output=False,
    )
    made.add_tool(
        tools.poll,
        name=f"poll_response_{space}",
        title=f"{title}: poll",
        description="Fetch the answer to a question that was still being worked on.",
        annotations=reading,
        structured_output=False,
    )
    return made
