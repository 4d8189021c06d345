"""What an agent file may say of other agents, guardrails, sessions and how answers are served."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from retinue.compile.fields import Duration, Integer, NonEmpty, Reference, Shorthand, Spec


class AgentAppSpec(Spec):
    """The Databricks App that serves an agent."""

    hints: ClassVar = {"name": "use `app`"}

    app: Reference = Field(description="The app's name, in this workspace.", examples=["billing"])


class SubAgentSpec(Spec):
    """Another agent that this one can call: one of the project, or one elsewhere, of which `url`
    or `databricks` says where.
    """

    hints: ClassVar = {
        "name": "use `agent`",
        "type": "use `mode`",
        "model": "use `agent`",
        **dict.fromkeys(("api_base", "base_url", "endpoint"), "use `url`"),
        "app": "use `databricks: {app: …}`",
    }

    agent: NonEmpty = Field(
        description="The other agent's name; of one elsewhere, the model that its endpoint knows "
        "it as.",
        examples=["researcher"],
    )
    mode: Literal["tool", "handoff"] = Field(
        default="tool",
        description="Whether it is called as a tool and answers this agent (tool), or takes over "
        "the conversation (handoff).",
        examples=["handoff"],
    )
    url: Reference | None = Field(
        default=None,
        description="The base URL of the OpenAI-compatible endpoint where it answers.",
        examples=["https://agents.example.com/v1"],
    )
    databricks: AgentAppSpec | None = Field(
        default=None,
        description="The Databricks App where it answers.",
        examples=[{"app": "billing"}],
    )
    alias: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,48}$")] | None = Field(
        default=None,
        description="What an agent elsewhere is called here, where its own name won't do: letters, "
        "digits, hyphens and underscores, at most 48.",
        examples=["billing"],
    )
    description: Annotated[str, Field(max_length=1024)] = Field(
        default="",
        description="What an agent elsewhere is for, as the model is told.",
        examples=["Knows every invoice."],
    )
    headers: dict[str, Reference] = Field(
        default_factory=dict,
        json_schema_extra={"default": {}},
        max_length=50,
        description="HTTP headers sent to `url`.",
        examples=[{"X-Team": "analytics"}],
    )
    api_key: Reference | None = Field(
        default=None,
        description="The key for `url`, as a reference.",
        examples=["${secret.agents/billing}"],
    )
    auth: Literal["user", "app"] | None = Field(
        default=None,
        description="Whom a Databricks App is asked as: the caller (user) or this app itself "
        "(app, the default).",
        examples=["user"],
    )
    timeout: Duration = Field(
        default=60.0, description="Longest wait for an answer from elsewhere.", examples=["90s"]
    )


class GuardrailSpec(Spec):
    """A check of what goes in or out."""

    type: Literal["prompt_injection", "pii"] = Field(
        description="What is looked for.", examples=["pii"]
    )
    action: Literal["block", "redact"] = Field(
        default="block",
        description="What happens to a text in which it is found; only pii can be redacted.",
        examples=["redact"],
    )


Guardrails = list[Annotated[GuardrailSpec, Shorthand("type", enum=["prompt_injection", "pii"])]]


class GuardrailsSpec(Spec):
    """What is looked for in texts on their way in and out."""

    input: Guardrails = Field(
        default_factory=list,
        json_schema_extra={"default": []},
        max_length=20,
        description="Checks of the caller's messages and of tool results.",
        examples=[[{"type": "prompt_injection"}]],
    )
    output: Guardrails = Field(
        default_factory=list,
        json_schema_extra={"default": []},
        max_length=20,
        description="Checks of the answer.",
        examples=[[{"type": "pii", "action": "redact"}]],
    )


class CompactionSpec(Spec):
    """When a long conversation is summed up."""

    at_tokens: Integer = Field(
        default=120_000,
        ge=1_000,
        description="Length of the conversation, in tokens, from which it is summed up.",
        examples=[120_000],
    )
    keep_last: Integer = Field(
        default=10, ge=0, description="Last messages that stay as they are.", examples=[10]
    )


class SessionSpec(Spec):
    """What becomes of a long conversation."""

    compaction: CompactionSpec | None = Field(
        default=None,
        description="When a long conversation is summed up; by default never.",
        examples=[{"at_tokens": 120_000, "keep_last": 10}],
    )


Host = Annotated[
    str,
    Field(
        pattern=r"^(\*|(\*\.)?([A-Za-z0-9_-]{1,63}\.)+[A-Za-z][A-Za-z0-9-]{0,62})$", max_length=255
    ),
]


class ServeSpec(Spec):
    """What callers see, and what they may send."""

    steps: Literal["reasoning", "extension", "openwebui", "off"] = Field(
        default="reasoning",
        description="How tool calls are shown to chat clients on the way: as reasoning, as fields "
        "of our own (extension), as Open WebUI draws them, or not at all.",
        examples=["reasoning"],
    )
    system_messages: Literal["append", "ignore", "refuse"] = Field(
        default="append",
        description="What happens to a caller's own system messages.",
        examples=["refuse"],
    )
    file_urls: list[Host] = Field(
        default_factory=list,
        json_schema_extra={"default": []},
        max_length=100,
        description="Hosts that files and images are fetched from, where a caller names a URL: a "
        'name, "*." and a name for all below it, or "*" for any. By default none.',
        examples=[["files.example.com", "*.blob.core.windows.net"]],
    )
