"""The two things a run needs from outside: a model to ask and a box of tools to call."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from retinue.agent import JsonValue, Ref, Route
from retinue.run.events import ModelEvent, ToolResult
from retinue.run.messages import Message, ToolCall

Lookup = Callable[[Ref], str]
"""A reference → its value. Raises MissingReferenceError."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as the model is told of it. `parameters` is a JSON Schema of an object."""

    name: str
    description: str
    parameters: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One model call. `settings` are OpenAI request parameters (`temperature`, `max_tokens`, …)."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: Literal["auto", "none", "required"] = "auto"
    settings: Mapping[str, JsonValue] = field(default_factory=dict)


class Model(Protocol):
    """A route that can be asked. One instance serves many concurrent calls."""

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Deltas, then whole tool calls, then exactly one ModelFinished.

        Raises ModelError; a stream that the provider cut off is an error, never a finish.
        A tool call is yielded only when it is complete.
        """

    async def warm(self) -> None:
        """Do what the first call would otherwise wait for. Idempotent."""

    async def aclose(self) -> None:
        """Release what the model holds. Idempotent."""


ModelFactory = Callable[[Route, Lookup], Model]


class Toolbox(Protocol):
    """The tools of one agent. One instance serves many concurrent runs."""

    @property
    def tools(self) -> tuple[Tool, ...]:
        """What can be called now, in a stable order."""

    @property
    def notices(self) -> tuple[str, ...]:
        """Lines for the system prompt, such as the name of a server that is down."""

    async def call(self, call: ToolCall) -> ToolResult:
        """Run the tool. A tool's failure is a result with `is_error`, never an exception."""
