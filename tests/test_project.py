"""The folder layout, and that no path leaves the root."""

import pytest

from retinue.errors import ProjectError
from retinue.project import Project


@pytest.fixture
def root(tmp_path):
    (tmp_path / "agents").mkdir()
    return tmp_path


def test_a_project_is_found_from_below(root):
    (root / "skills" / "deep").mkdir(parents=True)
    assert Project.find(root / "skills" / "deep").root == root.resolve()


def test_a_folder_without_agents_is_no_project(tmp_path):
    with pytest.raises(ProjectError, match="agents/"):
        Project.at(tmp_path)


def test_where_there_is_no_project_the_message_says_how_one_begins(tmp_path):
    with pytest.raises(ProjectError, match=r"no agents/ folder in .* by writing agents/NAME\.yaml"):
        Project.find(tmp_path)


def test_agent_files_are_sorted_and_hidden_ones_left_out(root):
    for name in ("b.yaml", "a.yml", ".hidden.yaml", "_draft.yaml", "notes.txt"):
        (root / "agents" / name).touch()
    assert [path.name for path in Project.at(root).agent_files()] == ["a.yml", "b.yaml"]


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "x\0y"])
def test_no_path_leaves_the_root(root, path):
    with pytest.raises(ProjectError):
        Project.at(root).inside(path)


def test_no_link_leaves_the_root(root, tmp_path_factory):
    (root / "out").symlink_to(tmp_path_factory.mktemp("elsewhere"))
    (root / "in").symlink_to(root / "agents")
    project = Project.at(root)
    assert project.inside("in") == root.resolve() / "agents"
    with pytest.raises(ProjectError, match="'out/x' leads out"):
        project.inside("out/x")
