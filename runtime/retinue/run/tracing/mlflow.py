"""Finished spans → an MLflow experiment, of a Databricks workspace or of an MLflow server.

Formats: https://mlflow.org/docs/latest/genai/tracing/opentelemetry/ingest (MLflow 3.6 and
later), https://docs.databricks.com/aws/en/mlflow3/genai/tracing/trace-unity-catalog (tables).
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import requests
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from retinue.errors import MissingReferenceError
from retinue.run.ports import Lookup
from retinue.run.tracing.export import TIMEOUT, NotSentError, Session, Telling, otlp
from retinue.run.workspace import Workspace
from retinue.values import Ref

_EXPERIMENT_ID = Ref("env", "MLFLOW_EXPERIMENT_ID", default="")
_TRACKING_URI = Ref("env", "MLFLOW_TRACKING_URI", default="")

_EXPERIMENTS = "/api/2.0/mlflow/experiments/"
_SERVER_PATH = "/v1/traces"
_WORKSPACE_PATH = "/api/2.0/otel/v1/traces"
_EXPERIMENT_HEADER = "x-mlflow-experiment-id"
_TABLE_HEADER = "X-Databricks-UC-Table-Name"
_TABLE_TAG = "mlflow.experiment.databricksTraceSpanStorageTable"


def experiment(name: str, lookup: Lookup, loop: asyncio.AbstractEventLoop) -> SpanExporter:
    """The exporter to the experiment of that path or id; `loop` is where tokens are renewed."""
    return Telling(_Experiment(name, lookup, loop), f"the MLflow experiment {name}")


class _Experiment(SpanExporter):
    """The experiment is looked up when there is something to send, in the sending thread.

    `MLFLOW_EXPERIMENT_ID`, which a Databricks App is given, stands for a path;
    `MLFLOW_TRACKING_URI` names an MLflow server in the workspace's stead.
    """

    def __init__(self, name: str, lookup: Lookup, loop: asyncio.AbstractEventLoop) -> None:
        self._name = name
        self._lookup = lookup
        self._loop = loop
        self._session = Session()
        self._session.auth = self._sign
        given = lookup(_TRACKING_URI)
        self._server = given.rstrip("/") if given.startswith(("http://", "https://")) else ""
        self._inner: SpanExporter | None = None
        if not self._server:
            # Ahead of time: the first token takes seconds, which a process that ends may not have.
            self._find_workspace()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._inner is None:
            self._inner = self._open()
        return self._inner.export(spans)

    def shutdown(self) -> None:
        if self._inner is not None:
            self._inner.shutdown()

    def _open(self) -> SpanExporter:
        url = self._server or self._workspace().url
        found = self._find(url)
        headers = {_EXPERIMENT_HEADER: str(found["experiment_id"])}
        tags = {tag.get("key"): tag.get("value") for tag in found.get("tags", ())}
        if _TABLE_TAG in tags:
            headers[_TABLE_HEADER] = str(tags[_TABLE_TAG])
        return otlp(
            url + (_SERVER_PATH if self._server else _WORKSPACE_PATH), headers, self._session
        )

    def _find(self, url: str) -> dict[str, Any]:
        """The experiment, as the REST API gives it. Raises NotSentError."""
        path = self._name.startswith("/")
        number = self._lookup(_EXPERIMENT_ID) if path else self._name
        if number:
            query, asked = {"experiment_id": number}, "get"
        else:
            query, asked = {"experiment_name": self._name}, "get-by-name"
        try:
            answer = self._session.get(url + _EXPERIMENTS + asked, params=query, timeout=TIMEOUT)
        except requests.RequestException as error:
            raise NotSentError(f"MLflow can't be reached ({type(error).__name__})") from None
        if answer.status_code != requests.codes.ok:
            raise NotSentError(f"MLflow doesn't show the experiment ({answer.status_code})")
        try:
            found: dict[str, Any] = answer.json()["experiment"]
        except (ValueError, KeyError, TypeError):
            raise NotSentError("what answers is no MLflow") from None
        return found

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if not self._server:
            request.headers.update(self._signed())
        return request

    def _signed(self) -> dict[str, str]:
        headers = asyncio.run_coroutine_threadsafe(self._headers(), self._loop)
        return headers.result(TIMEOUT)

    def _find_workspace(self) -> "Future[Workspace]":
        return asyncio.run_coroutine_threadsafe(Workspace.find(self._lookup), self._loop)

    def _workspace(self) -> Workspace:
        try:
            return self._find_workspace().result(TIMEOUT)
        except MissingReferenceError as error:
            raise NotSentError(str(error)) from None

    async def _headers(self) -> dict[str, str]:
        return await (await Workspace.find(self._lookup)).headers()
