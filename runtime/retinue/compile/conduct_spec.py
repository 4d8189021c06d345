"""What an agent file may say of other agents, guardrails, sessions and how answers are served."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from retinue.compile.fields import Integer, NonEmpty, Shorthand, Spec


class SubAgentSpec(Spec):
    """Another agent of the project that this one can call."""

    hints: ClassVar = {"name": "use `agent`", "type": "use `mode`"}

    agent: NonEmpty = Field(description="The other agent's name.", examples=["researcher"])
    mode: Literal["tool", "handoff"] = Field(
        default="tool",
        description="Whether it is called as a tool and answers this agent (tool), or takes over "
        "the conversation (handoff).",
        examples=["handoff"],
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
