"""What a run yields. Every answer, streamed or whole, in every wire format, is made from these."""

from dataclasses import dataclass
from typing import Literal

from retinue.errors import ModelFault
from retinue.route import Price
from retinue.run.approval import Paused
from retinue.run.messages import ImagePart, Message, Thought, ToolCall
from retinue.values import JsonValue

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
StopCause = Literal["max_turns", "max_tool_calls", "max_tokens", "max_cost_usd", "timeout"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens. `cached_tokens` are part of `input_tokens`, `reasoning_tokens` of `output_tokens`.

    `cache_write_tokens`, those put into the provider's cache, are part of `input_tokens` too.
    `cost_usd` is None where a model's price isn't known.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: float | None = 0.0

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def cost(self, price: Price) -> float:
        """US dollars at this price."""
        cached, written = self.cached_tokens, self.cache_write_tokens
        plain = max(0, self.input_tokens - cached - written)
        total = (
            plain * price.input
            + cached * (price.input if price.cached_input is None else price.cached_input)
            + written * (price.input if price.cache_write is None else price.cache_write)
            + self.output_tokens * price.output
        )
        return total / 1_000_000

    def costing(self, dollars: float | None) -> "Usage":
        """The same tokens at this cost."""
        # Made once for each call, where `dataclasses.replace` would take longer than the rest.
        return Usage(
            self.input_tokens,
            self.output_tokens,
            self.cached_tokens,
            self.reasoning_tokens,
            self.cache_write_tokens,
            dollars,
        )

    def __add__(self, other: "Usage") -> "Usage":
        known = self.cost_usd is not None and other.cost_usd is not None
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            (self.cost_usd or 0.0) + (other.cost_usd or 0.0) if known else None,
        )


@dataclass(frozen=True, slots=True)
class ToolResult:
    """A tool's answer: `text` is what the model reads, `structured` what programs read.

    `images` are shown to models that take them. `server` names the tool server that it comes from,
    whose word is data to the model and no instruction.
    With `paused` there is none yet: a run under the tool waits for the user's word.
    """

    text: str
    is_error: bool = False
    structured: JsonValue = None
    images: tuple[ImagePart, ...] = ()
    server: str = ""
    paused: Paused | None = None


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """The next piece of the model's own thinking."""

    text: str


@dataclass(frozen=True, slots=True)
class RefusalDelta:
    """The next piece of a refusal, which some providers keep apart from the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """More of a tool call has come in; the call itself follows when it is complete."""


@dataclass(frozen=True, slots=True)
class ModelRetried:
    """The call to `model` failed before any output; `next` is asked after `wait` seconds.

    Both are deployments' ids, and equal when the same one is asked again.
    """

    model: str
    fault: ModelFault
    next: str
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class Compacted:
    """The conversation was too long for the model, which is sent a shorter one.

    `before` and `after` are about how many tokens; `messages` were summed up, and old results of
    tools cut short.
    """

    before: int
    after: int
    messages: int

    @property
    def summary(self) -> str:
        """It in a sentence."""
        what = f"{self.messages} earlier messages" if self.messages else "earlier results of tools"
        return f"Shortened {what}: {self.before:,} → {self.after:,} tokens."


@dataclass(frozen=True, slots=True)
class ModelFinished:
    """A model call is complete: a provider's own finish reason was received.

    `model` is the id of the deployment that answered.
    """

    reason: FinishReason
    usage: Usage = Usage()
    model: str = ""


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """The model is about to be asked for the `turn`-th time, counting from 1."""

    turn: int


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool call is under way."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class ToolProgressed:
    """A tool under way tells a line of what it does, such as a step of an agent elsewhere."""

    call: ToolCall
    line: str


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool call has its answer, after `seconds`. Calls of one turn finish in any order."""

    call: ToolCall
    result: ToolResult
    seconds: float


@dataclass(frozen=True, slots=True)
class ApprovalRequested:
    """A call is only made once the user agrees: the run ends here, and goes on with the answer.

    `id` is what the answer refers to, until `expires`, in Unix seconds. `about` is the tool's
    description; `agent` is whose call it is.
    """

    id: str
    call: ToolCall
    about: str
    agent: str
    expires: int


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The last event. `messages` are the run's own, to be appended to the conversation.

    `usage` is summed over the run; `cause` names the limit that stopped it, if one did. `calls`
    are calls of the caller's own tools, for the caller to answer: then `reason` is `tool_calls`.
    A run that is `paused` waits for the user's word on calls: `approvals` are the questions.
    """

    reason: FinishReason
    usage: Usage
    turns: int
    messages: tuple[Message, ...]
    cause: StopCause | None = None
    calls: tuple[ToolCall, ...] = ()
    paused: Paused | None = None
    approvals: tuple[ApprovalRequested, ...] = ()


ModelEvent = (
    TextDelta
    | ReasoningDelta
    | RefusalDelta
    | ToolCallDelta
    | ToolCall
    | Thought
    | ModelRetried
    | Compacted
    | ModelFinished
)
Event = (
    TurnStarted
    | TextDelta
    | ReasoningDelta
    | RefusalDelta
    | ModelRetried
    | Compacted
    | ModelFinished
    | ToolStarted
    | ToolProgressed
    | ToolFinished
    | ApprovalRequested
    | RunFinished
)
