"""The workflow that deploys: who may run it, with what rights, and what it runs."""

import yaml
from bundling import REPOSITORY

TEXT = (REPOSITORY / ".github/workflows/deploy.yml").read_text()
JOBS = yaml.safe_load(TEXT)["jobs"]
TARGETS = yaml.safe_load((REPOSITORY / "databricks.yml").read_text())["targets"]


def test_it_holds_no_secret_and_writes_nothing_to_the_repository():
    assert "secrets." not in TEXT
    assert yaml.safe_load(TEXT)["permissions"] == {"contents": "read"}
    for job in JOBS.values():
        assert job["permissions"] == {"contents": "read", "id-token": "write"}
        assert job["timeout-minutes"]


def test_a_pull_request_plans_and_only_main_deploys():
    assert "head.repo.full_name == github.repository" in JOBS["plan"]["if"]
    assert "github.event_name == 'push'" in JOBS["deploy"]["if"]
    assert "retinue plan -t prod" in str(JOBS["plan"])
    commands = [step["run"] for step in JOBS["plan"]["steps"] if "run" in step]
    assert not [command for command in commands if "deploy" in command]
    assert 'retinue deploy -t "$TARGET"' in str(JOBS["deploy"])
    assert JOBS["deploy"]["concurrency"]["cancel-in-progress"] is False


def test_its_targets_are_the_bundle_s():
    matrix = JOBS["deploy"]["strategy"]
    assert matrix["max-parallel"] == 1
    assert set(matrix["matrix"]["target"]) == TARGETS.keys() - {"dev"}


def test_no_text_of_an_event_reaches_a_shell():
    commands = [step["run"] for job in JOBS.values() for step in job["steps"] if "run" in step]
    assert commands
    assert not [command for command in commands if "${{" in command]
