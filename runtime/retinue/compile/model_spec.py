"""What agent files and retinue.yaml may say of a model."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from retinue.compile.fields import (
    Boolean,
    Duration,
    Integer,
    Json,
    NonEmpty,
    Number,
    Reference,
    Shorthand,
    Spec,
)
from retinue.route import FALLBACK_ON, Adapter, FallbackOn

UNNAMED = "-"
"""The name of a model that has deployments instead."""

MODEL_NAME = r"^\S+$"

Texts = Annotated[
    list[str],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]
Tier = Literal["auto", "default", "flex", "scale", "priority"]


class ThinkingSpec(Spec):
    """How much a model may think, for those that count it in tokens."""

    hints: ClassVar = {"budget": "use `budget_tokens`", "type": "remove it: thinking is on"}

    budget_tokens: Integer = Field(
        ge=1024, description="Most tokens of thinking in one answer.", examples=[4096]
    )


class SettingsSpec(Spec):
    """Request parameters that go with every model call."""

    hints: ClassVar = {
        "max_output_tokens": "use `max_tokens`",
        "max_completion_tokens": "use `max_tokens`",
        "stop_sequences": "use `stop`",
        "effort": "use `reasoning_effort`",
        "thinking_budget": "use `thinking: {budget_tokens: …}`",
        "response_format": "use `output_schema` of the agent",
        "stream": "the caller decides whether an answer is streamed",
        "tools": "tools come from `mcp_servers`",
    }

    temperature: Number | None = Field(
        default=None, ge=0, le=2, description="Sampling temperature.", examples=[0.2]
    )
    max_tokens: Integer | None = Field(
        default=None, ge=1, description="Most tokens of one model answer.", examples=[4096]
    )
    top_p: Number | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Nucleus sampling: share of probability.",
        examples=[0.9],
    )
    seed: Integer | None = Field(
        default=None, description="Seed for providers that can repeat an answer.", examples=[7]
    )
    stop: Texts | None = Field(
        default=None,
        description="Texts that end the answer; one alone needs no list.",
        examples=[["END"]],
    )
    reasoning_effort: Effort | None = Field(
        default=None, description="How long a reasoning model thinks.", examples=["medium"]
    )
    thinking: ThinkingSpec | None = Field(
        default=None,
        description="How much a model thinks that takes a number of tokens, such as Claude.",
        examples=[{"budget_tokens": 4096}],
    )
    service_tier: Tier | None = Field(
        default=None, description="The provider's class of service.", examples=["flex"]
    )
    frequency_penalty: Number | None = Field(
        default=None, ge=-2, le=2, description="Penalty for frequent tokens.", examples=[0.5]
    )
    presence_penalty: Number | None = Field(
        default=None, ge=-2, le=2, description="Penalty for tokens already used.", examples=[0.5]
    )
    parallel_tool_calls: Boolean | None = Field(
        default=None,
        description="Whether the model may call several tools at once.",
        examples=[True],
    )
    prompt_caching: Boolean | None = Field(
        default=None,
        description="Whether the provider is asked to cache the prompt's beginning.",
        examples=[True],
    )
    extra: dict[str, Json] = Field(
        default_factory=dict,
        json_schema_extra={"default": {}},
        description="Further request parameters of the provider, passed on as they are.",
        examples=[{"top_k": 40}],
    )


class PriceSpec(Spec):
    """What a model costs, in US dollars per million tokens."""

    hints: ClassVar = {
        **dict.fromkeys(("prompt", "input_cost_per_token"), "use `input`, per million"),
        **dict.fromkeys(("completion", "output_cost_per_token"), "use `output`, per million"),
    }

    input: Number = Field(ge=0, description="Tokens sent.", examples=[3])
    output: Number = Field(ge=0, description="Tokens of the answer.", examples=[15])
    cached_input: Number | None = Field(
        default=None,
        ge=0,
        description="Tokens that the provider had in its cache; as `input` where it isn't given.",
        examples=[0.3],
    )
    cache_write: Number | None = Field(
        default=None,
        ge=0,
        description="Tokens put into the provider's cache; as `input` where it isn't given.",
        examples=[3.75],
    )


class PlaceSpec(Spec):
    """Where a model is reached."""

    hints: ClassVar = {
        "model": "use `name`",
        "id": "use `name`",
        "provider": "write it in the name: provider/model",
        "base_url": "use `api_base`",
        "endpoint": "use `name: databricks/<endpoint>`",
        "extra_headers": "use `headers`",
        **dict.fromkeys(("aws_region_name", "location"), "use `region`"),
        **dict.fromkeys(SettingsSpec.model_fields, "put it under `settings`"),
    }

    name: str = Field(
        description="A LiteLLM model id (the provider, a slash, the model), or the name of one of "
        "retinue.yaml's models, which this object then goes over.",
        examples=["databricks/databricks-claude-sonnet-4-5"],
        pattern=MODEL_NAME,
    )
    api_base: Reference | None = Field(
        default=None,
        description="The provider's URL, where it isn't the usual one.",
        examples=["https://models.example.com/v1"],
    )
    api_key: Reference | None = Field(
        default=None,
        description="The provider's key, as a reference.",
        examples=["${secret.llm/key}"],
    )
    region: Reference | None = Field(
        default=None,
        description="The cloud region, for providers that have one (Bedrock, Vertex AI).",
        examples=["${env.AWS_REGION:-us-east-2}"],
    )
    headers: dict[str, Reference] = Field(
        default_factory=dict,
        json_schema_extra={"default": {}},
        max_length=50,
        description="HTTP headers sent with every call.",
        examples=[{"X-Team": "analytics"}],
    )
    adapter: Adapter = Field(
        default="auto",
        description="What makes the calls: our own client for OpenAI's wire (direct), LiteLLM "
        "(litellm), or whichever fits the provider (auto).",
        examples=["litellm"],
    )
    auth: Literal["user", "app"] = Field(
        default="app",
        description="Whose identity a Databricks workspace sees: the caller's (user) or the app's "
        "own (app).",
        examples=["user"],
    )
    price: PriceSpec | None = Field(
        default=None,
        description="What the model costs, where LiteLLM's list doesn't know it or is wrong.",
        examples=[{"input": 3, "output": 15}],
    )


class DeploymentSpec(PlaceSpec):
    """One of several equal places of a model. A string instead of the object is its name."""

    weight: Integer = Field(
        default=1,
        ge=1,
        le=1000,
        description="How often it is asked, compared with the others.",
        examples=[3],
    )


class TimeoutSpec(Spec):
    """How long one model call may take. A duration instead of the object is `total`."""

    hints: ClassVar = {
        "connect": "use `first_token`",
        "stream": "use `idle`",
        "request": "use `total`",
    }

    total: Duration = Field(
        default=60.0,
        description="Longest wait for the whole answer, tries of the same model included.",
        examples=["60s", "2m"],
    )
    first_token: Duration | None = Field(
        default=None, description="Longest wait for the first output.", examples=["15s"]
    )
    idle: Duration | None = Field(
        default=None, description="Longest pause between two pieces of output.", examples=["20s"]
    )


class _TotalAlone:
    """A duration may stand for the object that has it under `total`."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_with_total, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        duration = TimeoutSpec.model_json_schema()["properties"]["total"]
        return {"anyOf": [{"anyOf": duration["anyOf"]}, handler(schema)]}


