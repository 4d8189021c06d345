"""Finished spans → OTLP over HTTP, out of the way of requests: what can't be sent is dropped."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from retinue.agent import Observability
from retinue.errors import MissingReferenceError
from retinue.run.ports import Lookup
from retinue.run.references import resolved

log = logging.getLogger("retinue.tracing")

TIMEOUT = 10.0
"""Seconds that sending a batch may take, with its retries."""

_PATH = "/v1/traces"

# They quote what the collector says, each time that it says it; `Telling` says it once.
logging.getLogger("opentelemetry.exporter.otlp").setLevel(logging.CRITICAL)


class NotSentError(Exception):
    """Traces can't be sent; the message says why, and holds no secret."""


class Telling(SpanExporter):
    """An exporter whose failures are told once, until it works again. `place` is shown."""

    def __init__(self, inner: SpanExporter, place: str) -> None:
        self._inner = inner
        self._place = place
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        why = "it doesn't take them"
        try:
            sent = self._inner.export(spans) is SpanExportResult.SUCCESS
        except NotSentError as error:
            sent, why = False, str(error)
        except Exception as error:  # noqa: BLE001 - it must not end the thread that sends
            sent, why = False, type(error).__name__
        if not sent and not self._failing:
            log.warning("traces for %s are dropped until it takes them: %s", self._place, why)
        elif sent and self._failing:
            log.warning("traces are sent to %s again", self._place)
        self._failing = not sent
        return SpanExportResult.SUCCESS if sent else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self._inner.shutdown()


class Session(requests.Session):
    """Follows no redirects: headers with secrets in them are for one host."""

    def resolve_redirects(  # type: ignore[override]
        self, resp: requests.Response, *_: Any, **__: Any
    ) -> Iterator[Any]:
        """Raises TooManyRedirects for an answer that is one: the exporter takes it for success."""
        if resp.is_redirect:
            raise requests.TooManyRedirects
        return iter(())


def otlp(endpoint: str, headers: Mapping[str, str], session: Session) -> SpanExporter:
    """An exporter to `endpoint`."""
    return OTLPSpanExporter(
        endpoint=endpoint, headers=dict(headers), timeout=TIMEOUT, session=session
    )


def collector(observability: Observability, lookup: Lookup) -> SpanExporter | None:
    """The exporter to `otlp`; None where there is none, or a reference of its is missing."""
    if observability.otlp_endpoint is None:
        return None
    place = str(observability.otlp_endpoint)
    try:
        endpoint = resolved(observability.otlp_endpoint, lookup)
        headers = {name: resolved(text, lookup) for name, text in observability.otlp_headers}
    except MissingReferenceError as error:
        log.warning("traces are not sent to %s: %s", place, error)
        return None
    if urlsplit(endpoint).path in ("", "/"):
        endpoint = endpoint.rstrip("/") + _PATH
    return Telling(otlp(endpoint, headers, Session()), place)
