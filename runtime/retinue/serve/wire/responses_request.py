"""The body of a response request → messages, options and echo of a run.

Format: OpenAI's `CreateResponse` (openai-openapi v2.3.0).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import Field, model_validator

from retinue.agent import Agent
from retinue.errors import RequestError
from retinue.run.approval import Answers
from retinue.run.messages import Message
from retinue.run.options import RunOptions
from retinue.run.ports import OutputFormat, Tool
from retinue.serve.wire.kept_messages import open_calls
from retinue.serve.wire.mistakes import invalid, missing, not_supported
from retinue.serve.wire.output import JsonSchemaFormat, schema_format
from retinue.serve.wire.responses_approval import answers_in
from retinue.serve.wire.responses_input import MAX_ITEMS, Item, conversation
from retinue.serve.wire.responses_output import OWN_SERVER
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

_LOGPROBS = "message.output_text.logprobs"

_Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
_Level = Literal["low", "medium", "high"]
_Tier = Literal["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"]
_Summary = Literal["auto", "concise", "detailed"]
_Include = Literal[
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
]
_ShortText = Annotated[str, Field(max_length=512)]


class TextFormat(Strict):
    """The shape of the answer. A JSON Schema's keys stand beside its type here."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None
    nested: JsonSchemaFormat | None = Field(default=None, alias="json_schema")

    @model_validator(mode="after")
    def _flatten(self) -> Self:
        """Databricks' provider sends the keys where chat completions have them."""
        if self.nested:
            for key in ("name", "description", "json_schema", "strict"):
                setattr(self, key, getattr(self.nested, key))
            self.nested = None
        return self


class TextOptions(Strict):
    """What the answer's text is like."""

    format: TextFormat | None = None
    verbosity: _Level | None = None


class ReasoningOptions(Strict):
    """How hard the model thinks."""

    effort: _Effort | None = None
    summary: _Summary | None = None
    generate_summary: _Summary | None = None


class ResponseTool(Strict):
    """One of the caller's tools. Only functions are supported."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class NamedChoice(Strict):
    """A tool by its name."""

    type: str
    name: str | None = None


class ToolChoiceObject(NamedChoice):
    """A choice of one tool (`function`), or of some of them (`allowed_tools`)."""

    mode: str | None = None
    tools: Annotated[list[NamedChoice], Field(max_length=MAX_TOOLS, fail_fast=True)] | None = None


class ResponseStreamOptions(Strict):
    """Accepted: nothing is ever obfuscated here."""

    include_obfuscation: bool | None = None


class ConversationName(Strict):
    """A conversation by its id."""

    id: str


class CreateResponseRequest(Strict):
    """The fields that are read. Others are ignored, as clients send many of their own."""

    input: (
        str
        | Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MAX_ITEMS, fail_fast=True)]
    )
    model: _ShortText | None = None
    instructions: str | None = None
    stream: bool | None = None
    stream_options: ResponseStreamOptions | None = None
    metadata: Annotated[dict[str, Any], Field(max_length=MAX_METADATA)] | None = None

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    max_output_tokens: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    parallel_tool_calls: bool | None = None
    reasoning: ReasoningOptions | None = None
    text: TextOptions | None = None
    service_tier: _Tier | None = None
    user: _ShortText | None = None
    tools: Annotated[list[ResponseTool], Field(max_length=MAX_TOOLS, fail_fast=True)] | None = None
    tool_choice: str | ToolChoiceObject | None = None

    # What is kept, where there is a store.
    store: bool | None = None
    background: bool | None = None
    conversation: str | ConversationName | None = None
    previous_response_id: _ShortText | None = None

    # Accepted, and without effect here.
    include: Annotated[list[_Include], Field(max_length=32, fail_fast=True)] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    safety_identifier: Annotated[str, Field(max_length=64)] | None = None
    prompt_cache_key: _ShortText | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None

    # Refused when they ask for something.
    prompt: dict[str, Any] | None = None
    max_tool_calls: Annotated[int, Field(ge=0)] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    context_management: list[Any] | None = None
    moderation: dict[str, Any] | None = None

    @property
    def conversation_id(self) -> str | None:
        """The conversation that the response belongs to."""
        given = self.conversation
        return given.id if isinstance(given, ConversationName) else given


@dataclass(frozen=True, slots=True)
class ResponseRequest:
    """What a run needs. `model` is as the caller wrote it.

    `lead` are the caller's instructions and `said` the rest of what it says. `system_param` is
    where the first of the caller's own instructions stands, if there are any.
    """

    parameters: CreateResponseRequest
    lead: tuple[Message, ...]
    said: tuple[Message, ...]
    system_param: str | None
    options: RunOptions
    metadata: Mapping[str, str]

    @property
    def messages(self) -> tuple[Message, ...]:
        return (*self.lead, *self.said)

    @property
    def model(self) -> str | None:
        return self.parameters.model

    @property
    def user(self) -> str | None:
        return self.parameters.user

    @property
    def stream(self) -> bool:
        return bool(self.parameters.stream)


def decode(body: bytes, *, strict: bool = True) -> ResponseRequest:
    """Read the body of a request that knows of nothing but itself.

    `strict` requires an answer to every tool call, as OpenAI does. Raises RequestError, naming the
    parameter that is wrong.
    """
    parameters = parse(body)
    for param in needing_state(parameters):
        raise RequestError(f"'{param}' can't be used here.", param=param, code=_STATELESS[param])
    return told(parameters, strict=strict)


# Clients know the second one, and send the whole conversation then.
_STATELESS = {
    "background": "unsupported_parameter",
    "previous_response_id": "previous_response_not_found",
    "conversation": "unsupported_parameter",
}


def parse(body: bytes) -> CreateResponseRequest:
    """Read a request body. Raises RequestError, naming the parameter that is wrong."""
    parameters = CreateResponseRequest.read(body)
    for param in _unsupported(parameters):
        raise not_supported(param)
    if parameters.conversation_id is not None and parameters.previous_response_id is not None:
        raise invalid("previous_response_id", "can't be used with 'conversation'")
    return parameters


def needing_state(parameters: CreateResponseRequest) -> Iterator[str]:
    """The parameters that ask for what is kept."""
    return (name for name in _STATELESS if getattr(parameters, name) not in (None, False))


def told(
    parameters: CreateResponseRequest,
    *,
    items: str | Sequence[Item] | None = None,
    before: Sequence[Message] = (),
    strict: bool = True,
) -> ResponseRequest:
    """What the parameters ask of a run. Raises RequestError, naming the one that is wrong.

    `items` stand for the input where that refers to some, and `before` is what was said in earlier
    turns, whose calls may have no answer yet.
    """
    given = parameters.input if items is None else items
    calls = open_calls(before)
    said, place = conversation(given, strict=strict, before=calls, alone=not before)
    lead: tuple[Message, ...] = ()
    if parameters.instructions:
        lead, place = (Message("system", parameters.instructions),), "instructions"
    return ResponseRequest(
        parameters=parameters,
        lead=lead,
        said=said,
        system_param=place,
        options=_options(parameters, answers_in(given, OWN_SERVER)),
        metadata=metadata(parameters.metadata),
    )


def _unsupported(request: CreateResponseRequest) -> Iterator[str]:
    """The parameters that ask for what can't be done, in the order they are told."""
    include = request.include or ()
    asked = {
        "prompt": request.prompt is not None,
        "max_tool_calls": request.max_tool_calls is not None,
        "top_logprobs": request.top_logprobs,
        "context_management": request.context_management,
        "moderation": request.moderation is not None,
        **{f"include[{n}]": name == _LOGPROBS for n, name in enumerate(include)},
    }
    return (param for param, wanted in asked.items() if wanted)


