"""The folder that an app runs from: all that it needs, and nothing of where it was made."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml
from bundling import FLEET, REPOSITORY, deployable, project_in

from retinue.bundle import BundleError, bundle_of, bundled_agents, plan, write
from retinue.bundle.references import References
from retinue.bundle.source import digest, source_files
from retinue.project import Project

AGENT = "model: databricks/x\ninstructions: Hi.\n"
QUESTION = "Which three franchises sold most in May 2024?"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory) -> Project:
    """A copy of this repository's project, bundled."""
    root = tmp_path_factory.mktemp("shipped")
    for name in ("agents", "prompts", "skills", "samples"):
        shutil.copytree(REPOSITORY / name, root / name)
    shutil.copy(REPOSITORY / "databricks.yml", root)
    project = Project.at(root)
    write(project, bundle_of(project))
    return project


def own_files(bundle, agent: str) -> set[str]:
    start = f"bundles/{agent}/source/"
    paths = {path.removeprefix(start) for path in bundle.generated if path.startswith(start)}
    return {path for path in paths if not path.startswith("retinue/")}


def test_only_the_files_that_the_agent_was_compiled_from_are_in_it():
    bundle = bundle_of(Project.at(REPOSITORY))
    assert own_files(bundle, "assistant") == {
        "agents/assistant.yaml",
        "agent.json",
        "app.yaml",
        "requirements.txt",
    }
    assert own_files(bundle, "genie-analyst") >= {
        "prompts/genie-analyst.md.j2",
        "samples/bakehouse/space.yaml",
        "skills/presenting-figures/SKILL.md",
    }
    assert "agents/assistant.yaml" not in own_files(bundle, "genie-analyst")


