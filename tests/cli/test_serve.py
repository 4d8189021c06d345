"""`retinue serve`: what it refuses to start with, and that its options reach the server."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

QUESTION = {"messages": [{"role": "user", "content": "hi"}]}
CHAT = "/v1/chat/completions"


@pytest.fixture
def keyed(project: Path) -> Path:
    """The project, for holders of a key."""
    (project / "retinue.yaml").write_text("auth: {mode: api_key}\n")
    return project


@contextmanager
def serving(project: Path, *args: str, **env: str):
    """A client of `retinue serve --offline ARGS…`, and what was written before it answered."""
    process = subprocess.Popen(
        [sys.executable, "-m", "retinue", "serve", "--offline", "--port", "0", *args],
        cwd=project,
        env={"PATH": os.environ["PATH"], "HOME": str(project), **env},
        stderr=subprocess.PIPE,
        text=True,
    )
    told = []
    try:
        for line in process.stderr:
            told.append(line)
            if "curl -N" in line:
                break
        url = next(line for line in told if line.startswith("Serving")).split(" at ")[1].strip()
        with httpx.Client(base_url=url, trust_env=False, timeout=10) as http:
            yield http, "".join(told)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


def test_no_address_of_other_machines_without_a_check_of_callers(retinue):
    done = retinue("serve", "--offline", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 1
    assert "nothing would check who calls helper: write `auth: {mode: api_key}`" in done.stderr
    assert "or listen on 127.0.0.1" in done.stderr
    assert "Serving" not in done.stderr


@pytest.mark.usefixtures("keyed")
def test_no_keys_no_server(retinue):
    done = retinue("serve", "--offline", "--port", "0")
    assert done.returncode == 1
    assert "RETINUE_API_KEYS is not set" in done.stderr


def test_a_rate_that_is_none(retinue):
    done = retinue("serve", "--offline", "--port", "0", "--rate-limit", "often")
    assert done.returncode == 1
    assert "'often' is not a rate" in done.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_keys_and_limits_reach_every_process(keyed, workers):
    args = ("--host", "0.0.0.0", "--workers", workers, "--rate-limit", "50/hour", "--max-body", "1")
    with serving(keyed, *args, RETINUE_API_KEYS="one two") as (http, _):
        assert http.post(CHAT, json=QUESTION).status_code == 401
        headers = {"authorization": "Bearer two"}
        answer = http.post(CHAT, json=QUESTION, headers=headers)
        assert answer.status_code == 200
        assert answer.headers["x-ratelimit-limit-requests"] == "50"
        large = {"messages": [{"role": "user", "content": "x" * 2**20}]}
        assert http.post(CHAT, json=large, headers=headers).status_code == 413


def test_behind_databricks_any_address_will_do(project):
    env = {"DATABRICKS_APP_NAME": "helper", "DATABRICKS_APP_PORT": "8000"}
    with serving(project, "--host", "0.0.0.0", **env) as (http, told):
        assert http.post(CHAT, json=QUESTION).status_code == 200
    assert "note:" not in told


def test_an_agent_for_the_workspaces_users_runs_on_this_machine_with_a_note(project):
    (project / "retinue.yaml").write_text("auth: {mode: databricks}\n")
    with serving(project) as (http, told):
        assert http.post(CHAT, json=QUESTION).status_code == 200
    assert "callers are not checked" in told
