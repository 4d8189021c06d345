"""A machine that nobody is logged in on."""

from pathlib import Path

import pytest


@pytest.fixture
def no_databricks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Neither variables nor profiles nor the command that has tokens."""
    for name in ("HOST", "TOKEN", "API_KEY", "API_BASE", "CONFIG_PROFILE"):
        monkeypatch.delenv(f"DATABRICKS_{name}", raising=False)
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path))
    return monkeypatch
