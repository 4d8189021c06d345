"""What a run does, as it does it → finished spans for whoever sends them.

The SDK's own spans lock and check each attribute as it is set, for code that they know nothing of:
that takes a run as long as all else that is recorded of it. Here a span is plain values until it
ends. When to sample, how ids are made and when spans are sent is the SDK's business all the same.
"""

import time
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    get_current_span,
)

from retinue import __version__

Attributes = dict[str, Any]

_SCOPE = InstrumentationScope("retinue", __version__)
_UNSET, _ERROR = Status(StatusCode.UNSET), Status(StatusCode.ERROR)


@dataclass(slots=True)
class OpenSpan:
    """A span under way. `attributes` are texts, numbers and tuples of them; times are in ns."""

    name: str
    context: SpanContext
    parent: SpanContext | None
    kind: SpanKind
    attributes: Attributes
    started: int
    events: list[Event] = field(default_factory=list)
    status: Status = _UNSET

    def event(self, name: str, attributes: Attributes) -> None:
        """Note that something happened now."""
        self.events.append(Event(name, attributes, time.time_ns()))

    def fail(self, fault: str) -> None:
        """It does not end well."""
        self.attributes["error.type"] = fault
        self.status = _ERROR


class Recorder:
    """Where spans begin and end; `content` says whether what was said is part of them.

    `provider` has the settings, and `processor` takes what has ended.
    """

    def __init__(
        self, provider: TracerProvider, processor: SpanProcessor, *, content: bool
    ) -> None:
        self._provider = provider
        self._processor = processor
        self._ids = provider.id_generator
        self.content = content

    def root(self, name: str, context: Context, kind: SpanKind, attributes: Attributes) -> OpenSpan:
        """A span that begins now, in the trace that `context` tells of, or in one of its own."""
        parent: SpanContext | None = get_current_span(context).get_span_context()
        if parent is None or not parent.is_valid:
            parent = None
            trace, random = self._ids.generate_trace_id(), self._ids.is_trace_id_random()
        else:
            trace, random = parent.trace_id, parent.trace_flags.random_trace_id
        sampled = self._provider.sampler.should_sample(context, trace, name, kind, attributes)
        kept = sampled.decision is Decision.RECORD_AND_SAMPLE
        flags = TraceFlags.SAMPLED if kept else TraceFlags.DEFAULT
        own = SpanContext(
            trace,
            self._ids.generate_span_id(),
            is_remote=False,
            trace_flags=TraceFlags(flags | (TraceFlags.RANDOM_TRACE_ID if random else 0)),
            trace_state=sampled.trace_state,
        )
        told = dict(sampled.attributes or attributes)
        return OpenSpan(name, own, parent, kind, told, time.time_ns())

    def span(
        self, name: str, parent: SpanContext, kind: SpanKind, attributes: Attributes
    ) -> OpenSpan:
        """A span that begins now, within another."""
        own = SpanContext(
            parent.trace_id,
            self._ids.generate_span_id(),
            is_remote=False,
            trace_flags=parent.trace_flags,
            trace_state=parent.trace_state,
        )
        return OpenSpan(name, own, parent, kind, attributes, time.time_ns())

    def end(self, span: OpenSpan, moment: int | None = None) -> None:
        """Send it off. It is over now, or was at `moment`."""
        self._processor.on_end(
            ReadableSpan(
                name=span.name,
                context=span.context,
                parent=span.parent,
                resource=self._provider.resource,
                attributes=span.attributes,
                events=span.events,
                kind=span.kind,
                status=span.status,
                start_time=span.started,
                end_time=time.time_ns() if moment is None else moment,
                instrumentation_scope=_SCOPE,
            )
        )
