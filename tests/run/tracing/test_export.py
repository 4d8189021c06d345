"""Where traces go, and that a request never waits for it."""

import logging
import threading
import time
from contextlib import aclosing
from pathlib import Path

import pytest

from retinue.agent import Observability
from retinue.run.events import RunFinished
from retinue.run.messages import Message
from retinue.run.references import environment
from retinue.run.runtime import Runtime
from retinue.run.workspace import Workspace
from retinue.testing import ScriptedModel, agent, says
from retinue.values import Ref, Template
from run.fake_workspace import CLIENT
from run.tracing.collector import collector

HELLO = [Message("user", "hello")]
TOKEN = Template(("Bearer ", Ref("env", "COLLECTOR_TOKEN")))


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch):
    logger = logging.getLogger("retinue.tracing")
    monkeypatch.setattr(logger, "propagate", False)
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


async def ask(wanted: Observability, times: int = 1, **env: str) -> None:
    """Runs, each to its end; then what is left is sent."""
    models = {"scripted": lambda _route, _lookup: ScriptedModel(says("ok"))}
    traced = agent(observability=wanted)
    async with Runtime([traced], models=models, lookup=environment(env)) as runtime:
        for _ in range(times):
            async with aclosing(runtime.run("tester", HELLO)) as events:
                last = [event async for event in events][-1]
            assert isinstance(last, RunFinished)


def warnings(log: pytest.LogCaptureFixture, place: str) -> list[str]:
    """Those about `place`: the last of another test's may come late."""
    told = [r.getMessage() for r in log.records if r.levelno >= logging.WARNING]
    return [message for message in told if place in message]


@pytest.mark.parametrize("path", ["", "/", "/v1/traces", "/own/path"])
async def test_headers_go_with_the_traces_and_not_into_them(path: str) -> None:
    with collector() as seen:
        wanted = Observability(
            otlp_endpoint=seen.url + path, otlp_headers=(("Authorization", TOKEN),)
        )
        await ask(wanted, COLLECTOR_TOKEN="tok-secret")
    ((there, headers),) = seen.requests
    assert there == ("/own/path" if path == "/own/path" else "/v1/traces")
    assert headers["authorization"] == "Bearer tok-secret"
    assert headers["content-type"] == "application/x-protobuf"
    assert len(seen.spans) == 2
    assert b"tok-secret" not in seen.raw


async def test_a_missing_secret_costs_the_traces_alone(log) -> None:
    with collector() as seen:
        headers = (("Authorization", TOKEN),)
        await ask(Observability(otlp_endpoint=seen.url, otlp_headers=headers))
    assert seen.requests == []
    (warning,) = warnings(log, seen.url)
    assert "COLLECTOR_TOKEN" in warning


async def test_a_collector_that_refuses_is_told_once(log) -> None:
    with collector(status=400) as seen:
        await ask(Observability(otlp_endpoint=seen.url), times=1200)
        assert len(seen.requests) > 1
    assert len(warnings(log, seen.url)) == 1


async def test_a_collector_that_hangs_keeps_nobody_waiting() -> None:
    with collector(hang=threading.Event()) as seen:
        start = time.monotonic()
        # More spans than the queue holds.
        await ask(Observability(otlp_endpoint=seen.url), times=2000)
        assert time.monotonic() - start < 30


async def test_a_redirect_gets_no_headers(log) -> None:
    with collector() as elsewhere, collector(status=307, location=elsewhere.url) as seen:
        headers = (("x-key", "k"),)
        await ask(Observability(otlp_endpoint=seen.url, otlp_headers=headers))
    assert elsewhere.requests == []
    assert len(warnings(log, seen.url)) == 1


async def test_an_experiment_of_an_mlflow_server_by_its_path() -> None:
    path = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=%2FShared%2Fagents"
    with collector(documents={path: {"experiment": {"experiment_id": "42"}}}) as seen:
        wanted = Observability(mlflow_experiment="/Shared/agents")
        await ask(wanted, MLFLOW_TRACKING_URI=seen.url)
    (asked, _), (sent, headers) = seen.requests
    assert asked == path
    assert sent == "/v1/traces"
    assert headers["x-mlflow-experiment-id"] == "42"
    assert "authorization" not in headers
    assert len(seen.spans) == 2


async def test_an_experiment_of_the_workspace_with_its_tables(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("DATABRICKS_CONFIG_PROFILE", "DATABRICKS_HOST", "DATABRICKS_CLIENT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "profiles"))
    monkeypatch.setenv("DATABRICKS_TOKEN", CLIENT[1])
    table = {"key": "mlflow.experiment.databricksTraceSpanStorageTable", "value": "c.s.t_spans"}
    path = "/api/2.0/mlflow/experiments/get?experiment_id=7"
    found = {"experiment": {"experiment_id": "7", "tags": [table]}}
    with collector(documents={path: found}) as seen:
        wanted = Observability(mlflow_experiment="/Shared/agents")
        # The first token takes longer than a process that ends has for its traces.
        await Workspace.find(environment({"DATABRICKS_HOST": seen.url}))
        await ask(wanted, DATABRICKS_HOST=seen.url, MLFLOW_EXPERIMENT_ID="7")
    sent, headers = seen.requests[-1]
    assert sent == "/api/2.0/otel/v1/traces"
    assert headers["x-mlflow-experiment-id"] == "7"
    assert headers["x-databricks-uc-table-name"] == "c.s.t_spans"
    assert headers["authorization"] == f"Bearer {CLIENT[1]}"
    assert len(seen.spans) == 2


async def test_an_experiment_that_is_not_there_is_told_once(log) -> None:
    with collector() as seen:
        wanted = Observability(mlflow_experiment="7")
        await ask(wanted, times=1200, MLFLOW_TRACKING_URI=seen.url)
    assert seen.spans == []
    (warning,) = warnings(log, "experiment 7")
    assert "404" in warning