def _with_total(value: object) -> object:
    return value if isinstance(value, dict | TimeoutSpec) else {"total": value}


class RangeSpec(Spec):
    """The numbers that a request may ask for."""

    min: Number | None = Field(default=None, description="The least.", examples=[0])
    max: Number | None = Field(default=None, description="The most.", examples=[1])


class BoundsSpec(Spec):
    """What a request may put over the settings; what isn't here is not limited."""

    hints: ClassVar = {
        "max_completion_tokens": "use `max_tokens`, which bounds both",
        "max_output_tokens": "use `max_tokens`",
    }

    temperature: RangeSpec | None = Field(
        default=None, description="Bounds of the sampling temperature.", examples=[{"max": 1}]
    )
    max_tokens: RangeSpec | None = Field(
        default=None, description="Bounds of the longest answer.", examples=[{"max": 8192}]
    )
    top_p: RangeSpec | None = Field(
        default=None, description="Bounds of nucleus sampling.", examples=[{"min": 0.5}]
    )
    frequency_penalty: RangeSpec | None = Field(
        default=None,
        description="Bounds of that penalty.",
        examples=[{"max": 1}],
    )
    presence_penalty: RangeSpec | None = Field(
        default=None, description="Bounds of that penalty.", examples=[{"max": 1}]
    )
    reasoning_effort: list[Effort] | None = Field(
        default=None, description="Efforts that may be asked for.", examples=[["low", "medium"]]
    )
    service_tier: list[Tier] | None = Field(
        default=None, description="Tiers that may be asked for.", examples=[["default", "flex"]]
    )


