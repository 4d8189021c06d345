"""An answer → the same, telling which trace its run has, for callers that ask for it.

Format: MLflow's AgentServer (mlflow 3.18), asked by a header: a frame of its own, or the answer's
`metadata`; and Databricks' serving endpoints, asked by `databricks_options.return_trace`.
"""

from collections.abc import Callable
from typing import Any, Protocol

import orjson

from retinue.run.events import Event, RunFinished
from retinue.serve.wire.errors import ErrorAnswer
from retinue.serve.wire.frames import DONE

HEADER = "x-mlflow-return-trace-id"

_DATA = b"data: "
_END = b"\n\n"

TraceId = Callable[[], str]
"""The trace's id, once the run has begun; empty for a run that isn't traced."""


def wanted(header: str | None) -> bool:
    """Whether the header's value asks for the trace's id."""
    return (header or "").lower() == "true"


def mlflow_id(trace_id: str) -> str:
    """What MLflow calls the trace of that id, which is 32 hex digits."""
    return f"tr-{trace_id}" if trace_id else ""


class _Stream(Protocol):
    @property
    def finish(self) -> RunFinished | None: ...

    def frames(self, event: Event) -> bytes: ...

    def failure(self, error: ErrorAnswer) -> bytes: ...


class _Whole(Protocol):
    @property
    def finish(self) -> RunFinished | None: ...

    def add(self, event: Event) -> None: ...

    def body(self) -> bytes: ...


def _databricks_output(trace_id: str) -> dict[str, Any]:
    return {"databricks_output": {"trace": {"info": {"trace_id": trace_id}}}}


class TracedStream:
    """The frames of an answer, and one with the trace's id before the end."""

    def __init__(self, wire: _Stream, trace_id: TraceId) -> None:
        self._wire = wire
        self._trace_id = trace_id

    @property
    def finish(self) -> RunFinished | None:
        """The run's last event, once it came."""
        return self._wire.finish

    def frames(self, event: Event) -> bytes:
        """Zero or more whole server-sent events."""
        frames = self._wire.frames(event)
        return self.with_id(frames) if isinstance(event, RunFinished) else frames

    def failure(self, error: ErrorAnswer) -> bytes:
        """Those that end a stream which has failed."""
        return self.with_id(self._wire.failure(error))

    def with_id(self, frames: bytes) -> bytes:
        """The frames, and the trace's id before the end if it is among them."""
        trace_id = mlflow_id(self._trace_id())
        if not trace_id or not frames.endswith(DONE):
            return frames
        return self._told(frames.removesuffix(DONE), trace_id) + DONE

    def _told(self, frames: bytes, trace_id: str) -> bytes:
        return frames + _DATA + orjson.dumps({"trace_id": trace_id}) + _END


class TracedChunks(TracedStream):
    """As chunks of a chat completion, of which none but a chunk may stand among them: the id is in
    the one that has the finish reason, or the error, and with `databricks` in Databricks' place.
    """

    def __init__(self, wire: _Stream, trace_id: TraceId, *, databricks: bool = False) -> None:
        super().__init__(wire, trace_id)
        self._databricks = databricks

    def _told(self, frames: bytes, trace_id: str) -> bytes:
        told = {"trace_id": trace_id} | (_databricks_output(trace_id) if self._databricks else {})
        chunks = [orjson.loads(frame[len(_DATA) :]) for frame in frames.split(_END) if frame]
        last = next(c for c in chunks if "error" in c or _ends(c))
        last |= told
        return b"".join(_DATA + orjson.dumps(chunk) + _END for chunk in chunks)


def _ends(chunk: dict[str, Any]) -> bool:
    return any(choice["finish_reason"] for choice in chunk["choices"])


class TracedAnswer:
    """An answer with the trace's id in its metadata, and with `databricks` in Databricks' place."""

    def __init__(self, wire: _Whole, trace_id: TraceId, *, databricks: bool = False) -> None:
        self._wire = wire
        self._trace_id = trace_id
        self._databricks = databricks

    @property
    def finish(self) -> RunFinished | None:
        """The run's last event, once it came."""
        return self._wire.finish

    def add(self, event: Event) -> None:
        """Take the next event."""
        self._wire.add(event)

    def body(self) -> bytes:
        """The answer as JSON. Only for a run that has finished."""
        return self.with_id(self._wire.body())

    def with_id(self, body: bytes) -> bytes:
        """The answer with the trace's id."""
        trace_id = mlflow_id(self._trace_id())
        if not trace_id:
            return body
        answer: dict[str, Any] = orjson.loads(body)
        answer["metadata"] = {**(answer.get("metadata") or {}), "trace_id": trace_id}
        if self._databricks:
            answer |= _databricks_output(trace_id)
        return orjson.dumps(answer)
