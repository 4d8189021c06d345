"""An agent's version in MLflow: made once, off everybody's way, and linked to its traces."""

import asyncio
import logging
from contextlib import aclosing
from typing import Any

import pytest

from retinue.agent import Agent, Observability
from retinue.run.messages import Message
from retinue.run.references import environment
from retinue.run.runtime import Runtime
from retinue.run.tracing.versions import Versions
from retinue.testing import ScriptedModel, agent, says
from run.tracing.collector import Collector, collector

EXPERIMENT = "/api/2.0/mlflow/experiments/get?experiment_id=42"
FOUND = {EXPERIMENT: {"experiment": {"experiment_id": "42"}}}
DIGEST = "0123456789abcdef" * 2


def traced() -> Agent:
    return agent(observability=Observability(mlflow_experiment="/Shared/x"), digest=DIGEST)


def app(seen: Collector, **more: str) -> Any:
    """What an app looks its references up in."""
    env = {
        "MLFLOW_TRACKING_URI": seen.url,
        "MLFLOW_EXPERIMENT_ID": "42",
        "DATABRICKS_APP_NAME": "tester-dev",
        "RETINUE_GIT_COMMIT": "c0ffee",
        **more,
    }
    return environment({name: value for name, value in env.items() if value})


async def linked(known: Versions, of: Agent) -> dict[str, str]:
    """The link, when it is known."""
    async with asyncio.timeout(30):
        while not (found := known.link(of)):  # noqa: ASYNC110 - it is a thread that learns it
            await asyncio.sleep(0.01)
    return dict(found)


async def test_a_version_is_named_after_its_digest_and_says_where_it_comes_from() -> None:
    with collector(documents=FOUND) as seen:
        link = await linked(Versions([traced()], app(seen)), traced())
    assert link == {"mlflow.modelId": "m-0", "mlflow.traceTag.mlflow.modelId": "m-0"}
    (made,) = seen.models
    told = {pair["key"]: pair["value"] for pair in made["tags"] + made["params"]}
    assert (made["name"], made["experiment_id"]) == ("tester-0123456789ab", "42")
    assert (made["status"], made["model_type"]) == ("LOGGED_MODEL_READY", "agent")
    assert told["mlflow.source.git.commit"] == "c0ffee"
    assert told["mlflow.model.isExternal"] == "true"
    assert (told["digest"], told["app"]) == (DIGEST, "tester-dev")


async def test_whoever_comes_later_takes_the_same() -> None:
    with collector(documents=FOUND) as seen:
        links = [await linked(Versions([traced()], app(seen)), traced()) for _ in range(2)]
    assert links[0] == links[1]
    assert len(seen.models) == 1


async def test_who_comes_at_the_same_time_takes_the_same() -> None:
    with collector(documents=FOUND) as seen:
        at_once = [Versions([traced()], app(seen)) for _ in range(4)]
        links = [await linked(known, traced()) for known in at_once]
    assert all(link == links[0] for link in links)


async def test_a_run_s_own_span_has_the_link_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    models = {"scripted": lambda _route, _lookup: ScriptedModel(says("ok"))}
    with collector(documents=FOUND) as seen:
        async with Runtime([traced()], models=models, lookup=app(seen)) as runtime:
            async with asyncio.timeout(30):
                while not (links := [s for s in seen.spans if "mlflow.modelId" in s.attributes]):
                    async with aclosing(runtime.run("tester", [Message("user", "hi")])) as events:
                        _ = [event async for event in events]
                    await asyncio.sleep(0.05)
    assert {span.name for span in links} == {"invoke_agent tester"}
    assert links[0].attributes["mlflow.traceTag.mlflow.modelId"] == "m-0"


async def test_only_an_app_has_versions() -> None:
    with collector(documents=FOUND) as seen:
        known = Versions([traced()], app(seen, DATABRICKS_APP_NAME=""))
        await asyncio.sleep(0.2)
        assert (known.link(traced()), seen.models, seen.requests) == ({}, [], [])


async def test_mlflow_refuses_and_nothing_else_happens(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("retinue.tracing")
    logger.addHandler(caplog.handler)
    with collector(documents=FOUND, models_status=403) as seen:
        known = Versions([traced()], app(seen), pauses=(0.0, 0.01))
        async with asyncio.timeout(30):
            while not caplog.records:  # noqa: ASYNC110 - it is a thread that tells it
                await asyncio.sleep(0.01)
    logger.removeHandler(caplog.handler)
    (told,) = {record.getMessage() for record in caplog.records}
    assert told == (
        "the version of tester is not noted in MLflow: MLflow doesn't show the agents' versions "
        "(403)"
    )
    assert known.link(traced()) == {}
