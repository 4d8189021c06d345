"""What a caller asks of one run, beside the conversation."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from retinue.run.approval import Answers
from retinue.run.ports import OutputFormat, Tool, ToolChoice
from retinue.values import JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """`settings` are OpenAI request parameters and go over the route's own, within its bounds.

    `tools` are the caller's own: the model is told of them beside the agent's, and a call of one
    ends the run, for the caller to answer. `tool_choice` is about them alone; where it lets the
    model have some of them only, `allowed` are their names. With `output` the
    answer has to be JSON of that form. `answers` are to the questions that the conversation ends
    with. `timeout` is in seconds, in place of the agent's own.
    """

    settings: Mapping[str, JsonValue] = field(default_factory=dict)
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = "auto"
    allowed: frozenset[str] | None = None
    output: OutputFormat | None = None
    answers: Answers | None = None
    timeout: float | None = None
