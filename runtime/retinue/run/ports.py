"""The two things a run needs from outside: a model to ask and a box of tools to call."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from retinue.route import Deployment
from retinue.run.context import RunContext
from retinue.run.events import ModelEvent, ToolResult
from retinue.run.messages import Message, ToolCall
from retinue.values import JsonValue, Ref

Lookup = Callable[[Ref], str]
"""A reference → its value. Raises MissingReferenceError."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as the model is told of it. `parameters` is a JSON Schema of an object.

    With `strict`, OpenAI's, a provider that can holds the model to the schema itself. Of one that
    only `reads` it is known that a call changes nothing.
    """

    name: str
    description: str
    parameters: Mapping[str, JsonValue]
    strict: bool = False
    reads: bool = False


@dataclass(frozen=True, slots=True)
class NamedTool:
    """The choice of one tool, which the model has to call."""

    name: str


ToolChoice = Literal["auto", "none", "required"] | NamedTool


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFormat:
    """What an answer has to be: any JSON object, or one that follows `schema`.

    `name` and `strict` are OpenAI's, for providers that hold the model to the schema themselves.
    A `trusted` schema is the agent author's own, and not a caller's.
    """

    schema: Mapping[str, JsonValue] | None = None
    name: str = "answer"
    strict: bool | None = None
    trusted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One model call. `settings` are OpenAI request parameters (`temperature`, `max_tokens`, …).

    `optional` names those that are the route's: a provider that doesn't take one is asked without.
    `most_tokens` is how many the run has left, whatever the settings say.
    `user_token` is the caller's own Databricks token, for deployments with `auth: user` alone.
    `deadline`, in the event loop's time, is when the run ends at the latest.
    """

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = "auto"
    settings: Mapping[str, JsonValue] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()
    output: OutputFormat | None = None
    prompt_caching: bool = False
    most_tokens: int | None = None
    user_token: str | None = field(default=None, repr=False)
    deadline: float | None = None


class Model(Protocol):
    """A model that can be asked. One instance serves many concurrent calls."""

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Deltas, then thoughts and whole tool calls, then exactly one ModelFinished.

        Raises ModelError; a stream that the provider cut off is an error, never a finish.
        A tool call is yielded only when it is complete. Closing the iterator ends the call at the
        provider.
        """

    async def warm(self) -> None:
        """Do what the first call would otherwise wait for. Idempotent."""

    async def aclose(self) -> None:
        """Release what the model holds. Idempotent."""


ModelFactory = Callable[[Deployment, Lookup], Model]
"""Opens one deployment. It sends no settings but the request's, and keeps no deadline: retries,
deadlines and the route's settings are the business of `retinue.run.models.routed`."""


class Toolbox(Protocol):
    """The tools of one agent. One instance serves many concurrent runs."""

    @property
    def tools(self) -> tuple[Tool, ...]:
        """What can be called now, in a stable order."""

    @property
    def notices(self) -> tuple[str, ...]:
        """Lines for the system prompt, such as the name of a server that is down."""

    def needs_approval(self, call: ToolCall) -> bool:
        """Whether the user has to agree first. A call that can't be made needs none."""

    async def call(self, call: ToolCall, context: RunContext) -> ToolResult:
        """Run the tool. A tool's failure is a result with `is_error`, never an exception."""
