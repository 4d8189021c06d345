"""Skill folders: the specification, what hosts forgive, and what no folder may do."""

import os
import time
from pathlib import Path

import pytest
from folders import project
from hypothesis import given, settings
from hypothesis import strategies as st

from retinue.agent import Skill
from retinue.compile.reader import Reader
from retinue.compile.report import Report
from retinue.compile.skills import MAX_FILES, load_skill

GOOD = "---\nname: s\ndescription: Does it.\n---\n\n# Body\n\n---\nmore\n"


def load(root: Path, manifest: str | bytes | None = GOOD) -> tuple[Skill | None, Report]:
    files = {"skills/s/SKILL.md": manifest} if manifest is not None else {}
    report = Report()
    found = load_skill("s", Reader(project(root, files)), report)
    return found[0] if found else None, report


def said(report: Report) -> list[tuple[str, str]]:
    return [(d.severity, d.code) for d in report.diagnostics()]


def test_a_skill_by_the_specification_loads_in_silence(tmp_path: Path) -> None:
    manifest = (
        "---\nname: s\ndescription: >\n  Does it.\n  Use it: always.\nlicense: MIT\n"
        "compatibility: any\nallowed-tools: a b\nmetadata:\n  version: 1.10\n---\nBody.\n"
    )
    skill, report = load(tmp_path, manifest)
    assert said(report) == []
    assert skill is not None
    assert (skill.name, skill.description, skill.body) == ("s", "Does it. Use it: always.", "Body.")
    assert [(file.path, file.size) for file in skill.files] == [("SKILL.md", len(manifest))]


@pytest.mark.parametrize(
    "manifest",
    [
        b"\xef\xbb\xbf" + GOOD.encode(),
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("---\nname", "---  \nname"),
        GOOD.replace("name: s", "name: 's'"),
        "---\n{name: s, description: Does it.}\n---\n# Body\n\n---\nmore",
    ],
)
def test_ways_of_writing_that_are_all_right(tmp_path: Path, manifest: str | bytes) -> None:
    skill, report = load(tmp_path, manifest)
    assert said(report) == []
    assert skill is not None
    assert skill.description == "Does it."
    assert skill.body == "# Body\n\n---\nmore"


@pytest.mark.parametrize(
    ("manifest", "code", "description"),
    [
        (GOOD.replace("Does it.", "Use it: always"), "yaml-syntax", "Use it: always"),
        (GOOD.replace("Does it.", "it's 'so': yes"), "yaml-syntax", "it's 'so': yes"),
        (GOOD.replace("Does it.", "@home and `code`"), "yaml-syntax", "@home and `code`"),
        (GOOD.replace("name: s\n", ""), "skill-name", "Does it."),
        (GOOD.replace("name: s", "name: Other"), "skill-name", "Does it."),
        (GOOD.replace("name: s", "name: s\nversion: 1"), "skill-field", "Does it."),
        (GOOD.replace("name: s", "name: s\nallowed-tools: [a]"), "skill-field", "Does it."),
        (GOOD.replace("name: s", "name: s\nname: s"), "duplicate-key", "Does it."),
        (GOOD.replace("Does it.", "x" * 1025), "skill-description", "x" * 1025),
        (GOOD.replace("name: s", "name: s\nmetadata:\n\ta: b"), "tab-indent", "Does it."),
    ],
)
def test_what_hosts_forgive_is_a_warning(
    tmp_path: Path, manifest: str, code: str, description: str
) -> None:
    skill, report = load(tmp_path, manifest)
    assert skill is not None
    assert skill.description == description
    assert ("warning", code) in said(report)
    assert not report.failed


