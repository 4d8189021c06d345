"""A `ModelRequest` → the arguments of LiteLLM's `acompletion`, as each provider wants them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retinue.run.messages import AudioPart, FilePart, ImagePart, Message, Part, TextPart, Thought
from retinue.run.models.thinking import must_not_think
from retinue.run.ports import ModelRequest, OutputFormat, Tool, ToolChoice
from retinue.values import JsonValue

# Settings that would change where a call goes, fake its answer or start litellm's own retries.
_NOT_SETTINGS = frozenset(
    {"api_base", "api_key", "base_url", "client", "custom_llm_provider", "drop_params"}
    | {"fallbacks", "metadata", "mock_response", "n"}
)
# Where Claude is reached, under a name that says so, and where it is alone.
_CLAUDES_HOSTS = frozenset({"bedrock", "databricks", "vertex_ai", "azure_ai", "openrouter"})
_REGION = {
    "bedrock": "aws_region_name",
    "sagemaker": "aws_region_name",
    "sagemaker_chat": "aws_region_name",
    "vertex_ai": "vertex_location",
    "vertex_ai_beta": "vertex_location",
    "watsonx": "region_name",
}
_HOLDS_TO_SCHEMA = frozenset({"openai", "azure"})
_THINKING = ("thinking", "reasoning_effort")
_LEAST_BUDGET = 1024
# The provider keeps what it has read up to here for some minutes.
_CACHED: dict[str, Any] = {"cache_control": {"type": "ephemeral"}}


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a deployment's provider wants said in its own way.

    `claude` is whether the model is Anthropic's, wherever it is served. `keeps_schema` is whether
    the provider itself holds an answer to a JSON Schema, with tools beside it.
    """

    provider: str
    claude: bool
    keeps_schema: bool

    @classmethod
    def of(cls, model: str, info: Mapping[str, Any]) -> "Dialect":
        """From a LiteLLM id and what its list of models knows of it."""
        provider, _, name = model.partition("/")
        claude = provider == "anthropic" or (provider in _CLAUDES_HOSTS and "claude" in name)
        native = provider == "anthropic" and bool(info.get("supports_native_structured_output"))
        return cls(provider, claude, provider in _HOLDS_TO_SCHEMA or native)

    @property
    def region(self) -> str | None:
        """What LiteLLM calls this provider's region, if it has any."""
        return _REGION.get(self.provider)


def arguments(request: ModelRequest, dialect: Dialect) -> dict[str, Any]:
    """What of `acompletion`'s arguments follows from the request alone."""
    told = _told_form(request.output, dialect)
    made = _settings(request, dialect)
    made["messages"] = _messages(request, dialect, told)
    if request.tools:
        made["tools"] = [_tool(tool) for tool in request.tools]
        # Its default everywhere, and some refuse to hear of it.
        if request.tool_choice != "auto":
            made["tool_choice"] = _choice(request.tool_choice)
    if request.output is not None and (told is None or dialect.provider in _HOLDS_TO_SCHEMA):
        made["response_format"] = _response_format(request.output)
    if request.prompt_caching and dialect.claude:
        _mark_cached(made)
    return made


def _settings(request: ModelRequest, dialect: Dialect) -> dict[str, Any]:
    made: dict[str, Any] = {k: v for k, v in request.settings.items() if k not in _NOT_SETTINGS}
    if not dialect.claude or not any(name in made for name in _THINKING):
        return made
    if must_not_think(request) or not _has_room(made):
        for name in _THINKING:
            made.pop(name, None)
    return made


def _has_room(settings: dict[str, Any]) -> bool:
    """Whether thinking fits below the longest answer; a larger budget is made smaller."""
    most = settings.get("max_tokens") or settings.get("max_completion_tokens")
    thinking = settings.get("thinking")
    if not isinstance(most, int):
        return True
    if isinstance(thinking, dict) and isinstance(budget := thinking.get("budget_tokens"), int):
        settings["thinking"] = {**thinking, "budget_tokens": min(budget, most - 1)}
    return most > _LEAST_BUDGET


def _messages(request: ModelRequest, dialect: Dialect, told: str | None) -> list[dict[str, Any]]:
    made = [_message(message, dialect) for message in request.messages]
    if told is None:
        return made
    first = next((m for m in made if m["role"] in ("system", "developer")), None)
    if first is None:
        return [{"role": "system", "content": told}, *made]
    first["content"] = f"{first['content']}\n\n{told}"
    return made


