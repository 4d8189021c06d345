"""A thousand skill folders like the public ones: what hosts accept loads, the rest is told."""

import time
from pathlib import Path

import pytest
from corpus import Folder, corpus

from retinue.agent import Skill
from retinue.compile.reader import Reader
from retinue.compile.report import Report, split_lines
from retinue.compile.skills import load_skill
from retinue.diagnostics import Diagnostic
from retinue.project import Project

COUNT = 1000
Loaded = dict[str, tuple[Skill | None, tuple[Diagnostic, ...]]]


@pytest.fixture(scope="module")
def folders() -> list[Folder]:
    return corpus(COUNT)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, folders: list[Folder]) -> Path:
    place = tmp_path_factory.mktemp("corpus")
    (place / "agents").mkdir()
    for folder in folders:
        folder.make(place / "skills")
    return place


def load(root: Path, folders: list[Folder]) -> Loaded:
    reader = Reader(Project.at(root))
    loaded = {}
    for folder in folders:
        report = Report()
        found = load_skill(folder.name, reader, report)
        loaded[folder.name] = (found[0] if found else None, report.diagnostics())
    return loaded


@pytest.fixture(scope="module")
def loaded(root: Path, folders: list[Folder]) -> Loaded:
    started = time.process_time()
    made = load(root, folders)
    # The 5,063 public folders are to take less than 8 s.
    assert time.process_time() - started < 8
    return made


def test_what_hosts_accept_loads_and_the_rest_is_one_error(
    folders: list[Folder], loaded: Loaded
) -> None:
    wrong = []
    for folder in folders:
        skill, said = loaded[folder.name]
        errors = [d.code for d in said if d.severity == "error"]
        expected = [folder.expected] if folder.expected else []
        if errors != expected or (skill is None) != bool(errors):
            wrong.append((folder.kind, errors, [d.render() for d in said]))
    assert wrong == []


def test_oddities_are_told_as_warnings_and_nothing_else_is(
    folders: list[Folder], loaded: Loaded
) -> None:
    wrong = []
    for folder in folders:
        codes = {d.code for d in loaded[folder.name][1] if d.severity == "warning"}
        if codes != folder.warned:
            said = [d.render() for d in loaded[folder.name][1]]
            wrong.append((folder.kind, codes ^ folder.warned, said))
    assert wrong == []


def test_everything_is_said_of_the_folder_at_a_line_of_the_file(
    root: Path, folders: list[Folder], loaded: Loaded
) -> None:
    for folder in folders:
        for diagnostic in loaded[folder.name][1]:
            diagnostic.render().encode()
            place = diagnostic.location
            path = root / place.file
            assert f"{place.file}/".startswith(f"skills/{folder.name}/"), folder.kind
            if path.is_file() and place.file.lower().endswith("skill.md"):
                lines = split_lines(path.read_bytes().decode("utf-8", "replace"))
                assert place.line <= len(lines), (folder.kind, str(diagnostic))


def test_a_skill_that_loads_can_be_chosen_and_read(folders: list[Folder], loaded: Loaded) -> None:
    for folder in folders:
        skill, _ = loaded[folder.name]
        if skill is not None:
            assert skill.name == folder.name
            assert skill.description.strip(), folder.kind
            assert skill.description.isprintable() or folder.kind in ("right-to-left", "emoji")
            assert any(file.path.lower() == "skill.md" for file in skill.files), folder.kind
            assert not any(file.path.startswith((".git/", "node_modules/")) for file in skill.files)


def test_loading_again_says_the_same(root: Path, folders: list[Folder], loaded: Loaded) -> None:
    assert load(root, folders[:300]) == {f.name: loaded[f.name] for f in folders[:300]}
