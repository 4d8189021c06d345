"""Runs → traces: spans by OpenTelemetry's SDK, sent in batches by a thread of its own."""

from retinue.run.tracing.tracing import Tracing

__all__ = ["Tracing"]
