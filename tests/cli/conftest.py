"""The command line as a user runs it: a process, in a project of its own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one three-line agent."""
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "helper.yaml").write_text(
        "name: helper\nmodel: openai/gpt-test\ninstructions: Be brief.\n"
    )
    return tmp_path


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in this repository."""
    root = tmp_path_factory.mktemp("shipped")
    for name in ("agents", "prompts", "skills", "samples"):
        shutil.copytree(REPOSITORY / name, root / name)
    shutil.copy(REPOSITORY / "databricks.yml", root)
    return root


@pytest.fixture
def retinue(project: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `retinue ARGS…` in the project, with a bare environment and what `env` adds."""

    def run(*args: str, cwd: Path = project, stdin: str = "", **env: str):
        return subprocess.run(
            [sys.executable, "-m", "retinue", *args],
            cwd=cwd,
            input=stdin,
            env={"PATH": os.environ["PATH"], "HOME": str(project), "TERM": "dumb", **env},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
