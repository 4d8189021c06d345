"""What agent files and retinue.yaml may say of a model."""

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from retinue.agent import FALLBACK_ON, FallbackOn
from retinue.compile.fields import (
    Boolean,
    Duration,
    Integer,
    Json,
    NonEmpty,
    Number,
    Reference,
    Spec,
)

MODEL_NAME = r"^\S+$"

Texts = Annotated[
    list[str],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


class SettingsSpec(Spec):
    """Request parameters that go with every model call."""

    hints: ClassVar = {
        "max_output_tokens": "use `max_tokens`",
        "max_completion_tokens": "use `max_tokens`",
        "stop_sequences": "use `stop`",
        "effort": "use `reasoning_effort`",
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
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = Field(
        default=None, description="How long a reasoning model thinks.", examples=["medium"]
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


class ModelSpec(Spec):
    """The model: a LiteLLM id, and how it is reached."""

    hints: ClassVar = {
        "model": "use `name`",
        "id": "use `name`",
        "provider": "write it in the name: provider/model",
        "base_url": "use `api_base`",
        "endpoint": "use `name: databricks/<endpoint>`",
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
    timeout: Duration = Field(
        default=60.0, description="Longest wait for one model call.", examples=["60s", "2m"]
    )
    settings: SettingsSpec = Field(
        default_factory=SettingsSpec,
        description="Request parameters sent with every call.",
        examples=[{"temperature": 0.2}],
    )
