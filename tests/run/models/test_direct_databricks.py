"""Whose token a Databricks endpoint gets, and where such tokens never go."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from retinue.errors import ModelError
from retinue.route import Deployment
from retinue.run.messages import Message
from retinue.run.models.direct import DirectModel
from retinue.run.ports import ModelRequest
from retinue.run.references import environment
from run.models.fake_upstream import Upstream, plays, upstream
from run.models.upstream_plays import GOOD

USER = (Message("user", "hi"),)


@pytest.fixture
async def workspace(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> AsyncIterator[tuple[Upstream, str]]:
    """A workspace that the environment names, and its URL."""
    for name in ("API_KEY", "API_BASE", "CLIENT_ID", "CLIENT_SECRET", "CONFIG_PROFILE"):
        monkeypatch.delenv(f"DATABRICKS_{name}", raising=False)
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("DATABRICKS_TOKEN", "app-token")
    async with upstream(plays(*GOOD)) as fake:
        host = fake.url.removesuffix("/v1")
        monkeypatch.setenv("DATABRICKS_HOST", host)
        yield fake, host


async def ask(deployment: Deployment, token: str | None = None) -> None:
    model = DirectModel(deployment, environment())
    try:
        _ = [e async for e in model.stream(ModelRequest(messages=USER, user_token=token))]
    finally:
        await model.aclose()


def sent(fake: Upstream) -> tuple[str, str]:
    head, _ = fake.requests[-1]
    lines = [line for line in head.split("\r\n") if line.lower().startswith("authorization")]
    return head.split(" ")[1], lines[0].split(": ")[1]


async def test_the_apps_own_token(workspace: tuple[Upstream, str]) -> None:
    await ask(Deployment(model="databricks/claude"))
    assert sent(workspace[0]) == ("/serving-endpoints/chat/completions", "Bearer app-token")


async def test_the_ai_gateway_for_a_name_of_three_parts(workspace: tuple[Upstream, str]) -> None:
    await ask(Deployment(model="databricks/system.ai.claude"))
    assert sent(workspace[0])[0] == "/ai-gateway/mlflow/v1/chat/completions"
    gateway = f"{workspace[1]}/ai-gateway/mlflow/v1"
    await ask(Deployment(model="databricks/system.ai.claude", api_base=gateway))
    assert sent(workspace[0])[0] == "/ai-gateway/mlflow/v1/chat/completions"
    await ask(Deployment(model="databricks/claude", api_base=gateway))
    assert sent(workspace[0]) == ("/ai-gateway/mlflow/v1/chat/completions", "Bearer app-token")


async def test_the_callers_token(workspace: tuple[Upstream, str]) -> None:
    deployment = Deployment(model="databricks/claude", auth="user")
    await ask(deployment, "callers")
    assert sent(workspace[0]) == ("/serving-endpoints/chat/completions", "Bearer callers")
    with pytest.raises(ModelError, match="no Databricks token of the caller"):
        await ask(deployment)
    assert len(workspace[0].requests) == 1


async def test_a_key_of_the_route_goes_over_the_workspaces(
    workspace: tuple[Upstream, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await ask(Deployment(model="databricks/claude", api_key="own"))
    assert sent(workspace[0]) == ("/serving-endpoints/chat/completions", "Bearer own")
    monkeypatch.setenv("DATABRICKS_API_KEY", "litellms")
    await ask(Deployment(model="databricks/claude"))
    assert sent(workspace[0])[1] == "Bearer litellms"


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("auth", ["app", "user"])
async def test_no_workspace_token_goes_to_another_host(auth: Any) -> None:
    async with upstream(plays(*GOOD)) as other:
        with pytest.raises(ModelError, match="go nowhere else") as caught:
            await ask(
                Deployment(model="databricks/claude", auth=auth, api_base=other.url), "callers"
            )
        assert not other.requests
    assert caught.value.kind == "auth"


@pytest.mark.usefixtures("workspace")
async def test_the_callers_token_is_databricks_alone() -> None:
    async with upstream(plays(*GOOD)) as other:
        await ask(Deployment(model="openai/m", api_base=other.url, auth="user"), "callers")
        assert "callers" not in other.requests[0][0]


async def test_without_credentials(
    workspace: tuple[Upstream, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.delenv("DATABRICKS_TOKEN")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ModelError, match="DATABRICKS_HOST and DATABRICKS_TOKEN") as caught:
        await ask(Deployment(model="databricks/claude"))
    assert caught.value.kind == "auth"
    assert not workspace[0].requests
