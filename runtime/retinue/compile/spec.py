"""What an agent file may hold: its keys, what each takes, and where references are kept."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticKnownError

from retinue.agent import VariableType
from retinue.compile.access_spec import AuthSpec
from retinue.compile.conduct_spec import GuardrailsSpec, ServeSpec, SessionSpec, SubAgentSpec
from retinue.compile.deploy_spec import DeploySpec
from retinue.compile.fields import (
    Boolean,
    Duration,
    Integer,
    Names,
    NonEmpty,
    Number,
    OneOrMore,
    OutputSchema,
    Scalar,
    ScalarDefault,
    Shorthand,
    Spec,
)
from retinue.compile.model_spec import MODEL_NAME, ModelSpec, SettingsSpec
from retinue.compile.server_spec import ServerSpec
from retinue.compile.tree import Path

REFERENCE_FIELDS: tuple[tuple[str, ...], ...] = (
    *(
        (*model, *key)
        for model in (("model",), ("model", "deployments", "*"))
        for key in (("api_base",), ("api_key",), ("region",), ("headers", "*"))
    ),
    ("mcp_servers", "*", "databricks", "*"),
    ("mcp_servers", "*", "databricks", "genie_space", "id"),
    ("mcp_servers", "*", "url"),
    ("mcp_servers", "*", "headers", "*"),
    ("mcp_servers", "*", "env", "*"),
    ("mcp_servers", "*", "args", "*"),
    ("sub_agents", "*", "databricks", "*"),
    ("sub_agents", "*", "url"),
    ("sub_agents", "*", "headers", "*"),
    ("sub_agents", "*", "api_key"),
    ("auth", "keys"),
    ("store",),
    ("store", "files"),
    ("store", "url"),
    ("store", "lakebase"),
    ("store", "lakebase", "*"),
    ("observability", "otlp", "endpoint"),
    ("observability", "otlp", "headers", "*"),
)
"""Fields that keep `${env…}`, `${secret…}` and `${workspace…}` until they are used."""

_WAITING_FIELDS = (
    ("sub_agents", "*", "databricks", "*"),
    ("mcp_servers", "*", "databricks", "*"),
    ("mcp_servers", "*", "databricks", "genie_space", "id"),
    ("mcp_servers", "*", "databricks", "genie_space", "warehouse"),
    ("deploy", "databricks_app", "extra_resources", "*", "*", "*"),
    ("deploy", "databricks_app", "budget_policy"),
    ("deploy", "databricks_app", "telemetry", "*"),
)


def holds_references(path: Path) -> bool:
    """Whether the value at `path` may be a reference that is resolved when it is used."""
    return any(_matches(path, pattern) for pattern in REFERENCE_FIELDS)


def may_wait(path: Path) -> bool:
    """Whether a bundle variable there may be without a value until deployment."""
    return any(_matches(path, pattern) for pattern in _WAITING_FIELDS)


def _matches(path: Path, pattern: tuple[str, ...]) -> bool:
    return len(path) == len(pattern) and all(
        want in ("*", have) for want, have in zip(pattern, path, strict=True)
    )


MAX_DESCRIPTION = 1024
_AGENT_NAME = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
_MAX_AGENT_NAME = 20


def is_agent_name(name: str) -> bool:
    """Whether an agent may be named so: a Databricks App's name leaves 20 characters."""
    return len(name) <= _MAX_AGENT_NAME and re.fullmatch(_AGENT_NAME, name) is not None


_SETTINGS_HINT = "put it under model.settings"


def _no_boolean(value: object) -> object:
    """To Python, and so to pydantic, true is 1."""
    if isinstance(value, bool):
        raise PydanticKnownError("literal_error", {"expected": "1"})
    return value


class VariableSpec(Spec):
    """A variable of the prompt. A scalar instead of the object is its default."""

    hints: ClassVar = {
        "value": "use `default`",
        "from": "use `source`",
        "description": "use a comment",
    }

    type: VariableType | None = Field(
        default=None,
        description="What the value is; by default what the default is, or a string.",
        examples=["string"],
    )
    default: Scalar = Field(
        default=None, description="The value where the source gives none.", examples=["EMEA"]
    )
    source: str | None = Field(
        default=None,
        description="Where the value comes from: request.metadata.KEY, user.email, user.name, "
        "user.id, clock.date, clock.time or clock.datetime.",
        examples=["request.metadata.region"],
    )
    required: Boolean | None = Field(
        default=None,
        description="Whether a request without a value is refused; by default yes, unless there "
        "is a default.",
        examples=[True],
    )


