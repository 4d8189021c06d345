"""What a run yields. Every answer, streamed or whole, in every wire format, is made from these."""

from dataclasses import dataclass
from typing import Literal

from retinue.agent import JsonValue
from retinue.run.messages import Message, ToolCall

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
StopCause = Literal["max_turns", "max_tool_calls", "max_tokens"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens. `cached_tokens` are part of `input_tokens`, `reasoning_tokens` of `output_tokens`."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )


@dataclass(frozen=True, slots=True)
class ToolResult:
    """A tool's answer: `text` is what the model reads, `structured` what programs read."""

    text: str
    is_error: bool = False
    structured: JsonValue = None


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """The next piece of the model's own thinking."""

    text: str


@dataclass(frozen=True, slots=True)
class ModelFinished:
    """A model call is complete: a provider's own finish reason was received."""

    reason: FinishReason
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """The model is about to be asked for the `turn`-th time, counting from 1."""

    turn: int


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool call is under way."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool call has its answer, after `seconds`. Calls of one turn finish in any order."""

    call: ToolCall
    result: ToolResult
    seconds: float


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The last event. `messages` are the run's own, to be appended to the conversation.

    `usage` is summed over the run; `cause` names the limit that stopped it, if one did.
    """

    reason: FinishReason
    usage: Usage
    turns: int
    messages: tuple[Message, ...]
    cause: StopCause | None = None


ModelEvent = TextDelta | ReasoningDelta | ToolCall | ModelFinished
Event = (
    TurnStarted
    | TextDelta
    | ReasoningDelta
    | ModelFinished
    | ToolStarted
    | ToolFinished
    | RunFinished
)