def _name_or_deployments(schema: dict[str, Any]) -> None:
    """Either says where the model is."""
    del schema["required"]
    schema["anyOf"] = [{"required": ["name"]}, {"required": ["deployments"]}]


class ModelSpec(PlaceSpec):
    """The model: a LiteLLM id, and how it is reached."""

    model_config = ConfigDict(json_schema_extra=_name_or_deployments)

    hints: ClassVar = {
        **PlaceSpec.hints,
        "weight": "put it under `deployments`",
        "max_retries": "use `retries`",
        **dict.fromkeys(("num_retries", "retry"), "use `retries`"),
        "limits": "use `bounds` for settings, or the agent's `limits`",
    }

    deployments: list[Annotated[DeploymentSpec, Shorthand("name", pattern=MODEL_NAME)]] = Field(
        default_factory=list,
        json_schema_extra={"default": []},
        max_length=20,
        description="Several places of the same model instead of `name`: each is asked by its "
        "weight, and rests for a while when it fails.",
        examples=[[{"name": "azure/gpt-5.4", "weight": 3}, "openai/gpt-5.4"]],
    )
    fallbacks: list[NonEmpty] = Field(
        default_factory=list,
        json_schema_extra={"default": []},
        max_length=10,
        description="Models to ask when this one fails, in that order: names of retinue.yaml's "
        "models, or LiteLLM ids.",
        examples=[["databricks/databricks-gpt-5-4", "anthropic/claude-sonnet-4-5"]],
    )
    fallback_on: list[FallbackOn] = Field(
        default_factory=lambda: list(FALLBACK_ON),
        json_schema_extra={"default": [*FALLBACK_ON]},
        description="The failures after which the next model is asked.",
        examples=[["rate_limit", "context_window"]],
    )
    retries: Integer = Field(
        default=2,
        ge=0,
        le=10,
        description="How often a failed call is tried again before the next model is asked.",
        examples=[2],
    )
    timeout: Annotated[TimeoutSpec, _TotalAlone()] = Field(
        default_factory=TimeoutSpec,
        description="How long one model call may take: a duration, or an object.",
        examples=["60s", {"total": "2m", "first_token": "20s", "idle": "30s"}],
    )
    settings: SettingsSpec = Field(
        default_factory=SettingsSpec,
        description="Request parameters sent with every call.",
        examples=[{"temperature": 0.2}],
    )
    bounds: BoundsSpec = Field(
        default_factory=BoundsSpec,
        description="What a request may put over the settings.",
        examples=[{"max_tokens": {"max": 8192}}],
    )

    @model_validator(mode="before")
    @classmethod
    def _named_by_deployments(cls, value: Any) -> Any:
        named = not isinstance(value, dict) or "name" in value or not value.get("deployments")
        return value if named else {**value, "name": UNNAMED}
