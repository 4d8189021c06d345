"""A machine that nobody is logged in on, and an app with an identity of its own."""

from pathlib import Path

import pytest

from run.fake_workspace import CLIENT


@pytest.fixture
def no_databricks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Neither variables nor profiles nor the command that has tokens."""
    for name in ("HOST", "TOKEN", "API_KEY", "API_BASE", "CONFIG_PROFILE"):
        monkeypatch.delenv(f"DATABRICKS_{name}", raising=False)
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "profiles"))
    monkeypatch.setenv("PATH", str(tmp_path))
    return monkeypatch


@pytest.fixture
def in_an_app(no_databricks: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment of a Databricks App: a service principal's id and secret, and no profile."""
    no_databricks.setenv("DATABRICKS_CLIENT_ID", CLIENT[0])
    no_databricks.setenv("DATABRICKS_CLIENT_SECRET", CLIENT[1])
    return no_databricks