@pytest.mark.parametrize(
    ("manifest", "code"),
    [
        ("", "skill-without-frontmatter"),
        ("# Only a title\n", "skill-without-frontmatter"),
        ("---\nname: s\ndescription: x\n", "skill-without-frontmatter"),
        ("---\n---\nbody", "skill-without-frontmatter"),
        ("---\n- a\n---\nbody", "skill-without-frontmatter"),
        ("text\n" + GOOD, "skill-without-frontmatter"),
        (GOOD.replace("description: Does it.", ""), "skill-without-description"),
        (GOOD.replace("Does it.", '" "'), "skill-without-description"),
        (GOOD.replace("Does it.", "[a]"), "skill-without-description"),
        (GOOD.replace("Does it.", "{a: [}"), "yaml-syntax"),
        (GOOD.replace("Does it.", "*it"), "skill-without-description"),
        (GOOD.replace("name: s", "name: [s"), "yaml-syntax"),
        (GOOD.replace("name: s", "name: [s]"), "skill-name"),
        (GOOD.replace("name: s", "name: {s: t}"), "skill-name"),
        (GOOD.replace("name: s", "name: *s"), "skill-name"),
        ("---\nname: [s,\ndescription: x]\ndescription: y\n---\n", "skill-name"),
        (b"---\nname: s\ndescription: \xff\n---\n", "not-utf8"),
        ("---\ndescription: x\n" + "a: b\n" * 40_000 + "---\n", "too-large"),
        (GOOD + "x" * 1_048_576, "too-large"),
        ("---\nname: " + "[" * 50_000 + "\n---\n", "too-deep"),
        (None, "skill-unreadable"),
    ],
)
def test_what_can_not_be_used_is_an_error_on_that_folder(
    tmp_path: Path, manifest: str | bytes | None, code: str
) -> None:
    skill, report = load(tmp_path, manifest)
    assert skill is None
    assert ("error", code) in said(report)
    assert all(d.location.file.startswith("skills/s") for d in report.diagnostics())


def test_frontmatter_that_is_never_closed_is_told_where_it_opens(tmp_path: Path) -> None:
    _, report = load(tmp_path, "\n---\nname: s\ndescription: x\n\n# Body\n")
    (said_of_it,) = report.diagnostics()
    assert (said_of_it.location.line, said_of_it.code) == (2, "skill-without-frontmatter")
    assert "never closed" in said_of_it.message


def test_characters_that_no_text_holds_reach_nobody(tmp_path: Path) -> None:
    manifest = GOOD.replace("Does it.", '"Does\\0\\e[1m it."').replace("# Body", "# \0Body\x1b")
    skill, _ = load(tmp_path, manifest)
    assert skill is not None
    assert (skill.description, skill.body[:8]) == ("Does [1m it.", "#  Body ")


def test_a_manifest_by_another_name_is_found_with_a_warning(tmp_path: Path) -> None:
    project(tmp_path, {"skills/s/skill.md": GOOD})
    skill, report = load(tmp_path, None)
    assert skill is not None
    assert said(report) == [("warning", "skill-file-name")]


def test_all_files_are_listed_but_those_of_tools(tmp_path: Path) -> None:
    files = ["z.txt", "scripts/a.py", "src/deep/b.ts", ".hidden"]
    skipped = [".git/config", "node_modules/x/y.js", "scripts/__pycache__/a.pyc"]
    project(tmp_path, {f"skills/s/{path}": path for path in [*files, *skipped]})
    skill, _ = load(tmp_path)
    assert skill is not None
    assert [f.path for f in skill.files] == sorted([*files, "SKILL.md"])
    assert {f.path: f.size for f in skill.files}["z.txt"] == 5


def test_links_are_followed_to_files_inside_and_nowhere_else(tmp_path: Path) -> None:
    folder = tmp_path / "skills/s"
    folder.mkdir(parents=True)
    (tmp_path / "outside.txt").write_text("secret")
    (folder / "real.txt").write_text("x")
    (folder / "inside.txt").symlink_to("real.txt")
    (folder / "outside.txt").symlink_to(tmp_path / "outside.txt")
    (folder / "up").symlink_to("..")
    (folder / "gone.txt").symlink_to("nowhere")
    (folder / "loop").symlink_to("loop")
    skill, report = load(tmp_path)
    assert skill is not None
    assert [f.path for f in skill.files] == ["SKILL.md", "inside.txt", "real.txt"]
    assert said(report) == [("warning", "skill-link")] * 4


