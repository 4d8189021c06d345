"""Events of a run → an answer of `/invocations`, as MLflow's ResponsesAgent gives it.

Format: MLflow's `ResponsesAgentResponse` and `ResponsesAgentStreamEvent` (mlflow 3.18), as
Databricks' chat template reads them: frames of data alone, which are put together from the items
that are done, and keys that are left out rather than null.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import orjson

from retinue.run.events import Event, RunFinished, TextDelta
from retinue.serve.wire.errors import ErrorAnswer
from retinue.serve.wire.responses import (
    DONE,
    delta_start,
    ended,
    error_event,
    json_text,
    new_token,
    usage,
)
from retinue.serve.wire.responses_output import ITEM_DONE, TEXT_DELTA, Fields, Output, Style

_TOLD = (TEXT_DELTA, ITEM_DONE)


@dataclass(frozen=True, slots=True)
class AgentHead:
    """What an answer tells of itself. `created` is in Unix seconds."""

    model: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    token: str = field(default_factory=new_token)
    created: int = field(default_factory=lambda: int(time.time()))

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


def _output(head: AgentHead, style: Style) -> Output:
    """Databricks' UI knows no refusals."""
    return Output(head.token, style, refusals=False)


class AgentStream:
    """The frames of one streamed answer: give it every event in turn, and send what it returns."""

    def __init__(self, head: AgentHead, style: Style = "mlflow") -> None:
        self._head = head
        self._output = _output(head, style)
        self._sequence = 0
        self._delta = b""
        self.finish: RunFinished | None = None

    def frames(self, event: Event) -> bytes:
        """Zero or more whole SSE events for this event of the run."""
        if isinstance(event, TextDelta) and self._output.more_text(event.text):
            number = b',"sequence_number":%d}\n\n' % self._next()
            return self._delta + json_text(event.text) + number
        return b"".join(self._framed(event))

    def failure(self, error: ErrorAnswer) -> bytes:
        """The frames that end a stream which has failed: some look for its type, some for a key."""
        closed = self._told(self._output.close("incomplete"))
        return b"".join(closed) + self._frame({**error_event(error), **error.object}) + DONE

    def _framed(self, event: Event) -> Iterator[bytes]:
        yield from self._told(self._output.take(event))
        if isinstance(event, RunFinished):
            self.finish = event
            response = self._head.finished(self._output.items, event)
            yield self._frame({"type": f"response.{response['status']}", "response": response})
            yield DONE

    def _told(self, events: Iterator[Fields]) -> Iterator[bytes]:
        """The events that count: others would be read as more text, or more thinking."""
        return (self._frame(fields) for fields in events if fields["type"] in _TOLD)

    def _frame(self, fields: Fields) -> bytes:
        if fields["type"] == TEXT_DELTA:
            self._delta = b"data: " + delta_start(fields)
        return b"data: " + orjson.dumps({**fields, "sequence_number": self._next()}) + b"\n\n"

    def _next(self) -> int:
        number = self._sequence
        self._sequence += 1
        return number


class AgentAnswer:
    """A fold over the events of a run: `add` each, then `body` is the whole answer."""

    def __init__(self, head: AgentHead, style: Style = "mlflow") -> None:
        self._head = head
        self._output = _output(head, style)
        self.finish: RunFinished | None = None

    def add(self, event: Event) -> None:
        """Take the next event."""
        self._output.add(event)
        if isinstance(event, RunFinished):
            self.finish = event

    def body(self) -> bytes:
        """The answer as JSON. Only for a run that has finished."""
        if self.finish is None:
            raise ValueError("the run has not finished")
        return orjson.dumps(self._head.finished(self._output.items, self.finish))
