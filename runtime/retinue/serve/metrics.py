"""Requests that are over → counters in Prometheus' text format.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format. With
several workers each counts for itself in the folder `PROMETHEUS_MULTIPROC_DIR`, and each tells of
all of them.
"""

import os
import time
from collections.abc import Callable, Mapping
from functools import cache

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from retinue.run.events import RunFinished, Usage
from retinue.serve.access import RequestRecord
from retinue.serve.request_log import RequestLog
from retinue.serve.shared_counts import SharedCounts

CONTENT_TYPE = CONTENT_TYPE_LATEST
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
# Seconds; runs take from a blink to minutes.
_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_MOST_TOOLS = 500
"""A model may call what doesn't exist, by any name."""


class Metrics:
    """What one process has counted. `endpoints` maps a path to the name of what answers there."""

    def __init__(self, running: Callable[[], int]) -> None:
        # When each series began: half as many lines again, which several workers can't tell anyway.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        own = self._own = CollectorRegistry()
        self._endpoints: Mapping[str, str] = {}
        self._tools: set[tuple[str, str]] = set()
        requests = Counter(
            "retinue_requests",
            "Requests that were answered.",
            ["endpoint", "agent", "status"],
            registry=own,
        )
        seconds = Histogram(
            "retinue_request_seconds",
            "How long runs took.",
            ["endpoint", "agent"],
            buckets=_BUCKETS,
            registry=own,
        )
        tokens = Counter("retinue_tokens", "Tokens of models.", ["agent", "kind"], registry=own)
        cost = Counter("retinue_cost_usd", "What models cost.", ["agent"], registry=own)
        calls = Counter(
            "retinue_tool_calls", "Tools that agents called.", ["agent", "tool"], registry=own
        )
        # The library finds a series by its labels anew each time, under a lock.
        self._requests = cache(requests.labels)
        self._seconds = cache(seconds.labels)
        self._tokens = cache(tokens.labels)
        self._cost = cache(cost.labels)
        self._calls = cache(calls.labels)
        ended = Counter(
            "retinue_background_runs_ended",
            "Runs in the background that are over, by the status of their responses.",
            ["agent", "status"],
            registry=own,
        )
        self._ended = cache(ended.labels)
        self._dropped = Counter(
            "retinue_log_dropped", "Requests that the log had no room for.", registry=own
        )
        self._alone = Counter(
            "retinue_limits_alone",
            "Requests counted by one process alone, as what all share did not answer.",
            registry=own,
        )
        self._log: RequestLog | None = None
        self._counts: SharedCounts | None = None
        self._told = self._told_alone = self._background = 0
        if not _shared():
            # Files hold no functions.
            Gauge("retinue_runs", "Runs under way.", registry=own).set_function(running)
            background = Gauge(
                "retinue_background_runs", "Runs under way in the background.", registry=own
            )
            background.set_function(lambda: self._background)

    def names(self, endpoints: Mapping[str, str]) -> None:
        """Call paths so."""
        self._endpoints = endpoints

    def watch(self, requests: RequestLog) -> None:
        """Tell of what this log of requests has no room for."""
        self._log = requests

    def watch_counts(self, counts: SharedCounts) -> None:
        """Tell of what this process has to count alone."""
        self._counts, self._told_alone = counts, 0

    def count(self, record: RequestRecord) -> None:
        """Take a request that is over."""
        if self._log and (more := self._log.dropped - self._told) > 0:
            self._told += more
            self._dropped.inc(more)
        if self._counts and (alone := self._counts.alone - self._told_alone):
            self._told_alone += alone
            self._alone.inc(alone)
        endpoint = self._endpoints.get(record.path, "other")
        self._requests(endpoint, record.agent, str(record.status)).inc()
        if not record.agent:
            return
        took = time.perf_counter() - record.started
        self._seconds(endpoint, record.agent).observe(took)
        if record.usage:
            self._spend(record.agent, record.usage)
        if record.finish:
            self._call(record.agent, record.finish)

    def run_begun(self) -> None:
        """There is one more run in the background that this process works on."""
        self._background += 1

    def run_left(self) -> None:
        """There is one less, whether it is over or goes on elsewhere."""
        self._background -= 1

    def run_ended(self, record: RequestRecord, status: str) -> None:
        """Such a run is over; it is no request, and spends what one does."""
        self._ended(record.agent, status).inc()
        if record.usage:
            self._spend(record.agent, record.usage)
        if record.finish:
            self._call(record.agent, record.finish)

    def _spend(self, agent: str, usage: Usage) -> None:
        for kind, number in (
            ("input", usage.input_tokens),
            ("output", usage.output_tokens),
            ("cached", usage.cached_tokens),
            ("reasoning", usage.reasoning_tokens),
        ):
            if number:
                self._tokens(agent, kind).inc(number)
        if usage.cost_usd:
            self._cost(agent).inc(usage.cost_usd)

    def _call(self, agent: str, finish: RunFinished) -> None:
        for message in finish.messages:
            for call in message.tool_calls:
                known = (agent, call.name) in self._tools or len(self._tools) < _MOST_TOOLS
                if known:
                    self._tools.add((agent, call.name))
                self._calls(agent, call.name if known else "other").inc()

    def text(self) -> bytes:
        """All that was counted, by every worker."""
        if not _shared():
            return generate_latest(self._own)
        every = CollectorRegistry()
        MultiProcessCollector(every)  # type: ignore[no-untyped-call]
        return generate_latest(every)


def _shared() -> bool:
    return bool(os.environ.get(FOLDER_VARIABLE))
