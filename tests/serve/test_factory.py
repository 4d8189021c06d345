"""A project's folder, served: compiled agents, offline, and in a worker."""

import httpx
import pytest
from serving import QUESTION

from retinue.diagnostics import CompileError
from retinue.errors import ProjectError
from retinue.serve import create_app, worker
from retinue.serve.metrics import FOLDER_VARIABLE
from retinue.serve.options import ServeOptions

CHAT = "/v1/chat/completions"


@pytest.fixture
def project(tmp_path):
    (tmp_path / "agents").mkdir()
    for name in ("sales", "support"):
        (tmp_path / "agents" / f"{name}.yaml").write_text(
            f"name: {name}\nmodel: openai/gpt-x\ninstructions:\n  text: Mind {{{{ region }}}}.\n"
            "  variables:\n    region: {source: request.metadata.region}\n"
        )
    return tmp_path


def agents_of(app):
    return app.state.runtime.agents


def test_all_agents_in_the_order_of_their_files(project):
    assert list(agents_of(create_app(project))) == ["sales", "support"]


def test_the_agents_that_were_named_in_that_order(project):
    assert list(agents_of(create_app(project, ["support", "sales"]))) == ["support", "sales"]
    assert list(agents_of(create_app(project, ["support"]))) == ["support"]


def test_mistakes_are_raised_before_anything_is_served(project):
    (project / "agents" / "sales.yaml").write_text("name: sales\nmodl: x\n")
    with pytest.raises(CompileError, match=r"sales\.yaml:2:1"):
        create_app(project)


def test_a_folder_that_is_no_project(tmp_path):
    with pytest.raises(ProjectError):
        create_app(tmp_path)
    (tmp_path / "agents").mkdir()
    with pytest.raises(ProjectError, match="no agents"):
        create_app(tmp_path)


def test_the_model_and_its_settings_can_be_replaced(project):
    route = agents_of(create_app(project, model="groq/m", settings={"temperature": 0}))[
        "sales"
    ].model
    assert (route.model, route.settings["temperature"]) == ("groq/m", 0)
    assert agents_of(create_app(project))["sales"].model.model == "openai/gpt-x"


def test_the_model_may_be_one_of_retinue_yaml(project):
    text = "models:\n  spare: {name: groq/m, fallbacks: [openai/y], settings: {seed: 7}}\n"
    (project / "retinue.yaml").write_text(text)
    route = agents_of(create_app(project, model="spare"))["sales"].model
    assert (route.name, route.model, route.settings["seed"]) == ("spare", "groq/m", 7)
    assert [fallback.model for fallback in route.fallbacks] == ["openai/y"]


async def test_offline_answers_without_an_account(project):
    app = create_app(project, offline=True)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://app") as client,
    ):
        body = {"messages": QUESTION, "metadata": {"region": "EMEA"}}
        answer = await client.post(CHAT, json=body)
        without = await client.post(CHAT, json={"messages": QUESTION})
        health = await client.get("/health")
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"]
    assert len(answer.json()["system_fingerprint"]) >= 8
    assert without.status_code == 400
    assert without.json()["error"]["param"] == "metadata.region"
    assert set(health.json()["agents"]) == {"sales", "support"}


def test_a_worker_makes_the_app_that_was_handed_over(project, monkeypatch):
    monkeypatch.setenv(worker.VARIABLE, "")
    # What it shares with other workers is this test's alone.
    monkeypatch.setenv(FOLDER_VARIABLE, "")
    factory = worker.hand_over(
        ServeOptions(), project=str(project), agents=["support"], offline=True
    )
    assert factory == "retinue.serve.worker:app"
    app = worker.app()
    assert list(agents_of(app)) == ["support"]
    assert agents_of(app)["support"].model.deployments[0].provider == "offline"
