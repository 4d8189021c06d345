"""`retinue bundle` as the Databricks CLI's hook, CI and people run it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
BUNDLE_FILE = 'variables: {app_suffix: {default: ""}}\n'
HEAVY = {"litellm", "mcp", "fastapi", "duckdb", "aiohttp", "uvicorn", "openai", "databricks"}


@pytest.fixture(autouse=True)
def _bundle_file(project):
    (project / "databricks.yml").write_text(BUNDLE_FILE)


def test_it_says_what_it_wrote_and_what_there_is(retinue):
    done = retinue("bundle")
    assert done.returncode == 0, done.stderr
    assert "wrote   bundles/helper/app.yml\n" in done.stdout
    assert "ok      helper  (0 resources)\n" in done.stdout
    again = retinue("bundle").stdout
    assert again.startswith("ok      helper  (0 resources)\n")
    assert "a key for openai/gpt-test: an app has none of this machine's variables" in again


def test_quietly_it_says_nothing_and_does_the_same(retinue, project):
    done = retinue("bundle", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (project / "bundles/helper/source/agents/helper.yaml").exists()


def test_a_check_fails_until_the_bundle_is_made_and_writes_nothing(retinue, project):
    done = retinue("bundle", "--check")
    assert done.returncode == 1
    assert "stale   bundles/helper/app.yml\n" in done.stderr
    assert "run 'retinue bundle'" in done.stderr
    assert not (project / "bundles").exists()
    retinue("bundle")
    assert retinue("bundle", "--check").returncode == 0


def test_what_can_t_be_deployed_is_told_also_quietly(retinue, project):
    with (project / "agents/helper.yaml").open("a") as file:
        file.write("auth: {mode: api_key}\n")
    done = retinue("bundle", "-q")
    assert done.returncode == 2
    assert done.stderr.startswith("error: helper: `auth: {mode: api_key}` needs keys")
    assert not (project / "bundles").exists()
    (project / "retinue.yaml").write_text("store: {lakebase: {project: lake}}\n")
    assert retinue("bundle", "-q").returncode == 0


def test_what_a_person_has_to_grant_is_told(retinue, project):
    with (project / "agents/helper.yaml").open("a") as file:
        file.write("mcp_servers: {s: {databricks: {genie_space: abc}}}\n")
    assert "to grant: the Genie space of 's'" in retinue("bundle").stdout


def test_nothing_heavy_is_imported(project):
    probe = (
        "import json, sys\n"
        "sys.argv = ['retinue', 'bundle', '-q']\n"
        "from retinue.cli import main\n"
        "try:\n    main()\n"
        "finally:\n"
        "    print(json.dumps([*{name.partition('.')[0] for name in sys.modules}]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=project, capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(done.stdout))
    assert not loaded & HEAVY
    assert "retinue" in loaded


def hook(project: Path, *folders: Path | str) -> subprocess.CompletedProcess[str]:
    """Run databricks.yml's own hook as its CLI does, with a PATH of those folders."""
    text = yaml.safe_load((REPOSITORY / "databricks.yml").read_text())
    script = text["experimental"]["scripts"]["preinit"]
    shell = shutil.which("bash") or "/bin/sh"
    return subprocess.run(
        [shell, "-c", script],
        cwd=project,
        env={"PATH": os.pathsep.join(map(str, folders)), "HOME": str(project)},
        capture_output=True,
        text=True,
        check=False,
    )


posix = pytest.mark.skipif(os.name != "posix", reason="cmd.exe isn't run here")


@posix
def test_the_hook_makes_the_bundle(project):
    done = hook(project, Path(sys.executable).parent, os.defpath)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (project / "bundles/helper/digest.yml").exists()


@posix
def test_the_hook_says_what_to_do_where_retinue_is_missing(project):
    done = hook(project, os.defpath)
    assert done.returncode == 1
    assert "install retinue or activate its environment" in done.stdout


@posix
def test_the_hook_fails_with_the_mistakes_that_it_found(project):
    (project / "agents/helper.yaml").write_text("name: helper\n")
    done = hook(project, Path(sys.executable).parent, os.defpath)
    assert done.returncode == 1
    assert "[missing-key]" in done.stderr


def test_the_hook_is_one_line_that_every_shell_reads_alike():
    text = yaml.safe_load((REPOSITORY / "databricks.yml").read_text())
    command, otherwise = text["experimental"]["scripts"]["preinit"].split(" || ")
    assert command == "retinue bundle --quiet"
    assert otherwise.startswith("(echo ")
    assert otherwise.endswith(" && exit 1)")
    said = otherwise.removeprefix("(echo ").removesuffix(" && exit 1)")
    # Quoted differently, or not at all, by bash, sh and cmd.exe.
    assert not set(said) & set("\"'`$%^&|<>()!*?[]{}~#;\\\n")