def test_a_skill_that_is_a_link_out_of_the_project_is_refused(tmp_path: Path) -> None:
    project(tmp_path / "elsewhere", {"skills/s/SKILL.md": GOOD})
    root = tmp_path / "project"
    (root / "skills").mkdir(parents=True)
    (root / "skills/s").symlink_to(tmp_path / "elsewhere/skills/s")
    skill, report = load(root, None)
    assert skill is None
    assert said(report) == [("error", "skill-unreadable")]


def test_a_manifest_that_is_a_link_out_of_the_project_is_refused(tmp_path: Path) -> None:
    (tmp_path / "SKILL.md").write_text(GOOD)
    root = tmp_path / "project"
    (root / "skills/s").mkdir(parents=True)
    (root / "skills/s/SKILL.md").symlink_to(tmp_path / "SKILL.md")
    skill, report = load(root, None)
    assert skill is None
    assert said(report) == [("error", "path-outside")]


def test_pipes_folders_and_loops_hang_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "skills/s"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "pipe")
    (folder / "SKILL.md").mkdir()
    started = time.monotonic()
    skill, report = load(tmp_path, None)
    assert skill is None
    assert said(report) == [("error", "file-not-found")]
    (folder / "SKILL.md").rmdir()
    os.mkfifo(folder / "SKILL.md")
    assert said(load(tmp_path, None)[1]) == [("error", "not-a-file")]
    (folder / "SKILL.md").unlink()
    (folder / "SKILL.md").symlink_to("SKILL.md")
    assert said(load(tmp_path, None)[1]) == [("error", "path-outside")]
    assert time.monotonic() - started < 5


def test_file_names_that_are_not_utf8_are_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "skills/s"
    folder.mkdir(parents=True)
    (folder / os.fsdecode(b"\xff.txt")).touch()
    skill, report = load(tmp_path)
    assert skill is not None
    assert [f.path for f in skill.files] == ["SKILL.md"]
    assert said(report) == [("warning", "skill-file-name")]
    "\n".join(d.render() for d in report.diagnostics()).encode()


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "skills/s"
    folder.mkdir(parents=True)
    for number in range(MAX_FILES):
        (folder / f"{number}.txt").touch()
    skill, report = load(tmp_path)
    assert skill is None
    assert said(report) == [("error", "skill-too-large")]


@given(st.one_of(st.binary(), st.text(alphabet=st.sampled_from("-\n abn:'\"[]{}|>#&*!\r\t"))))
@settings(max_examples=200, deadline=None)
def test_any_manifest_gives_a_skill_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes | str
) -> None:
    data = content if isinstance(content, bytes) else b"---\n" + content.encode()
    skill, report = load(tmp_path_factory.mktemp("skill"), data)
    assert (skill is None) == report.failed


tokens = st.sampled_from(
    ["name:", "description:", "metadata:", "s", "it's", "[", "]", "{a: b}", "'", '"', ": ", " #",
     "- ", "*a", "&a ", "!!x ", "|", ">-", "\n", "\n  ", "\n\t", "---", "\\", "<<: ", "%", "@",
     "`", "\x1b", "é"]
)  # fmt: skip


@given(st.lists(tokens, max_size=40).map("".join))
@settings(max_examples=300, deadline=None)
def test_any_frontmatter_is_read_or_refused_at_a_line_of_its_file(
    tmp_path_factory: pytest.TempPathFactory, fields: str
) -> None:
    manifest = f"---\n{fields}\n---\nBody.\n"
    skill, report = load(tmp_path_factory.mktemp("skill"), manifest)
    assert (skill is None) == report.failed
    for diagnostic in report.diagnostics():
        assert diagnostic.location.line <= manifest.count("\n")
    if skill is not None:
        assert skill.description
        assert skill.description == " ".join(skill.description.split())
        assert "\x1b" not in skill.description + skill.body
