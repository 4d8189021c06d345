"""Reads of a workspace's REST API, over loopback."""

import pytest

from retinue.run.references import environment
from retinue.run.workspace import Workspace
from retinue.run.workspace_api import WorkspaceApi
from run.fake_workspace import workspace


@pytest.fixture
def _logged_out(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    for name in ("CONFIG_PROFILE", "CLIENT_ID", "CLIENT_SECRET"):
        monkeypatch.delenv(f"DATABRICKS_{name}", raising=False)
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", f"{tmp_path}/none")


@pytest.mark.usefixtures("_logged_out")
async def test_an_answer_that_comes_in_many_pieces_is_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with workspace() as fake:
        monkeypatch.setenv("DATABRICKS_HOST", fake.url)
        monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-x")
        fake.answers["/api/2.0/long"] = (200, {"names": ["x" * 1000] * 1000})
        async with WorkspaceApi(await Workspace.find(environment())) as api:
            answer = await api.get("/api/2.0/long")
            missing = await api.get("/api/2.0/missing")
    assert (answer.status, len(answer.body["names"])) == (200, 1000)
    assert missing.status == 404
