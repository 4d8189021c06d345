"""Finished spans → an MLflow experiment, of a Databricks workspace or of an MLflow server.

Formats: https://mlflow.org/docs/latest/genai/tracing/opentelemetry/ingest (MLflow 3.6 and
later), https://docs.databricks.com/aws/en/mlflow3/genai/tracing/trace-unity-catalog (tables).
"""

import asyncio
from collections.abc import Mapping, Sequence
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

_API = "/api/2.0/mlflow/"
_SERVER_PATH = "/v1/traces"
_WORKSPACE_PATH = "/api/2.0/otel/v1/traces"
_EXPERIMENT_HEADER = "x-mlflow-experiment-id"
_TABLE_HEADER = "X-Databricks-UC-Table-Name"
_TABLE_TAG = "mlflow.experiment.databricksTraceSpanStorageTable"


class Mlflow:
    """MLflow's REST API, for threads of their own; `loop` is where tokens are renewed.

    `MLFLOW_EXPERIMENT_ID`, which a Databricks App is given, stands for an experiment's path;
    `MLFLOW_TRACKING_URI` names an MLflow server in the workspace's stead.
    """

    def __init__(self, lookup: Lookup, loop: asyncio.AbstractEventLoop) -> None:
        self._lookup = lookup
        self._loop = loop
        self.session = Session()
        self.session.auth = self._sign
        given = lookup(_TRACKING_URI)
        self._server = given.rstrip("/") if given.startswith(("http://", "https://")) else ""
        if not self._server:
            # Ahead of time: the first token takes seconds, which a process that ends may not have.
            self._find_workspace()

    @property
    def traces(self) -> str:
        """Where traces are sent. Raises NotSentError."""
        return self._url + (_SERVER_PATH if self._server else _WORKSPACE_PATH)

    def experiment(self, name: str) -> dict[str, Any]:
        """The experiment of that path or id, as the API gives it. Raises NotSentError."""
        number = self._lookup(_EXPERIMENT_ID) if name.startswith("/") else name
        if number:
            query, asked = {"experiment_id": number}, "get"
        else:
            query, asked = {"experiment_name": name}, "get-by-name"
        what = "doesn't show the experiment"
        return self._asked("GET", f"experiments/{asked}", what, "experiment", params=query)

    def model(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """A LoggedModel, asked for below `logged-models`. Raises NotSentError."""
        what = "doesn't take the agent's version"
        return self._asked(method, f"logged-models{path}", what, "model", json=body)

    def models(self, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The LoggedModels that a search finds. Raises NotSentError."""
        what = "doesn't show the agents' versions"
        found = self._asked("POST", "logged-models/search", what, None, json=query)
        models = found.get("models", [])
        return models if isinstance(models, list) else []

    @property
    def _url(self) -> str:
        return self._server or self._workspace().url

    def _asked(
        self, method: str, path: str, refused: str, key: str | None, **more: Any
    ) -> dict[str, Any]:
        """The JSON that comes back, or what is under `key` in it."""
        try:
            url = self._url + _API + path
            answer = self.session.request(method, url, timeout=TIMEOUT, **more)
        except requests.RequestException as error:
            raise NotSentError(f"MLflow can't be reached ({type(error).__name__})") from None
        if answer.status_code != requests.codes.ok:
            raise NotSentError(f"MLflow {refused} ({answer.status_code})")
        try:
            document = answer.json()
            found = document if key is None else document[key]
        except (ValueError, KeyError, TypeError):
            found = None
        if not isinstance(found, dict):
            raise NotSentError("what answers is no MLflow")
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


def experiment(name: str, mlflow: Mlflow) -> SpanExporter:
    """The exporter to the experiment of that path or id."""
    return Telling(_Experiment(name, mlflow), f"the MLflow experiment {name}")


class _Experiment(SpanExporter):
    """The experiment is looked up when there is something to send, in the sending thread."""

    def __init__(self, name: str, mlflow: Mlflow) -> None:
        self._name = name
        self._mlflow = mlflow
        self._inner: SpanExporter | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._inner is None:
            self._inner = self._open()
        return self._inner.export(spans)

    def shutdown(self) -> None:
        if self._inner is not None:
            self._inner.shutdown()

    def _open(self) -> SpanExporter:
        found = self._mlflow.experiment(self._name)
        headers = {_EXPERIMENT_HEADER: str(found.get("experiment_id"))}
        tags = {tag.get("key"): tag.get("value") for tag in found.get("tags", ())}
        if _TABLE_TAG in tags:
            headers[_TABLE_HEADER] = str(tags[_TABLE_TAG])
        return otlp(self._mlflow.traces, headers, self._mlflow.session)
