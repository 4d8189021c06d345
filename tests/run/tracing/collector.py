"""An OTLP receiver on loopback, in a thread: what traces are sent to in tests."""

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

MODELS = "/api/2.0/mlflow/logged-models"


@dataclass(frozen=True)
class SeenSpan:
    """A span as it came in; ids in hex, times in nanoseconds."""

    name: str
    id: str
    parent: str
    trace: str
    failed: bool
    start: int
    end: int
    attributes: Mapping[str, Any]
    events: tuple[tuple[str, Mapping[str, Any]], ...]


@dataclass
class Collector:
    """What came in, and how it is answered: `status`, after `hang` was set if there is one.

    `documents` are what GET answers, by path with its query. `models` are MLflow's LoggedModels,
    as its REST API has them; asked for them it answers `models_status`.
    """

    url: str = ""
    status: int = 200
    hang: threading.Event | None = None
    location: str = ""
    documents: dict[str, Any] = field(default_factory=dict)
    spans: list[SeenSpan] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    raw: bytes = b""
    models: list[dict[str, Any]] = field(default_factory=list)
    models_status: int = 200

    def logged(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What MLflow answers for LoggedModels (checked against 3.17)."""
        inner = path.removeprefix(MODELS)
        if (method, inner) == ("POST", "/search"):
            (name,) = re.fullmatch(r"name = '([^']+)'", body["filter"]).groups()
            assert body["order_by"] == [{"field_name": "creation_timestamp", "ascending": True}]
            asked = (body["experiment_ids"], name)
            found = [m for m in self.models if ([m["experiment_id"]], m["name"]) == asked]
            return {"models": [{"info": m} for m in found]} if found else {}
        if (method, inner) == ("POST", ""):
            assert body.keys() == {"experiment_id", "name", "model_type", "tags", "params"}
            assert not set(body["name"]) & set("/:.%\"'")
            made = {**body, "model_id": f"m-{len(self.models)}", "status": "LOGGED_MODEL_PENDING"}
            self.models.append(made)
            return {"model": {"info": made}}
        (model,) = [m for m in self.models if f"/{m['model_id']}" == inner]
        assert (method, body["model_id"]) == ("PATCH", model["model_id"])
        model["status"] = body["status"]
        return {"model": {"info": model}}

    def span(self, name: str) -> SeenSpan:
        """The only span of that name."""
        (found,) = [span for span in self.spans if span.name == name]
        return found

    def posted(self, path: str, headers: dict[str, str], body: bytes) -> None:
        self.requests.append((path, headers))
        self.raw += body
        message = ExportTraceServiceRequest.FromString(body)
        for resource in message.resource_spans:
            for scope in resource.scope_spans:
                self.spans += [_seen(span) for span in scope.spans]


def _seen(span: Any) -> SeenSpan:
    return SeenSpan(
        span.name,
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.trace_id.hex(),
        span.status.code == 2,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        _attributes(span.attributes),
        tuple((event.name, _attributes(event.attributes)) for event in span.events),
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, kind)


@contextmanager
def collector(**options: Any) -> Iterator[Collector]:
    """A receiver that listens until the test ends."""
    seen = Collector(**options)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path.startswith(MODELS):
                self.answer_models("POST", body)
                return
            if seen.hang:
                seen.hang.wait(30)
            seen.posted(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            self.send_response(seen.status)
            if seen.location:
                self.send_header("location", seen.location)
            self.send_header("content-length", "0")
            self.end_headers()

        def do_PATCH(self) -> None:
            self.answer_models("PATCH", self.rfile.read(int(self.headers["content-length"])))

        def answer_models(self, method: str, body: bytes) -> None:
            answer: dict[str, Any] = {}
            if seen.models_status == 200:
                answer = seen.logged(method, self.path, json.loads(body))
            told = json.dumps(answer).encode()
            self.send_response(seen.models_status)
            self.send_header("content-length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def do_GET(self) -> None:
            seen.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
            found = json.dumps(seen.documents.get(self.path, {})).encode()
            self.send_response(200 if self.path in seen.documents else 404)
            self.send_header("content-length", str(len(found)))
            self.end_headers()
            self.wfile.write(found)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    seen.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        if seen.hang:
            seen.hang.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