def _options(request: CreateResponseRequest, answers: Answers | None) -> RunOptions:
    tools = function_tools(_functions(request.tools or ()))
    output = _output(request.text.format) if request.text and request.text.format else None
    return _choice(request.tool_choice or "auto", tools).options(
        _settings(request), output, answers
    )


def _settings(request: CreateResponseRequest) -> dict[str, JsonValue]:
    given: dict[str, JsonValue] = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "max_tokens": request.max_output_tokens,
        "parallel_tool_calls": request.parallel_tool_calls,
        "reasoning_effort": request.reasoning.effort if request.reasoning else None,
        "verbosity": request.text.verbosity if request.text else None,
        "service_tier": request.service_tier,
        "user": request.user,
    }
    return {name: value for name, value in given.items() if value is not None}


def _functions(tools: Sequence[ResponseTool]) -> Iterator[tuple[str, FunctionTool]]:
    for index, tool in enumerate(tools):
        place = f"tools[{index}]"
        if tool.type != "function":
            raise not_supported(f"{place}.type")
        if tool.name is None:
            raise missing(f"{place}.name")
        if not _is_json(tool.parameters):
            raise invalid(f"{place}.parameters", "can't be sent on: a number in it is too large")
        yield (
            place,
            FunctionTool(
                name=tool.name,
                description=tool.description,
                parameters=tool.parameters,
                strict=tool.strict,
            ),
        )


def _is_json(value: Any) -> bool:
    """Whether it can be repeated to the caller: Python reads integers of any length."""
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:
        return False
    return True


def _choice(choice: str | ToolChoiceObject, tools: Sequence[Tool]) -> ChosenTools:
    if isinstance(choice, str):
        return chosen(tools, choice)
    if choice.type == "allowed_tools":
        if choice.tools is None:
            raise missing("tool_choice.tools")
        names = [_name(tool, f"tool_choice.tools[{n}]") for n, tool in enumerate(choice.tools)]
        return allowed(tools, names, choice.mode or "auto")
    return chosen(tools, "named", name=_name(choice, "tool_choice"))


def _name(choice: NamedChoice, place: str) -> str:
    if choice.type != "function":
        raise not_supported(f"{place}.type")
    if choice.name is None:
        raise missing(f"{place}.name")
    return choice.name


def _output(given: TextFormat) -> OutputFormat | None:
    if given.type == "text":
        return None
    if given.type == "json_object":
        return OutputFormat()
    if given.name is None:
        raise missing("text.format.name")
    form = JsonSchemaFormat(
        name=given.name,
        description=given.description,
        schema=given.json_schema,
        strict=given.strict,
    )
    return schema_format(form, "text.format")


def heard(
    request: ResponseRequest, agent: Agent
) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """Instructions and what is said, as the agent takes them, whose file says what a caller's
    instructions are.

    Raises RequestError where they are refused, or nothing is left without them.
    """
    policy = agent.serving.system_messages
    if policy == "append" or request.system_param is None:
        return request.lead, request.said
    if policy == "refuse":
        raise invalid(request.system_param, "can't be given: this agent has its own instructions")
    kept = tuple(m for m in request.said if m.role not in ("system", "developer"))
    if not kept:
        raise invalid("input", "must hold more than instructions: this agent has its own")
    return (), kept
