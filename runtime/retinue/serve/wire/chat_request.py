"""The body of a chat completion request → messages, settings and options of a run.

Format: OpenAI's `CreateChatCompletionRequest` (openai-openapi v2.3.0).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from retinue.run.approval import Answers
from retinue.run.messages import Message
from retinue.run.options import RunOptions
from retinue.run.ports import Tool
from retinue.serve.wire.chat_approval import answered
from retinue.serve.wire.chat_messages import MAX_MESSAGES, ChatMessage, conversation
from retinue.serve.wire.mistakes import invalid, missing, not_supported
from retinue.serve.wire.output import ResponseFormat, output_format
from retinue.serve.wire.strict import MAX_METADATA, Strict, metadata
from retinue.serve.wire.tools import (
    MAX_TOOLS,
    ChosenTools,
    FunctionTool,
    allowed,
    chosen,
    function_tools,
)
from retinue.values import JsonValue

_MAX_BIASES = 1024

# Request parameters that go to the model as they are.
SETTINGS = (
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "reasoning_effort",
    "verbosity",
    "parallel_tool_calls",
    "service_tier",
    "user",
)


class StreamOptions(Strict):
    """Options that only a streamed answer has."""

    include_usage: bool | None = None


class ChatTool(Strict):
    """One of the caller's tools. Only functions are supported."""

    type: str
    function: FunctionTool | None = None


class FunctionName(Strict):
    """A tool by its name."""

    name: str


class NamedFunction(Strict):
    """One of the tools, by its name."""

    type: str
    function: FunctionName | None = None


class AllowedTools(Strict):
    """Some of the tools, and whether one of them has to be called."""

    mode: str
    tools: Annotated[list[NamedFunction], Field(max_length=MAX_TOOLS, fail_fast=True)]


class ChosenTool(NamedFunction):
    """A choice of one tool (`function`), or of some of them (`allowed_tools`)."""

    allowed_tools: AllowedTools | None = None


_Penalty = Annotated[float, Field(ge=-2, le=2)]
_Tokens = Annotated[int, Field(ge=1, le=2**31 - 1)]
_ShortText = Annotated[str, Field(max_length=512)]


class ChatCompletionRequest(Strict):
    """The fields that are read. Others are ignored, as clients send many of their own."""

    messages: Annotated[
        list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)
    ]
    model: _ShortText | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    metadata: Annotated[dict[str, Any], Field(max_length=MAX_METADATA)] | None = None

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    max_tokens: _Tokens | None = None
    max_completion_tokens: _Tokens | None = None
    stop: str | Annotated[list[str], Field(max_length=4, fail_fast=True)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    presence_penalty: _Penalty | None = None
    frequency_penalty: _Penalty | None = None
    logit_bias: Annotated[dict[str, Any], Field(max_length=_MAX_BIASES)] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = (
        None
    )
    verbosity: Literal["low", "medium", "high"] | None = None
    parallel_tool_calls: bool | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    user: _ShortText | None = None

    tools: Annotated[list[ChatTool], Field(max_length=MAX_TOOLS, fail_fast=True)] | None = None
    tool_choice: str | ChosenTool | None = None
    response_format: ResponseFormat | None = None

    # Accepted, and without effect here.
    store: bool | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None
    safety_identifier: str | None = None

    # Refused when they ask for something.
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    functions: list[Any] | None = None
    function_call: str | dict[str, Any] | None = None
    prediction: dict[str, Any] | None = None
    modalities: Annotated[list[str], Field(max_length=8, fail_fast=True)] | None = None
    audio: dict[str, Any] | None = None
    moderation: dict[str, Any] | None = None
    web_search_options: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a run needs. `model` is as the caller wrote it."""

    model: str | None
    messages: tuple[Message, ...]
    options: RunOptions
    metadata: Mapping[str, str]
    user: str | None
    stream: bool
    include_usage: bool


def decode(body: bytes) -> ChatRequest:
    """Read a request body. Raises RequestError, naming the parameter that is wrong."""
    request = ChatCompletionRequest.read(body)
    for param in _unsupported(request):
        raise not_supported(param)
    options = request.stream_options
    messages, answers = answered(conversation(request.messages))
    return ChatRequest(
        model=request.model,
        messages=messages,
        options=_options(request, answers),
        metadata=metadata(request.metadata),
        user=request.user,
        stream=bool(request.stream),
        include_usage=bool(options and options.include_usage),
    )


def _unsupported(request: ChatCompletionRequest) -> Iterator[str]:
    """The parameters that ask for what can't be done, in the order they are told."""
    asked = {
        "n": (request.n or 1) > 1,
        "logprobs": request.logprobs,
        "top_logprobs": request.top_logprobs,
        "functions": request.functions,
        "function_call": request.function_call not in (None, "none", "auto"),
        "prediction": request.prediction is not None,
        "modalities": any(modality != "text" for modality in request.modalities or ()),
        "audio": request.audio is not None,
        "moderation": request.moderation is not None,
        "web_search_options": request.web_search_options is not None,
    }
    return (param for param, wanted in asked.items() if wanted)


def _options(request: ChatCompletionRequest, answers: Answers | None) -> RunOptions:
    tools = function_tools(_functions(request.tools or ()))
    output = output_format(request.response_format) if request.response_format else None
    return _choice(request.tool_choice or "auto", tools).options(
        _settings(request), output, answers
    )


def _functions(tools: Iterable[ChatTool]) -> Iterator[tuple[str, FunctionTool]]:
    for index, tool in enumerate(tools):
        if tool.type != "function":
            raise not_supported(f"tools[{index}].type")
        if tool.function is None:
            raise missing(f"tools[{index}].function")
        yield f"tools[{index}].function", tool.function


def _choice(choice: str | ChosenTool, tools: Sequence[Tool]) -> ChosenTools:
    if isinstance(choice, str):
        return chosen(tools, choice)
    if choice.type == "allowed_tools":
        if choice.allowed_tools is None:
            raise missing("tool_choice.allowed_tools")
        names = [
            _name(tool, f"tool_choice.allowed_tools.tools[{index}]")
            for index, tool in enumerate(choice.allowed_tools.tools)
        ]
        place = "tool_choice.allowed_tools"
        return allowed(tools, names, choice.allowed_tools.mode, param=place)
    return chosen(tools, "named", name=_name(choice, "tool_choice"))


def _name(tool: NamedFunction, place: str) -> str:
    if tool.type != "function":
        raise not_supported(f"{place}.type")
    if tool.function is None:
        raise missing(f"{place}.function")
    return tool.function.name


def _settings(request: ChatCompletionRequest) -> dict[str, JsonValue]:
    _check_biases(request.logit_bias or {})
    given = request.model_fields_set
    values = {name: getattr(request, name) for name in SETTINGS if name in given}
    return {name: value for name, value in values.items() if value is not None and value != []}


def _check_biases(biases: Mapping[str, Any]) -> None:
    for token, bias in biases.items():
        if isinstance(bias, bool) or not isinstance(bias, int) or not -100 <= bias <= 100:
            raise invalid("logit_bias", "must map token ids to integers from -100 to 100")
        if not token.isascii() or not token.isdecimal():
            raise invalid("logit_bias", "must be keyed by token ids")
