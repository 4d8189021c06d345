"""Whole projects: what their files say together, and what is said of them, at its place."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from retinue.compile import Compilation, compile_agents
from retinue.project import Project

HERE = Path(__file__).parent / "projects"


def compiled(name: str, folder: Path) -> Compilation:
    shutil.copytree(HERE / name, folder, symlinks=True, dirs_exist_ok=True)
    return compile_agents(Project.at(folder))


@pytest.mark.parametrize("name", sorted(path.name for path in HERE.iterdir() if path.is_dir()))
def test_a_project_says_what_is_wrong_with_it(
    name: str, tmp_path: Path, golden: Callable[[Path, str], None]
) -> None:
    result = compiled(name, tmp_path)
    golden(HERE / f"{name}.out", "\n\n".join(d.render() for d in result.diagnostics) + "\n")
    failed = {d.location.file for d in result.diagnostics if d.severity == "error"}
    assert not failed & {f"agents/{agent.name}.yaml" for agent in result.agents}
    if not failed:
        assert len(result.agents) == len([*(tmp_path / "agents").glob("*.yaml")])