class InstructionsSpec(Spec):
    """The system prompt: a text or a file, and its variables."""

    hints: ClassVar = {
        **dict.fromkeys(("path", "template", "prompt"), "use `file`"),
        **dict.fromkeys(("content", "value", "inline"), "use `text`"),
    }

    text: str | None = Field(
        default=None,
        description="The text itself, as a Jinja2 template.",
        examples=["You are helpful."],
    )
    file: str | None = Field(
        default=None,
        min_length=1,
        description="A file with the text, relative to the project's root.",
        examples=["prompts/sales-analyst.md.j2"],
    )
    variables: dict[str, Annotated[VariableSpec, ScalarDefault()]] = Field(
        max_length=200,
        default_factory=dict,
        json_schema_extra={"default": {}},
        description="The template's variables by name.",
        examples=[{"region": "EMEA"}],
    )


class DescriptionSpec(Spec):
    """What the agent is for: a text or a file with it."""

    text: str = Field(
        default="",
        max_length=MAX_DESCRIPTION,
        description="The text itself.",
        examples=["Answers sales questions."],
    )
    file: NonEmpty | None = Field(
        default=None,
        description="A file with the text, relative to the project's root.",
        examples=["prompts/description.txt"],
    )


class SkillSpec(Spec):
    """A skill that the agent can load."""

    hints: ClassVar = {"path": "use `name`: the folder under skills/"}

    name: NonEmpty = Field(description="The skill's folder under skills/.", examples=["sql-style"])
    scripts: Literal["off", "ask", "sandbox"] = Field(
        default="off",
        description="Whether the skill's scripts can be run, in a sandbox: never (off), after the "
        "user agrees (ask), or without asking (sandbox).",
        examples=["ask"],
    )
    strict: Boolean = Field(
        default=False,
        description="Whether no script is run where the sandbox lacks a layer.",
        examples=[True],
    )


class LimitsSpec(Spec):
    """What one run may use."""

    hints: ClassVar = {
        **dict.fromkeys(("max_iterations", "max_steps", "max_rounds"), "use `max_turns`"),
        "max_output_tokens": "use model.settings.max_tokens for one answer",
    }

    max_turns: Integer = Field(
        default=20, ge=1, le=1000, description="Most model calls in one run.", examples=[20]
    )
    max_tool_calls: Integer = Field(
        default=50, ge=0, le=10_000, description="Most tool calls in one run.", examples=[50]
    )
    max_tokens: Integer | None = Field(
        default=None,
        ge=1,
        description="Most tokens of all model calls together.",
        examples=[200_000],
    )
    max_cost_usd: Number | None = Field(
        default=None,
        gt=0,
        description="Most that all model calls together may cost, in US dollars.",
        examples=[1.0],
    )
    timeout: Duration = Field(
        default=110.0, description="Longest time of one run.", examples=["110s"]
    )


_INSTRUCTIONS = (
    "system_prompt",
    "systemPrompt",
    "system",
    "system_message",
    "prompt",
    "instruction",
)
_SERVERS = ("mcpServers", "mcp", "servers", "toolsets", "mcp_server")
_MODELS = ("llm", "model_name", "modelName", "model_id", "engine")


