"""An agent ⇄ a tool of MCP: how it is described, what it is asked, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from mcp_types import CallToolResult, TextContent, Tool

from retinue.agent import Agent
from retinue.run.events import RunFinished
from retinue.run.messages import Message
from retinue.run.schema import full_check
from retinue.serve.wire.errors import ErrorAnswer
from retinue.serve.wire.strict import MAX_METADATA

_MOST_HISTORY = 1000
_MOST_TEXT = 1_000_000
_FROM_METADATA = "request.metadata."

_TEXT = {"type": "string", "minLength": 1, "maxLength": _MOST_TEXT}
_TURN = {
    "type": "object",
    "properties": {
        "role": {"type": "string", "enum": ["user", "assistant"]},
        "content": {"type": "string", "maxLength": _MOST_TEXT},
    },
    "required": ["role", "content"],
    "additionalProperties": False,
}
_ANSWER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "answer": {"type": "string", "description": "What the agent says."},
        "finish_reason": {
            "type": "string",
            "description": "stop, or what cut the answer: length or content_filter.",
        },
        "stopped_by": {
            "type": ["string", "null"],
            "description": "The agent's limit that stopped it, if one did.",
        },
    },
    "required": ["answer", "finish_reason", "stopped_by"],
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A call's arguments."""

    conversation: tuple[Message, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)


def tool_of(agent: Agent) -> Tool:
    """The tool that asks the agent."""
    return Tool(
        name=agent.name,
        description=agent.description or f"Ask the agent {agent.name}.",
        input_schema=_input(agent),
        output_schema=_own_form(agent) or _ANSWER,
    )


def asked(tool: Tool, arguments: Mapping[str, Any]) -> Asked | str:
    """What is asked, or what is wrong with it, for the model that asks."""
    wrong = full_check(tool.input_schema)(dict(arguments))
    if wrong:
        return f"The arguments of '{tool.name}' don't fit its schema: {'; '.join(wrong)}."
    before = [Message(turn["role"], turn["content"]) for turn in arguments.get("history", ())]
    question = Message("user", arguments["question"])
    return Asked((*before, question), arguments.get("metadata", {}))


def result_of(agent: Agent, end: RunFinished) -> CallToolResult:
    """The answer of a run. One that is cut is an error where its form was promised, and so is one
    that needs a person's word, who can't be asked here.
    """
    if end.approvals:
        tools = ", ".join(dict.fromkeys(asked.call.name for asked in end.approvals))
        return failure(f"{agent.name} needs a person's approval to call {tools}: ask it directly.")
    said = [m.content for m in end.messages if m.role == "assistant" and m.content]
    text = said[-1] if said else ""
    structured: dict[str, Any] = {
        "answer": text,
        "finish_reason": end.reason,
        "stopped_by": end.cause,
    }
    if _own_form(agent):
        found = _object(text)
        if found is None:
            return failure(f"{agent.name} gave no answer of its form ({end.cause or end.reason}).")
        structured = found
    if end.reason != "stop":
        text = f"{text}\n\n(cut: {end.cause or end.reason})".lstrip()
    return CallToolResult(
        content=[TextContent(type="text", text=text)], structured_content=structured
    )


def failure(error: ErrorAnswer | str) -> CallToolResult:
    """An error that the model may read."""
    text = error if isinstance(error, str) else error.message
    return CallToolResult(content=[TextContent(type="text", text=text)], is_error=True)


def _input(agent: Agent) -> dict[str, Any]:
    history = "What was said before, the oldest first: the agent remembers nothing by itself."
    properties: dict[str, Any] = {
        "question": {**_TEXT, "description": "What to ask the agent."},
        "history": {
            "type": "array",
            "items": _TURN,
            "maxItems": _MOST_HISTORY,
            "description": history,
        },
        "metadata": _metadata(agent),
    }
    required = ["question", *(["metadata"] if properties["metadata"].get("required") else [])]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _metadata(agent: Agent) -> dict[str, Any]:
    """The variables that the agent's prompt takes from a request."""
    taken = [
        (variable, variable.source.removeprefix(_FROM_METADATA))
        for variable in agent.instructions.variables
        if variable.source and variable.source.startswith(_FROM_METADATA)
    ]
    made: dict[str, Any] = {
        "type": "object",
        "properties": {name: {"type": "string"} for _, name in taken},
        "additionalProperties": {"type": "string", "maxLength": 512},
        "maxProperties": MAX_METADATA,
        "description": "Further facts, as texts; `session_id` names the conversation.",
    }
    needed = [name for v, name in taken if v.required and v.default is None]
    return {**made, "required": needed} if needed else made


def _own_form(agent: Agent) -> dict[str, Any] | None:
    """The form of the agent's answers, where it is that of an object, as MCP wants it."""
    schema = agent.output_schema
    return dict(schema) if schema is not None and schema.get("type") == "object" else None


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None
