"""A question to Genie → the same one in the conversation that its session has with that space."""

from collections.abc import Awaitable, Callable

from retinue.agent import ToolServer
from retinue.run.context import RunContext
from retinue.run.events import ToolResult
from retinue.run.ports import Tool
from retinue.values import JsonValue

Arguments = dict[str, JsonValue]
Call = Callable[[Arguments], Awaitable[ToolResult]]

QUESTIONS = ("query_space", "genie_ask")
"""What the names of tools that ask Genie have in them."""

_ID = "conversation_id"
_IDS = ("conversationId", _ID)


def goes_on(tool: Tool) -> bool:
    """Whether the tool asks Genie, and can go on with a conversation."""
    taken = tool.parameters.get("properties")
    asks = any(name in tool.name for name in QUESTIONS)
    return asks and isinstance(taken, dict) and _ID in taken


async def in_conversation(
    server: ToolServer, tool: Tool, arguments: Arguments, context: RunContext, call: Call
) -> ToolResult:
    """The answer; its conversation is the next one's, unless that begins before this one ended.

    A conversation that the model names itself goes before. One in which a question failed isn't
    gone on with: it may be gone, or busy still. Raises what `call` does.
    """
    session = context.caller.session
    if session is None:
        return await call(arguments)
    name = f"{server.name}/{server.auth}/{tool.name}"
    # Genie takes one question at a time: others of the same turn begin their own.
    known = await context.sessions.take(session, name)
    if known and not arguments.get(_ID):
        arguments = {**arguments, _ID: known}
    result = await call(arguments)
    told = result.structured if isinstance(result.structured, dict) else {}
    given = next((told[key] for key in _IDS if told.get(key)), None)
    if isinstance(given, str) and not result.is_error:
        await context.sessions.put(session, name, given)
    return result
