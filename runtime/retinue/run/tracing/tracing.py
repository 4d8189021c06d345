"""What agents say of `observability` → who records their runs."""

import asyncio
import logging
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress

from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, SynchronousMultiSpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from retinue import __version__
from retinue.agent import Agent, Observability
from retinue.run.caller import Caller
from retinue.run.messages import Message
from retinue.run.ports import Lookup
from retinue.run.trace import Request
from retinue.run.tracing.export import collector
from retinue.run.tracing.mlflow import Mlflow, experiment
from retinue.run.tracing.recorder import Recorder
from retinue.run.tracing.spans import RunSpans, who
from retinue.run.tracing.versions import Versions

log = logging.getLogger("retinue.tracing")

FLUSH = 3.0
"""Seconds that what wasn't sent yet has when a process stops."""

_CALLERS = TraceContextTextMapPropagator()


class Tracing:
    """The recorders of agents' runs, one for each of their different settings.

    Only where an event loop runs. The provider is not OpenTelemetry's global one: libraries would
    record spans of their own by that.
    """

    def __init__(self, agents: Iterable[Agent], lookup: Lookup) -> None:
        self._processors: list[SpanProcessor] = []
        self._recorders: dict[Observability, Recorder] = {}
        agents = tuple(agents)
        self._versions = Versions(agents, lookup)
        for agent in agents:
            wanted = agent.observability
            if wanted and wanted not in self._recorders:
                processor = _processor(wanted, lookup)
                self._processors.append(processor)
                self._recorders[wanted] = Recorder(_provider(), processor, content=wanted.content)

    def begin(
        self,
        agent: Agent,
        conversation: Sequence[Message],
        caller: Caller | None,
        request: Request | None,
    ) -> RunSpans | None:
        """The record of a run, in the caller's trace if its request says so (W3C Trace Context)."""
        recorder = agent.observability and self._recorders.get(agent.observability)
        if not recorder:
            return None
        try:
            kind = SpanKind.SERVER if request else SpanKind.INTERNAL
            told = who(caller, request)
            told |= self._versions.link(agent)
            parent = _parent(request)
            spans = RunSpans(recorder, agent, conversation, told, parent=parent, kind=kind)
            if request:
                request.trace_id = spans.id
        except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on
            log.warning("a run is not traced: %s", type(error).__name__)
            return None
        return spans

    async def aclose(self) -> None:
        """Send what is left, for a few seconds at most."""
        self._versions.close()
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def close() -> None:
            for processor in self._processors:
                processor.shutdown()
            with suppress(RuntimeError):  # nobody waits any more
                loop.call_soon_threadsafe(done.set)

        # No thread of a pool: one that hangs would keep the process from ending.
        threading.Thread(target=close, name="last traces", daemon=True).start()
        with suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), FLUSH)


def _provider() -> TracerProvider:
    own = {SERVICE_NAME: "retinue", "service.version": __version__}
    # What the environment says (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES) goes over it.
    resource = Resource(own).merge(OTELResourceDetector().detect())
    return TracerProvider(resource=resource, shutdown_on_exit=False)


def _processor(observability: Observability, lookup: Lookup) -> SpanProcessor:
    exporters = [collector(observability, lookup)]
    if observability.mlflow_experiment:
        mlflow = Mlflow(lookup, asyncio.get_running_loop())
        exporters.append(experiment(observability.mlflow_experiment, mlflow))
    every = SynchronousMultiSpanProcessor()  # type: ignore[no-untyped-call]
    for exporter in exporters:
        if exporter:
            every.add_span_processor(BatchSpanProcessor(exporter))
    return every


def _parent(request: Request | None) -> Context:
    told = {
        name: value
        for name in ("traceparent", "tracestate")
        if request and (value := request.header(name.encode()))
    }
    return _CALLERS.extract(told, Context()) if told else Context()