class DefaultsSpec(Spec):
    """What an agent has, and what retinue.yaml gives every agent."""

    hints: ClassVar = {
        **dict.fromkeys(SettingsSpec.model_fields, _SETTINGS_HINT),
        **dict.fromkeys(("timeout", "max_turns", "max_tool_calls"), "put it under `limits`"),
        **dict.fromkeys(("max_iterations", "max_steps"), "use `limits: {max_turns: …}`"),
        **dict.fromkeys(("api_key", "api_base"), "put it under `model`"),
        **dict.fromkeys(_INSTRUCTIONS, "use `instructions`"),
        **dict.fromkeys(_SERVERS, "use `mcp_servers`"),
        **dict.fromkeys(_MODELS, "use `model`"),
        **dict.fromkeys(("subagents", "subAgents", "agents", "handoffs"), "use `sub_agents`"),
        **dict.fromkeys(("response_format", "output_type"), "use `output_schema`"),
        "tools": "tools come from MCP servers: use `mcp_servers`",
        "variables": "put it under `instructions`",
        **dict.fromkeys(("name", "version", "extends"), "it goes in an agent's own file"),
        "id": "use `name`",
    }

    description: Annotated[
        DescriptionSpec, Shorthand("text", minLength=0, maxLength=MAX_DESCRIPTION)
    ] = Field(
        default_factory=DescriptionSpec,
        description="What the agent is for, in a sentence: a text, or an object.",
        examples=["Answers sales questions with figures from the warehouse."],
    )
    model: Annotated[ModelSpec, Shorthand("name", pattern=MODEL_NAME)] = Field(
        description="The model: the name of one of retinue.yaml's models, a LiteLLM id, or an "
        "object.",
        examples=["databricks/databricks-claude-sonnet-4-5"],
    )
    instructions: Annotated[InstructionsSpec, Shorthand("text")] = Field(
        description="The system prompt: the text itself, or an object.",
        examples=["You are a helpful assistant.", {"file": "prompts/analyst.md.j2"}],
    )
    skills: list[Annotated[SkillSpec, Shorthand("name")]] = Field(
        max_length=2_000,
        default_factory=list,
        json_schema_extra={"default": []},
        description="Skills under skills/ that the agent can load.",
        examples=[["sql-style"]],
    )
    mcp_servers: Annotated[dict[str, ServerSpec], Names()] = Field(
        max_length=100,
        default_factory=dict,
        json_schema_extra={"default": {}},
        description="MCP servers by name: a-z, 0-9, hyphens and underscores. A name of "
        "retinue.yaml's servers takes that server: in a list, or with an object that doesn't say "
        "where the server is and goes over the shared one.",
        examples=[
            {"calc": {"command": "uvx", "args": ["mcp-server-calculator==0.2.0"]}},
            ["tickets"],
            {"tickets": {"timeout": "5s"}},
        ],
    )
    limits: LimitsSpec = Field(
        default_factory=LimitsSpec, description="Bounds of one run.", examples=[{"max_turns": 20}]
    )
    sub_agents: list[Annotated[SubAgentSpec, Shorthand("agent")]] = Field(
        default_factory=list,
        json_schema_extra={"default": []},
        max_length=50,
        description="Other agents that this one can call, of the project or elsewhere.",
        examples=[
            ["researcher"],
            [{"agent": "escalation", "mode": "handoff"}],
            [{"agent": "billing", "databricks": {"app": "billing"}}],
        ],
    )
    output_schema: OutputSchema | None = Field(
        default=None,
        description="The JSON Schema that answers follow: the schema itself, the path of a file "
        "with it, or {file: PATH}.",
        examples=["schemas/answer.json", {"type": "object", "properties": {}}],
    )
    guardrails: GuardrailsSpec = Field(
        default_factory=GuardrailsSpec,
        description="Checks of what goes in and out.",
        examples=[{"output": [{"type": "pii", "action": "redact"}]}],
    )
    session: SessionSpec = Field(
        default_factory=SessionSpec,
        description="How a conversation is kept.",
        examples=[{"compaction": {"at_tokens": 120_000}}],
    )
    serve: ServeSpec = Field(
        default_factory=ServeSpec,
        description="How answers are served.",
        examples=[{"steps": "reasoning"}],
    )
    deploy: DeploySpec = Field(
        default_factory=DeploySpec,
        description="Where the agent runs.",
        examples=[{"databricks_app": {"compute_size": "LARGE"}}],
    )
    auth: AuthSpec | None = Field(
        default=None, description="Who may call the agent.", examples=[{"mode": "databricks"}]
    )


class AgentSpec(DefaultsSpec):
    """An agent file."""

    version: Annotated[Literal[1], BeforeValidator(_no_boolean)] = Field(
        default=1, description="The version of this format.", examples=[1]
    )
    name: str | None = Field(
        default=None,
        max_length=_MAX_AGENT_NAME,
        pattern=_AGENT_NAME,
        description="The agent's name: a-z, 0-9 and hyphens, at most 20 characters. By default "
        "the file's stem.",
        examples=["sales-analyst"],
    )
    extends: Annotated[list[NonEmpty], OneOrMore()] = Field(
        default_factory=list,
        json_schema_extra={"default": []},
        max_length=32,
        description="Files to start from, relative to the project's root; one alone needs no list. "
        "A later file goes over an earlier one, and this file over all: objects are merged key by "
        "key, anything else is replaced.",
        examples=["agents/parts/sales.yaml", ["agents/parts/base.yaml", "agents/parts/emea.yaml"]],
    )