def _message(message: Message, dialect: Dialect) -> dict[str, Any]:
    made: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.parts:
        made["content"] = [_part(part) for part in message.parts]
    if message.tool_calls:
        made["content"] = message.content or None
        made["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments or "{}"},
            }
            for call in message.tool_calls
        ]
    if message.thoughts and dialect.claude:
        _add_thoughts(made, message, dialect)
    if message.tool_call_id is not None:
        made["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        made["name"] = message.name
    return made


def _add_thoughts(made: dict[str, Any], message: Message, dialect: Dialect) -> None:
    if dialect.provider != "databricks":
        made["thinking_blocks"] = [_thinking_block(thought) for thought in message.thoughts]
        return
    # LiteLLM drops thinking blocks there; Databricks has content blocks of its own for them.
    # https://docs.databricks.com/en/machine-learning/model-serving/query-reason-models.html
    blocks: list[dict[str, Any]] = [_reasoning_block(thought) for thought in message.thoughts]
    text = [{"type": "text", "text": message.content}] if message.content else []
    made["content"] = [*blocks, *text]


def _thinking_block(thought: Thought) -> dict[str, Any]:
    if thought.data is not None:
        return {"type": "redacted_thinking", "data": thought.data}
    return {"type": "thinking", "thinking": thought.text, "signature": thought.signature}


def _reasoning_block(thought: Thought) -> dict[str, Any]:
    if thought.data is not None:
        summary: dict[str, Any] = {"type": "summary_encrypted_text", "data": thought.data}
    else:
        summary = {"type": "summary_text", "text": thought.text, "signature": thought.signature}
    return {"type": "reasoning", "summary": [summary]}


def _part(part: Part) -> dict[str, Any]:
    match part:
        case TextPart(text):
            return {"type": "text", "text": text}
        case ImagePart(url, detail):
            image = {"url": url} | ({"detail": detail} if detail else {})
            return {"type": "image_url", "image_url": image}
        case AudioPart(data, sound):
            return {"type": "input_audio", "input_audio": {"data": data, "format": sound}}
        case FilePart(data, filename):
            file = {"file_data": data} | ({"filename": filename} if filename else {})
            return {"type": "file", "file": file}


def _tool(tool: Tool) -> dict[str, JsonValue]:
    function: dict[str, JsonValue] = {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
    }
    if tool.strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def _choice(choice: ToolChoice) -> JsonValue:
    if isinstance(choice, str):
        return choice
    return {"type": "function", "function": {"name": choice.name}}


def _told_form(output: OutputFormat | None, dialect: Dialect) -> str | None:
    """The answer's form in words, where the provider doesn't hold the model to it.

    LiteLLM would force the call of a made-up tool, and so keep the model from calling the
    agent's; others it would ask without streaming.
    """
    if output is None:
        return None
    if output.schema is None:
        # OpenAI, too, wants to have read of JSON before it promises some.
        return "Answer with one JSON object, and write nothing but the JSON."
    if dialect.keeps_schema:
        return None
    schema = json.dumps(dict(output.schema))
    return (
        f"Answer with JSON that follows this JSON Schema, and write nothing but the JSON: {schema}"
    )


def _response_format(output: OutputFormat) -> dict[str, Any]:
    if output.schema is None:
        return {"type": "json_object"}
    form: dict[str, Any] = {"name": output.name, "schema": dict(output.schema)}
    if output.strict is not None:
        form["strict"] = output.strict
    return {"type": "json_schema", "json_schema": form}


def _mark_cached(made: dict[str, Any]) -> None:
    """Ask to cache the tools and the system prompt, and the conversation for the next turn."""
    messages: Sequence[dict[str, Any]] = made["messages"]
    system = [m for m in messages if m["role"] in ("system", "developer") and m["content"]]
    if system:
        # What comes before it in a prompt, the tools, is cached with it.
        system[-1]["content"] = [{"type": "text", "text": system[-1]["content"], **_CACHED}]
    elif made.get("tools"):
        made["tools"][-1] = {**made["tools"][-1], **_CACHED}
    last = messages[-1]
    if last["role"] == "tool":
        last.update(_CACHED)
    elif last["role"] == "user" and last["content"]:
        if isinstance(last["content"], str):
            last["content"] = [{"type": "text", "text": last["content"]}]
        last["content"][-1] = {**last["content"][-1], **_CACHED}
