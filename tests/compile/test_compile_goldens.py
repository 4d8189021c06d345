"""Every file under good/ compiles in silence; every file under broken/ says what is beside it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from retinue.compile import Compilation, CompileContext, compile_agents
from retinue.project import Project

HERE = Path(__file__).parent
CONTEXT = CompileContext(env={"TEAM": "Data", "EMPTY": ""})


def compiled(file: Path, folder: Path, context: CompileContext = CONTEXT) -> Compilation:
    shutil.copytree(HERE / "project", folder, dirs_exist_ok=True)
    (folder / "agents").mkdir()
    shutil.copy(file, folder / "agents" / file.name)
    return compile_agents(Project.at(folder), context=context)


def names(folder: str) -> list[str]:
    return sorted(path.stem for path in (HERE / folder).glob("*.yaml"))


@pytest.mark.parametrize("name", names("good"))
def test_a_good_file_compiles_in_silence(name: str, tmp_path: Path) -> None:
    result = compiled(HERE / "good" / f"{name}.yaml", tmp_path)
    assert [d.render() for d in result.diagnostics] == []
    assert len(result.agents) == 1


@pytest.mark.parametrize("name", names("broken"))
def test_a_broken_file_says_what_is_wrong(
    name: str, tmp_path: Path, golden: Callable[[Path, str], None]
) -> None:
    result = compiled(HERE / "broken" / f"{name}.yaml", tmp_path)
    said = "\n\n".join(d.render() for d in result.diagnostics) + "\n"
    golden(HERE / "broken" / f"{name}.out", said)
    if any(d.severity == "error" for d in result.diagnostics):
        assert result.agents == ()
