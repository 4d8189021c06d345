"""`bundles/` on disk: only what changed is written, only what is ours is removed."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from bundling import conforms, project_in

from retinue.bundle import Changes, bundle_of, stale, write
from retinue.errors import ProjectError

AGENT = "model: databricks/x\ninstructions: %s\n"


@pytest.fixture
def project(tmp_path):
    return project_in(tmp_path, one=AGENT % "Hi.", two=AGENT % "Ho.")


def made(project, *names):
    return write(project, bundle_of(project, names))


def listed(project):
    root = project.root / "bundles"
    files = {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}
    return {path for path in files if "/source/retinue/" not in path}


def stamps(project):
    return {p: p.stat().st_mtime_ns for p in (project.root / "bundles").rglob("*")}


ONE = {
    "one/app.yml",
    "one/digest.yml",
    "one/source/agents/one.yaml",
    "one/source/agent.json",
    "one/source/app.yaml",
    "one/source/requirements.txt",
}
TWO = {path.replace("one", "two") for path in ONE}


def test_a_second_time_nothing_is_touched(project):
    assert made(project).written
    assert listed(project) == ONE | TWO
    before = stamps(project)
    assert made(project) == Changes()
    assert stamps(project) == before


def test_a_change_of_content_changes_a_file_its_digest_and_nothing_tracked(project):
    made(project)
    project_in(project.root, one=AGENT % "Hello.")
    bundle = bundle_of(project)
    assert not stale(project, bundle)
    assert write(project, bundle).written == (
        "bundles/one/digest.yml",
        "bundles/one/source/agent.json",
        "bundles/one/source/agents/one.yaml",
    )


def test_a_change_of_permissions_is_stale_until_it_is_made(project):
    made(project)
    project_in(project.root, one=AGENT.replace("/x", "/y") % "Hi.")
    bundle = bundle_of(project)
    assert stale(project, bundle) == Changes(written=("bundles/one/app.yml",))
    assert "bundles/one/app.yml" in write(project, bundle).written
    assert not stale(project, bundle_of(project))


def test_what_git_ignores_may_be_missing(project):
    made(project)
    shutil.rmtree(project.root / "bundles" / "one" / "source")
    (project.root / "bundles" / "one" / "digest.yml").unlink()
    assert not stale(project, bundle_of(project))


def test_a_removed_agent_s_files_go_and_others_stay(project):
    made(project)
    (project.root / "agents" / "two.yaml").unlink()
    theirs = project.root / "bundles" / "two" / "notes.md"
    theirs.write_text("mine")
    (project.root / "bundles" / "README.md").write_text("mine too")
    bundle = bundle_of(project)
    assert stale(project, bundle).removed == ("bundles/two/app.yml",)
    assert "bundles/two/source/app.yaml" in write(project, bundle).removed
    assert listed(project) == ONE | {"two/notes.md", "README.md"}
    theirs.unlink()
    theirs.parent.rmdir()


def test_several_at_once_don_t_disturb_each_other(project):
    made(project)
    for text in ("Hello.", "Good morning."):
        project_in(project.root, one=AGENT % text, three=AGENT % text)
        (project.root / "agents" / "two.yaml").unlink(missing_ok=True)
        words = [sys.executable, "-m", "retinue", "-C", str(project.root), "bundle", "-q"]
        running = [subprocess.Popen(words, stderr=subprocess.PIPE, text=True) for _ in range(4)]
        for process in running:
            said = process.communicate(timeout=60)[1]
            assert (process.returncode, said) == (0, "")
        assert made(project) == Changes()
    three = {path.replace("one", "three") for path in ONE}
    assert listed(project) == ONE | three


def test_an_empty_folder_goes_with_the_last_file(project):
    made(project)
    (project.root / "agents" / "two.yaml").unlink()
    made(project)
    assert [p.name for p in (project.root / "bundles").iterdir()] == ["one"]


def test_what_isn_t_ours_is_left_alone(project):
    folder = project.root / "bundles" / "job"
    (folder / "source").mkdir(parents=True)
    for name in ("app.yml", "digest.yml", "source/app.yaml", "source/main.py"):
        (folder / name).write_text("resources: {}\n")
    made(project)
    assert {p.name for p in folder.rglob("*")} >= {"app.yml", "digest.yml", "main.py"}


def test_some_agents_alone_leave_the_others_as_they_are(project):
    made(project)
    project_in(project.root, two=AGENT % "Changed.")
    assert made(project, "one") == Changes()
    assert "bundles/two/digest.yml" in made(project, "two").written


def test_what_lies_in_an_app_s_folder_and_isn_t_its_own_goes(project):
    made(project)
    for path in ("__pycache__/x.pyc", "agents/old.yaml", ".env"):
        place = project.root / "bundles" / "one" / "source" / path
        place.parent.mkdir(exist_ok=True)
        place.write_text("KEY=1")
    assert len(made(project).removed) == 3
    assert listed(project) == ONE | TWO


def test_the_experiment_s_file_comes_and_goes_with_what_asks_for_it(project):
    # Traces can't be run yet, so that a bundle with an experiment has to be put together.
    bundle = bundle_of(project)
    path = "bundles/experiment.yml"
    text = b"# Made by `retinue bundle` from retinue.yaml\n"
    with_it = replace(bundle, committed={**bundle.committed, path: text})
    assert path in write(project, with_it).written
    assert stale(project, bundle).removed == (path,)
    assert write(project, bundle).removed == (path,)


@pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere")
@pytest.mark.parametrize("path", ["bundles", "bundles/one", "bundles/one/source"])
@pytest.mark.parametrize("inside", [True, False])
def test_nothing_is_written_or_removed_through_a_link(project, tmp_path_factory, path, inside):
    theirs = project.root / "theirs" if inside else tmp_path_factory.mktemp("outside")
    (theirs / "source").mkdir(parents=True)
    for place in (theirs / "mine.txt", theirs / "source" / "mine.txt"):
        place.write_text("mine")
    link = project.root / path
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(theirs)
    with pytest.raises(ProjectError, match=f"{path} is a link: remove it"):
        made(project)
    assert {p.name for p in theirs.rglob("*")} == {"mine.txt", "source"}


@pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere")
def test_a_link_in_the_place_of_a_file_is_replaced_and_what_it_leads_to_left_alone(project):
    made(project)
    theirs = project.root / "theirs.txt"
    theirs.write_text("mine")
    source = project.root / "bundles" / "one" / "source"
    for link in (source / "app.yaml", source / "more", source / "folder"):
        link.unlink(missing_ok=True)
        link.symlink_to(theirs if link.name != "folder" else project.root / "agents")
    changes = made(project)
    assert changes.written == ("bundles/one/source/app.yaml",)
    assert changes.removed == ("bundles/one/source/folder", "bundles/one/source/more")
    assert (project.root / "agents" / "one.yaml").exists()
    assert theirs.read_text() == "mine"
    assert not (source / "app.yaml").is_symlink()
    assert listed(project) == ONE | TWO


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user with limits")
def test_a_folder_that_can_t_be_written_is_named(project):
    (project.root / "bundles").mkdir(mode=0o555)
    with pytest.raises(ProjectError, match=r"bundles can't be written|permission"):
        made(project)


def test_a_folder_in_the_way_of_a_file_goes_when_all_in_it_does(project):
    made(project)
    place = project.root / "bundles" / "one" / "source" / "app.yaml"
    place.unlink()
    place.mkdir()
    (place / "x").write_text("")
    made(project)
    assert place.is_file()


def test_a_file_in_the_way_of_a_folder_is_named(project):
    (project.root / "bundles").write_text("")
    with pytest.raises(ProjectError, match="bundles"):
        made(project)


def test_twenty_agents_have_an_app_each_and_lose_only_their_own(tmp_path):
    names = [f"agent-{n:02d}" for n in range(20)]
    project = project_in(tmp_path, **{name: AGENT % name for name in names})
    assert made(project).written
    folder = tmp_path / "bundles"
    declared = [path.read_text() for path in folder.glob("*/*.yml")]
    assert len(declared) == 40
    digests = {(folder / name / "digest.yml").read_text().splitlines()[-1] for name in names}
    assert len(digests) == 20
    assert made(project) == Changes()
    before = stamps(project)
    (tmp_path / "agents" / "agent-07.yaml").unlink()
    changes = made(project)
    assert (changes.written, {path.split("/")[1] for path in changes.removed}) == ((), {"agent-07"})
    assert not (folder / "agent-07").exists()
    assert stamps(project).items() <= before.items()
    for text in declared:
        conforms(text)
