"""The events of one model call → those to show, and the answer they make."""

from retinue.run.events import (
    Compacted,
    Event,
    ModelEvent,
    ModelFinished,
    ModelRetried,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
)
from retinue.run.messages import Message, Thought, ToolCall
from retinue.run.output import OutputCheck


class Turn:
    """One model call's output, as it comes in.

    With a `check` of the answer's form its text is held back until the form is known to be right.
    """

    __slots__ = ("_aside", "_check", "_text", "calls", "finish", "refused", "thoughts")

    def __init__(self, check: OutputCheck | None = None) -> None:
        self.calls: list[ToolCall] = []
        self.thoughts: list[Thought] = []
        self.finish: ModelFinished | None = None
        self.refused = False
        self._check = check
        self._text: list[str] = []
        self._aside: list[str] = []

    def take(self, event: ModelEvent) -> Event | None:
        """The event, if it is to be shown now."""
        if isinstance(event, TextDelta):
            self._text.append(event.text)
            return event if self._check is None else None
        if isinstance(event, ToolCall):
            self.calls.append(event)
            return None
        if isinstance(event, Thought):
            self.thoughts.append(event)
            return None
        if isinstance(event, ModelFinished):
            self.finish = event
        elif isinstance(event, RefusalDelta):
            self.refused = True
            self._aside.append(event.text)
        elif isinstance(event, ReasoningDelta):
            self._aside.append(event.text)
        elif not isinstance(event, ModelRetried | Compacted):
            return None
        return event

    @property
    def begun(self) -> bool:
        """Whether anything of an answer came."""
        return bool(self._text or self._aside or self.calls)

    @property
    def came(self) -> Message:
        """All that came of an answer that broke off, thinking too."""
        return Message("assistant", "".join((*self._aside, *self._text)), tuple(self.calls))

    @property
    def text(self) -> str:
        return "".join(self._text)

    def message(self, calls: tuple[ToolCall, ...] = ()) -> Message:
        """The answer as a message; thoughts go back to the provider with the tools' results."""
        thoughts = tuple(self.thoughts) if calls else ()
        return Message("assistant", self.text, tool_calls=calls, thoughts=thoughts)