def test_the_runtime_is_in_it_whole_and_uncompiled():
    files = bundle_of(Project.at(REPOSITORY)).generated
    start = "bundles/assistant/source/"
    runtime = REPOSITORY / "runtime"
    expected = {
        path.relative_to(runtime).as_posix()
        for path in (runtime / "retinue").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    found = {p.removeprefix(start) for p in files if p.startswith(f"{start}retinue/")}
    assert found == expected


def test_nothing_in_it_names_this_machine_or_an_index(shipped):
    places = [str(shipped.root), str(REPOSITORY), str(Path.home()), sys.prefix, os.uname().nodename]
    for path in (shipped.root / "bundles").rglob("*"):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            assert not [place for place in places if len(place) > 5 and place in text], path


def test_no_secret_of_the_environment_is_in_it(tmp_path):
    shutil.copytree(FLEET, tmp_path / "fleet")
    project, secret = tmp_path / "fleet", "s3cr3t-0123456789abcdef"
    names = ["OPENAI_BASE", "DATABRICKS_TOKEN", "OPENAI_API_KEY", "RETINUE_API_KEYS"]
    names += ["RETINUE_SECRET_MODELS_OPENAI", "RETINUE_SECRET_MCP_CALC", "BUNDLE_VAR_endpoint"]
    (project / ".env").write_text("".join(f"{name}={secret}\n" for name in names))
    done = subprocess.run(
        [sys.executable, "-m", "retinue", "bundle"],
        cwd=project,
        env={**os.environ, **dict.fromkeys(names, secret)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made = [path for path in (project / "bundles").rglob("*") if path.is_file()]
    assert project / "bundles/outside/source/agents/outside.yaml" in made
    assert not [path for path in made if secret.encode() in path.read_bytes()]
    assert ".env" not in {path.name for path in made}
    assert secret not in done.stdout + done.stderr


def test_the_requirements_are_pinned_with_hashes_and_name_no_host(shipped):
    text = (shipped.root / "bundles/assistant/source/requirements.txt").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert len(lines) > 50
    assert all(re.fullmatch(r"[a-z0-9._\[\]-]+==\S+ \\", line) for line in lines)
    assert not re.search(r"://|--index|--find|win32", text)
    pinned = {line.partition(" ")[0] for line in lines}
    here = (REPOSITORY / "requirements/run.txt").read_text()
    assert not [pin for pin in pinned if f"\n{pin} " not in here], "run make requirements"


def test_the_same_files_give_the_same_bundle_wherever_they_lie(shipped, tmp_path, monkeypatch):
    monkeypatch.setenv("BUNDLE_VAR_bakehouse_space_id", "from-the-environment")
    monkeypatch.setenv("DATABRICKS_HOST", "https://here.example.com")
    for name in ("agents", "prompts", "skills", "samples"):
        shutil.copytree(shipped.root / name, tmp_path / name)
    shutil.copy(shipped.root / "databricks.yml", tmp_path)
    here, there = bundle_of(Project.at(tmp_path)), bundle_of(shipped)
    assert (here.committed, here.generated) == (there.committed, there.generated)


def test_a_caller_s_app_has_the_agents_that_it_calls():
    project = Project.at(FLEET)
    bundled = deployable(bundled_agents(project, ["front"]).agents[0])
    files = source_files(project, bundled, plan(bundled, References((), ())))
    agents = {path for path in files if path.startswith(("agents/", "schemas/"))}
    assert agents == {
        "agents/connected.yaml",
        "agents/front.yaml",
        "agents/parts/front.yaml",
        "agents/search.yaml",
        "schemas/answer.json",
    }


def test_a_digest_is_of_paths_and_bytes():
    one = digest({"a": b"1", "b": b"2"})
    assert one == digest({"b": b"2", "a": b"1"})
    others = [{"a": b"1", "b": b"3"}, {"a": b"1", "c": b"2"}, {"a": b"1b", "": b"2"}, {"a": b"1"}]
    assert len({one, *map(digest, others)}) == 5
    assert re.fullmatch("[0-9a-f]{16}", one)


def test_files_that_the_bundle_makes_itself_can_t_be_an_agent_s(tmp_path):
    (tmp_path / "app.yaml").write_text(AGENT)
    project = project_in(tmp_path, it="extends: [app.yaml]\n")
    with pytest.raises(BundleError, match=r"a app\.yaml of its own"):
        bundle_of(project)


NO_NETWORK = """
import socket

def loopback_only(connect):
    def checked(self, address):
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1"):
            raise OSError(f"no network: {address[0]}")
        return connect(self, address)
    return checked

socket.socket.connect = loopback_only(socket.socket.connect)
socket.socket.connect_ex = loopback_only(socket.socket.connect_ex)
"""


def heard(lines) -> str:
    """The server's address, when its tools are up too: it starts without slow ones."""
    log = ""
    for line in lines:
        log += line
        url = re.search(r" at (http[^\s\"]+)", log)
        if url and "'bakehouse' is up" in log:
            return url[1]
    raise AssertionError(log)


@pytest.mark.skipif(os.name != "posix", reason="an app runs on Linux")
def test_it_starts_from_an_empty_home_without_a_network_and_answers(shipped, tmp_path):
    pytest.importorskip("duckdb")
    home, source = tmp_path / "home", tmp_path / "source"
    home.mkdir()
    shutil.copytree(shipped.root / "bundles/genie-analyst/source", source)
    (home / "sitecustomize.py").write_text(NO_NETWORK)
    # As the platform starts it: its own Python, the app's folder, the port put in.
    command = yaml.safe_load((source / "app.yaml").read_text())["command"]
    assert command[:3] == ["python", "-m", "retinue"]
    words = [word.replace("$DATABRICKS_APP_PORT", "0") for word in command[1:]]
    env = {
        "PATH": os.defpath,
        "HOME": str(home),
        "PYTHONPATH": str(home),
        "DATABRICKS_APP_NAME": "genie-analyst",
        "DATABRICKS_APP_PORT": "0",
    }
    which = [sys.executable, "-c", "import retinue; print(retinue.__file__)"]
    found = subprocess.run(which, cwd=source, env=env, capture_output=True, text=True, check=True)
    assert found.stdout.startswith(str(source))
    with subprocess.Popen(
        [sys.executable, *words, "--offline"],
        cwd=source,
        env=env,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            url = heard(process.stdout)
            body = {"messages": [{"role": "user", "content": QUESTION}]}
            answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
    assert answer.status_code == 200, answer.text
    assert "Sakura Oven" in answer.text, answer.text
