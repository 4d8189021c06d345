"""Each target of the project, put together as the Databricks CLI documents it to be."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from bundling import REPOSITORY, conforms, project_in

from retinue.bundle import bundle_of, write
from retinue.bundle.plan import MAX_RESOURCES
from retinue.project import Project

TARGETS = ("dev", "staging", "prod")
GIVEN = {"bakehouse_space_id": "01ef0000000000000000000000000000"}
REFERENCE = re.compile(r"\$\{([^}]+)\}")


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    root = tmp_path_factory.mktemp("deployed")
    for name in ("agents", "prompts", "skills", "samples"):
        shutil.copytree(REPOSITORY / name, root / name)
    shutil.copy(REPOSITORY / "databricks.yml", root)
    made = Project.at(root)
    write(made, bundle_of(made))
    return made


def resolved(root: Path, target: str) -> dict[str, Any]:
    """The apps of a target, with every variable replaced by its value there."""
    main = yaml.safe_load((root / "databricks.yml").read_text())
    variables: dict[str, Any] = dict(main["variables"])
    apps: dict[str, Any] = {}
    for pattern in main["include"]:
        for path in sorted(root.glob(pattern)):
            part = yaml.safe_load(path.read_text())
            again = apps.keys() & part.get("resources", {}).get("apps", {}).keys()
            assert not again, "the CLI refuses a resource that is declared twice"
            apps |= part.get("resources", {}).get("apps", {})
            variables |= part.get("variables", {})
    own = main["targets"][target].get("variables", {})
    values = {name: v.get("default") for name, v in variables.items()} | own | GIVEN

    def value(match: re.Match[str]) -> str:
        kind, _, name = match[1].partition(".")
        assert kind == "var", match[0]
        assert values.get(name) is not None, f"{name} has no value"
        return str(values[name])

    return yaml.safe_load(REFERENCE.sub(value, yaml.safe_dump(apps)))


@pytest.mark.parametrize("target", TARGETS)
def test_every_app_of_a_target_can_be_made(project, target):
    apps = resolved(project.root, target)
    assert apps.keys() == {"assistant", "genie-analyst"}
    names = [app["name"] for app in apps.values()]
    assert len(set(names)) == len(names)
    for key, app in apps.items():
        assert re.fullmatch(r"[a-z0-9-]{1,30}", app["name"])
        assert app["lifecycle"] == {"started": True}
        assert (project.root / "bundles" / key / app["source_code_path"]).is_dir()
        declared = [resource["name"] for resource in app.get("resources", [])]
        assert len(set(declared)) == len(declared) <= MAX_RESOURCES
        env = app["config"]["env"]
        assert {v["value_from"] for v in env if "value_from" in v} <= set(declared)
        assert len({v["name"] for v in env}) == len(env)


def test_targets_give_apps_names_of_their_own(project):
    named = [resolved(project.root, target)["assistant"]["name"] for target in TARGETS]
    assert named == ["assistant-dev", "assistant-staging", "assistant"]


def test_only_folders_that_apps_run_from_are_uploaded_beside_what_git_tracks(project):
    main = yaml.safe_load((project.root / "databricks.yml").read_text())
    assert main["sync"] == {"paths": ["bundles"], "include": ["bundles/*/source/**"]}
    ignored = (REPOSITORY / ".gitignore").read_text().splitlines()
    assert {"bundles/*/source/", "bundles/*/digest.yml"} <= set(ignored)


def test_the_cli_s_broken_versions_are_refused_in_the_grammar_that_it_knows(project):
    main = yaml.safe_load((project.root / "databricks.yml").read_text())["bundle"]
    version = r"\d+\.\d+\.\d+"
    operator = r"(?:>=|<=|>|<|!=)"
    assert re.fullmatch(
        rf"{operator} {version}, {operator} {version}", main["databricks_cli_version"]
    )
    assert main["engine"] == "direct"


@pytest.mark.parametrize("agent", ["assistant", "genie-analyst"])
def test_an_app_compiles_its_agent_with_what_its_environment_holds(project, agent):
    app = resolved(project.root, "prod")[agent]
    env = {v["name"]: v["value"] for v in app["config"]["env"] if "value" in v}
    done = subprocess.run(
        [sys.executable, "-m", "retinue", "validate", agent],
        cwd=project.root / "bundles" / agent / "source",
        env={"PYTHONDONTWRITEBYTECODE": "1", "HOME": str(project.root), **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"ok      {agent}")


def test_what_a_folder_changes_changes_its_variable_alone(tmp_path):
    project = project_in(tmp_path, it="model: openai/x\ninstructions: One.\n")
    one = bundle_of(project)
    two = bundle_of(project_in(tmp_path, it="model: openai/x\ninstructions: Two.\n"))
    assert one.committed == two.committed
    changed = [path for path in two.generated if one.generated[path] != two.generated[path]]
    assert changed == [
        "bundles/it/digest.yml",
        "bundles/it/source/agent.json",
        "bundles/it/source/agents/it.yaml",
    ]


def test_the_bundle_file_in_the_docs_is_one_that_works(tmp_path):
    text = (REPOSITORY / "docs" / "deploy.md").read_text(encoding="utf-8")
    section = text.partition("## A project of your own")[2].partition("\n## ")[0]
    shown, ignored = re.findall(r"```\w+\n(.*?)```", section, re.DOTALL)
    conforms(shown)
    (tmp_path / "databricks.yml").write_text(shown)
    project = project_in(tmp_path, it="model: openai/x\ninstructions: Hi.\n")
    write(project, bundle_of(project))
    assert [*resolved(tmp_path, "dev")] == ["it"]
    assert resolved(tmp_path, "prod")["it"]["name"] == "it"
    assert set(ignored.split()) <= set((REPOSITORY / ".gitignore").read_text().split())


def test_what_the_docs_say_beyond_an_agents_file_has_no_key_there():
    text = (REPOSITORY / "docs" / "deploy.md").read_text(encoding="utf-8")
    section = text.partition("### Beyond the agent's file")[2].partition("\n## ")[0]
    [shown] = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    [(name, app)] = yaml.safe_load(shown)["targets"]["prod"]["resources"]["apps"].items()
    whole = {"name": name, "source_code_path": ".", **app}
    conforms(yaml.safe_dump({"bundle": {"name": "it"}, "resources": {"apps": {name: whole}}}))
    assert not app.keys() & {"budget_policy_id", "telemetry_export_destinations", "permissions"}
    assert not app.get("resources")
