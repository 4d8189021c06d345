"""Events of a run → an answer of `/invocations`, as MLflow's ResponsesAgent gives it.

Format: MLflow's `ResponsesAgentResponse` and `ResponsesAgentStreamEvent` (mlflow 3.18), as
Databricks' chat template reads them: frames of data alone, which are put together from the items
that are done, and keys that are left out rather than null.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from retinue.run.events import Event, RunFinished, TextDelta
from retinue.serve.wire.errors import ErrorAnswer
from retinue.serve.wire.frames import DONE, Frames
from retinue.serve.wire.responses import ended, error_event, new_token, usage
from retinue.serve.wire.responses_output import ITEM_DONE, TEXT_DELTA, Fields, Output, Style

_TOLD = (TEXT_DELTA, ITEM_DONE)


@dataclass(frozen=True, slots=True)
class AgentHead:
    """What an answer tells of itself. `created` is in Unix seconds."""

    model: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    token: str = field(default_factory=new_token)
    created: int = field(default_factory=lambda: int(time.time()))

    def output(self, style: Style = "mlflow") -> Output:
        """The items of this answer, none yet. Databricks' UI knows no refusals."""
        return Output(self.token, style, refusals=False)

    def finished(self, items: list[Fields], finish: RunFinished) -> Fields:
        """The answer when the run has ended."""
        body: Fields = {
            "id": f"resp_{self.token}",
            "object": "response",
            "created_at": self.created,
            "model": self.model,
            "output": items,
            "usage": usage(finish.usage),
            **ended(finish),
        }
        return {**body, "metadata": dict(self.metadata)} if self.metadata else body


class AgentStream:
    """The frames of one streamed answer: give it every event in turn, and send what it returns."""

    def __init__(self, head: AgentHead, style: Style = "mlflow") -> None:
        self._head = head
        self._output = head.output(style)
        self._frames = Frames(named=False)
        self.finish: RunFinished | None = None

    def frames(self, event: Event) -> bytes:
        """Zero or more whole SSE events for this event of the run."""
        if isinstance(event, TextDelta) and self._output.more_text(event.text):
            return self._frames.more_text(event.text)
        return b"".join(self._framed(event))

    def failure(self, error: ErrorAnswer) -> bytes:
        """The frames that end a stream which has failed."""
        closed = self._told(self._output.close("incomplete"))
        return b"".join(closed) + self._frames.frame(error_event(error)) + DONE

    def _framed(self, event: Event) -> Iterator[bytes]:
        yield from self._told(self._output.take(event))
        if isinstance(event, RunFinished):
            self.finish = event
            response = self._head.finished(self._output.items, event)
            yield self._frames.last(response)

    def _told(self, events: Iterator[Fields]) -> Iterator[bytes]:
        """The events that count: others would be read as more text, or more thinking."""
        return (self._frames.frame(fields) for fields in events if fields["type"] in _TOLD)
