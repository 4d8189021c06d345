"""A `ModelRequest` → the JSON of a chat completion request, in OpenAI's shape.

Reference: https://platform.openai.com/docs/api-reference/chat/create.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import orjson

from retinue.route import Deployment
from retinue.run.messages import AudioPart, FilePart, ImagePart, Message, Part, TextPart
from retinue.run.models.direct import databricks
from retinue.run.models.direct.providers import model_name, provider_of
from retinue.run.ports import ModelRequest, OutputFormat, Tool, ToolChoice
from retinue.values import JsonValue

# What the run decides itself, or what LiteLLM would take for its own.
_NOT_SETTINGS = frozenset(
    {
        "api_base", "api_key", "base_url", "client", "custom_llm_provider", "drop_params",
        "extra_headers", "fallbacks", "messages", "metadata", "mock_response", "model", "n",
        "num_retries", "stream", "stream_options", "timeout", "tool_choice", "tools",
    }
)  # fmt: skip

# OpenAI's models by name: those that think, those that always do, those that never do.
_REASONING = re.compile(r"^(o\d|gpt-[5-9](?!.*-chat))")
_ALWAYS_REASONING = re.compile(r"^(o\d|gpt-[5-9](?!\.)(?!.*-chat))")
_NEVER_REASONING = re.compile(r"^(gpt-[34]|gpt-[5-9].*-chat|chatgpt)")
_TAKES_DEVELOPER = re.compile(r"^o\d")
_SAMPLING = frozenset(
    {
        "temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs",
        "top_logprobs", "logit_bias",
    }
)  # fmt: skip


def encode(body: Mapping[str, Any]) -> bytes:
    """The body to post."""
    try:
        return orjson.dumps(body, default=_plain)
    except TypeError:
        # Lone surrogates and integers of more than 64 bits, which JSON itself can carry.
        return json.dumps(body, default=_plain).encode()


def _plain(value: object) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON")


def body_of(deployment: Deployment, request: ModelRequest) -> dict[str, Any]:
    """The body as plain objects."""
    name, provider = model_name(deployment), deployment.provider
    settings = {k: v for k, v in request.settings.items() if k not in _NOT_SETTINGS}
    extra = settings.pop("extra_body", None)
    if provider_of(deployment).old_limit and "max_completion_tokens" in settings:
        settings["max_tokens"] = settings.pop("max_completion_tokens")
    body: dict[str, Any] = {"model": name, "stream": True}
    if provider == "databricks":
        body["messages"] = databricks.messages(name, request, message)
        settings = databricks.settings(name, request, settings)
    else:
        ours = provider in ("openai", "azure")
        keep = ours and _TAKES_DEVELOPER.match(name) is not None
        body["messages"] = [message(one, keep_developer=keep) for one in request.messages]
        body["stream_options"] = {"include_usage": True}
        if ours:
            settings = _for_openai(name, settings)
    body |= settings
    if isinstance(extra, dict):
        body |= extra
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        if request.tool_choice != "auto":
            body["tool_choice"] = _choice(request.tool_choice)
    if request.output is not None and _takes_format(provider, name, request.output):
        body["response_format"] = _format(request.output)
    return body


def left_out(deployment: Deployment, request: ModelRequest, body: Mapping[str, Any]) -> set[str]:
    """The settings of the request that are in its body under no name."""
    lost = request.settings.keys() - _NOT_SETTINGS - body.keys() - {"extra_body"}
    if lost:
        lost -= {"max_tokens", "max_completion_tokens"}
        if databricks.is_claude(model_name(deployment)):
            lost -= {"reasoning_effort", "thinking"}
    return lost


def _takes_format(provider: str, name: str, output: OutputFormat) -> bool:
    """Claude on Databricks takes a schema, and no "any JSON"; the answer is checked here anyway."""
    claude = provider == "databricks" and databricks.is_claude(name)
    return output.schema is not None or not claude


def _for_openai(name: str, settings: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Models that think know a limit by its newer name only, and refuse to be told how to sample;
    the others refuse to be told how to think. Routes share settings, so such ones are left out.
    """
    made = dict(settings)
    if _NEVER_REASONING.match(name):
        made.pop("reasoning_effort", None)
    if not _REASONING.match(name):
        return made
    if "max_tokens" in made:
        made = {"max_completion_tokens": made.pop("max_tokens"), **made}
    thinks = made.get("reasoning_effort") not in (None, "none")
    if thinks or _ALWAYS_REASONING.match(name):
        # Their own temperature they may be told.
        kept = {"temperature": 1} if made.get("temperature") == 1 else {}
        made = {key: value for key, value in made.items() if key not in _SAMPLING} | kept
    return made


def message(one: Message, *, keep_developer: bool = False) -> dict[str, Any]:
    """One message."""
    role = "system" if one.role == "developer" and not keep_developer else one.role
    made: dict[str, Any] = {"role": role}
    if one.parts:
        made["content"] = [_part(part) for part in one.parts]
    elif one.content or not one.tool_calls:
        made["content"] = one.content
    if one.tool_calls:
        made["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments or "{}"},
            }
            for call in one.tool_calls
        ]
    if one.tool_call_id is not None:
        made["tool_call_id"] = one.tool_call_id
    elif one.name is not None:
        made["name"] = one.name
    return made


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, ImagePart):
        detail = {} if part.detail is None else {"detail": part.detail}
        return {"type": "image_url", "image_url": {"url": part.url, **detail}}
    if isinstance(part, AudioPart):
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
    return {"type": "file", "file": _file(part)}


def _file(part: FilePart) -> dict[str, str]:
    named = {} if part.filename is None else {"filename": part.filename}
    return {"file_data": part.data, **named}


def _tool(tool: Tool) -> dict[str, Any]:
    strict = {"strict": True} if tool.strict else {}
    told = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": {**told, **strict}}


def _choice(choice: ToolChoice) -> JsonValue:
    if isinstance(choice, str):
        return choice
    return {"type": "function", "function": {"name": choice.name}}


def _format(output: OutputFormat) -> dict[str, Any]:
    if output.schema is None:
        return {"type": "json_object"}
    strict = {} if output.strict is None else {"strict": output.strict}
    wanted = {"name": output.name, "schema": output.schema, **strict}
    return {"type": "json_schema", "json_schema": wanted}
