"""A response request and its agent → the parameters as the response repeats them."""

from typing import Any

from retinue.agent import Agent
from retinue.serve.wire.responses_request import (
    CreateResponseRequest,
    ReasoningOptions,
    ResponseTool,
    TextFormat,
    TextOptions,
)
from retinue.serve.wire.strict import metadata


def echo(given: CreateResponseRequest, agent: Agent) -> dict[str, Any]:
    """The keys of OpenAI's `Response` that are parameters: the caller's, else the agent's own."""
    own = agent.model.settings
    tools = [_told_tool(tool) for tool in given.tools or ()]
    choice = given.tool_choice or "auto"
    reasoning = given.reasoning or ReasoningOptions()
    echoed = {
        "instructions": given.instructions,
        "metadata": dict(metadata(given.metadata)),
        "temperature": _number(given.temperature, own.get("temperature")),
        "top_p": _number(given.top_p, own.get("top_p")),
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "top_logprobs": 0,
        "max_output_tokens": given.max_output_tokens,
        "max_tool_calls": None,
        "tools": tools,
        "tool_choice": choice if isinstance(choice, str) else choice.model_dump(exclude_none=True),
        "parallel_tool_calls": given.parallel_tool_calls is not False,
        "reasoning": {"effort": reasoning.effort, "summary": reasoning.summary},
        "text": _told_text(given.text or TextOptions()),
        "service_tier": given.service_tier or "default",
        "truncation": "disabled",
        "safety_identifier": given.safety_identifier,
        "prompt_cache_key": given.prompt_cache_key,
    }
    return {**echoed, "user": given.user} if given.user is not None else echoed


def _number(*candidates: Any) -> Any:
    """The first that is a number; else 1.0, which is OpenAI's default."""
    numbers = (n for n in candidates if isinstance(n, int | float) and not isinstance(n, bool))
    return next(numbers, 1.0)


def _told_tool(tool: ResponseTool) -> dict[str, Any]:
    keys = ("type", "name", "description", "parameters", "strict")
    return {key: getattr(tool, key) for key in keys}


def _told_text(text: TextOptions) -> dict[str, Any]:
    form = text.format or TextFormat(type="text")
    told = {"format": form.model_dump(by_alias=True, exclude_none=True)}
    return {**told, "verbosity": text.verbosity} if text.verbosity else told
