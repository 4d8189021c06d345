"""The tools on offer → the one that takes a plain question, and the one to poll it with."""

import json
import re
from collections.abc import Sequence

from retinue.offline.answers import Reply
from retinue.run.messages import ToolCall
from retinue.run.ports import Tool

QUESTION_ARGUMENTS = ("query", "question")
# Names of managed Genie tools differ by space and product; only their pattern is known.
_ASKS = re.compile(r"query_space|(?:^|_)ask(?:_|$)|genie")


def askable(tools: Sequence[Tool], question: str) -> Tool | None:
    """The tool whose one required argument is a question; of several, the one whose description
    shares most words with it.
    """
    found = [tool for tool in tools if _is_askable(tool)]
    asked = set(re.findall(r"\w{4,}", question.lower()))

    def shared(tool: Tool) -> int:
        return len(asked & set(re.findall(r"\w{4,}", tool.description.lower())))

    return max(found, key=shared, default=None)


def _is_askable(tool: Tool) -> bool:
    required = tool.parameters.get("required")
    return (
        isinstance(required, list)
        and len(required) == 1
        and required[0] in QUESTION_ARGUMENTS
        and _ASKS.search(tool.name) is not None
        and "poll" not in tool.name
    )


def question_argument(tool: Tool) -> str:
    """The name of an askable tool's argument."""
    required = tool.parameters.get("required")
    return str(required[0]) if isinstance(required, list) else QUESTION_ARGUMENTS[0]


def poll_call(asked: Tool, tools: Sequence[Tool], reply: Reply, identity: str) -> ToolCall | None:
    """The call that fetches an unfinished answer, or None where no tool does that."""
    names = (
        asked.name.replace("query_space", "poll_response"),
        asked.name.replace("genie_ask", "genie_poll_response"),
    )
    ids = {
        "conversation_id": reply.conversation_id,
        "message_id": reply.message_id,
        "response_id": reply.message_id,
    }
    for tool in tools:
        required = tool.parameters.get("required")
        if tool.name in names and tool is not asked and isinstance(required, list):
            arguments = {str(name): ids.get(str(name), "") for name in required}
            return ToolCall(identity, tool.name, json.dumps(arguments))
    return None
