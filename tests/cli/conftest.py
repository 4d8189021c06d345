"""The command line as a user runs it: a process, in a project of its own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.forking import Forking

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


@pytest.fixture(scope="session")
def forking() -> Iterator[Forking]:
    made = Forking()
    yield made
    made.close()


@pytest.fixture
def retinue(
    project: Path, request: pytest.FixtureRequest
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `retinue ARGS…` in the project, with a bare environment and what `env` adds."""

    def run(*args: str, cwd: Path = project, stdin: str = "", **env: str):
        given = {"PATH": os.environ["PATH"], "HOME": str(project), "TERM": "dumb", **env}
        if sys.platform == "linux" and "PYTHONPATH" not in env:
            forking: Forking = request.getfixturevalue("forking")
            return forking.run(args, cwd=cwd, stdin=stdin, env=given, timeout=60)
        return subprocess.run(
            [sys.executable, "-m", "retinue", *args],
            cwd=cwd,
            input=stdin,
            env=given,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
