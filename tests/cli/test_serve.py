"""`retinue serve`: what it refuses to start with, and that its options reach the server."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

QUESTION = {"messages": [{"role": "user", "content": "hi"}]}
CHAT = "/v1/chat/completions"


def eventually(condition, within: float) -> None:
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


@pytest.fixture
def keyed(project: Path) -> Path:
    """The project, for holders of a key."""
    (project / "retinue.yaml").write_text("auth: {mode: api_key}\n")
    return project


@contextmanager
def started(project: Path, *args: str, **env: str):
    """The process of `retinue serve --offline ARGS…`, and what it wrote before it answered."""
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
        yield process, "".join(told)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


@contextmanager
def serving(project: Path, *args: str, **env: str):
    """A client of `retinue serve --offline ARGS…`, and what was written before it answered."""
    with started(project, *args, **env) as (_, told):
        greeting = next(line for line in told.splitlines() if line.startswith("Serving"))
        url = greeting.split(" at ")[1].strip()
        with httpx.Client(base_url=url, trust_env=False, timeout=10) as http:
            yield http, told


def json_lines(project: Path, *args: str, **env: str) -> list[dict[str, object]]:
    """What `retinue serve --offline ARGS…` writes to standard output for one question; nothing
    else is written anywhere.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "retinue", "serve", "--offline", "--port", "0", *args],
        cwd=project,
        env={"PATH": os.environ["PATH"], "HOME": str(project), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    told = []
    try:
        for line in process.stdout:
            told.append(json.loads(line))
            if str(told[-1]["message"]).startswith("Serving "):
                break
        url = str(told[-1]["message"]).split(" at ")[1]
        with httpx.Client(base_url=url, trust_env=False, timeout=10) as http:
            assert http.post(CHAT, json=QUESTION).status_code == 200
    finally:
        process.send_signal(signal.SIGTERM)
        rest, err = process.communicate(timeout=20)
    assert err == ""
    return [*told, *map(json.loads, rest.splitlines())]


@pytest.mark.parametrize(
    ("args", "env"),
    [
        (["--log-format", "json"], {}),
        (["--log-format", "json", "--workers", "2"], {}),
        ([], {"DATABRICKS_APP_NAME": "helper", "DATABRICKS_APP_PORT": "8000"}),
    ],
)
def test_json_lines_on_standard_output(project, args, env):
    told = json_lines(project, *args, **env)
    (asked,) = [line for line in told if line.get("path") == CHAT]
    assert (asked["status"], asked["agent"], asked["logger"]) == (200, "helper", "retinue.access")


def test_no_address_of_other_machines_without_a_check_of_callers(retinue):
    done = retinue("serve", "--offline", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 2
    assert "nothing would check who calls helper: write `auth: {mode: api_key}`" in done.stderr
    assert "or listen on 127.0.0.1" in done.stderr
    assert "Serving" not in done.stderr


@pytest.mark.usefixtures("keyed")
def test_no_keys_no_server(retinue):
    done = retinue("serve", "--offline", "--port", "0", "--store", "off")
    assert done.returncode == 2
    assert "RETINUE_API_KEYS is not set" in done.stderr
    assert "retinue keys create" in done.stderr


def test_a_rate_that_is_none(retinue):
    done = retinue("serve", "--offline", "--port", "0", "--rate-limit", "often")
    assert done.returncode == 2
    assert "'often' is not a rate" in done.stderr


def test_a_store_that_is_none(retinue):
    done = retinue("serve", "--offline", "--port", "0", "--store", "elsewhere")
    assert done.returncode == 2
    assert "a store is sqlite:///PATH" in done.stderr


def test_a_redis_that_is_none(retinue):
    done = retinue("serve", "--offline", "--port", "0", REDIS_URL="cache:6379")
    assert done.returncode == 2
    assert "REDIS_URL is no address of a Redis" in done.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_keys_and_limits_reach_every_process(keyed, workers):
    args = ("--host", "0.0.0.0", "--workers", workers, "--rate-limit", "50/hour", "--max-body", "1")
    with serving(keyed, *args, RETINUE_API_KEYS="one two") as (http, told):
        assert "/v1/chat/completions -H 'authorization: Bearer KEY' -H" in told
        assert http.post(CHAT, json=QUESTION).status_code == 401
        headers = {"authorization": "Bearer two"}
        answer = http.post(CHAT, json=QUESTION, headers=headers)
        assert answer.status_code == 200
        assert answer.headers["x-ratelimit-limit-requests"] == "50"
        large = {"messages": [{"role": "user", "content": "x" * 2**20}]}
        assert http.post(CHAT, json=large, headers=headers).status_code == 413


def test_behind_databricks_any_address_will_do(project):
    env = {"DATABRICKS_APP_NAME": "helper", "DATABRICKS_APP_PORT": "8000"}
    with serving(project, "--host", "0.0.0.0", "--log-format", "text", **env) as (http, told):
        assert http.post(CHAT, json=QUESTION).status_code == 200
    assert "note:" not in told


def test_an_agent_for_the_workspaces_users_runs_on_this_machine_with_a_note(project):
    (project / "retinue.yaml").write_text("auth: {mode: databricks}\n")
    with serving(project) as (http, told):
        assert http.post(CHAT, json=QUESTION).status_code == 200
    assert "callers are not checked" in told


@pytest.mark.parametrize("workers", ["1", "2"])
def test_files_that_changed_are_served_after_a_reload(project, workers):
    """And while they have mistakes, what was served before."""
    with serving(project, "--workers", workers) as (http, _):

        def names() -> set[str]:
            found = http.get("/v1/models").json()["data"]
            return {one["id"] for one in found}

        before = names()
        other = project / "agents" / "other.yaml"
        other.write_text("modl: openai/m\n")
        refused = http.post("/v1/admin/reload")
        assert refused.status_code == 422
        assert "unknown key 'modl'" in refused.json()["error"]["message"]
        assert names() == before
        other.write_text("model: openai/m\ninstructions: Be brief.\n")
        told = http.post("/v1/admin/reload").json()
        assert set(told["agents"]) == before | {"other"}
        # Workers are replaced one after the other.

        def all_are_new() -> bool:
            # One that goes closes the connections that it has kept open.
            with suppress(httpx.TransportError):
                return [names() for _ in range(8)] == [before | {"other"}] * 8
            return False

        eventually(all_are_new, 30)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_workers_are_drained_together(project, workers):
    with serving(project, "--workers", workers) as (http, _):
        assert http.post("/v1/admin/drain").status_code == 200
        assert {http.post(CHAT, json=QUESTION).status_code for _ in range(8)} == {503}
        assert http.post("/v1/admin/drain?draining=false").status_code == 200
        assert http.post(CHAT, json=QUESTION).status_code == 200
        counted = http.get("/metrics").text
        assert 'endpoint="/chat/completions",status="503"} 8.0' in counted


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_stop_that_was_asked_for_is_no_failure(project, workers):
    with started(project, "--workers", workers) as (process, _told):
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_a_surface_that_there_is_none_of(retinue):
    done = retinue("serve", "--offline", "--port", "0", "--allowed-apis", "chat,respnses")
    assert done.returncode == 2
    assert "there is no API 'respnses' to allow; did you mean 'responses'?" in done.stderr


def test_surfaces_reach_every_process(project):
    with serving(project, "--workers", "2", "--allowed-apis", "chat, models") as (http, _):
        assert http.post(CHAT, json=QUESTION).status_code == 200
        assert http.post("/v1/responses", json={"input": "hi"}).status_code == 404


def test_settings_of_older_servers_are_not_passed_over(retinue):
    compat = ("serve", "--offline", "--port", "0", "--compat")
    assert "need --compat" in retinue(*compat[:-1], "--allowed-modes", "chat").stderr
    assert "nothing would check who calls" in retinue(*compat, FORCE_AUTH="true").stderr
    told = retinue(*compat, DB_LOGGING_ENABLED="true").stderr
    assert "LOGGING_DB_HOST is not" in told


def test_older_routes_reach_every_process(project):
    modes = ("--compat", "--allowed-modes", "chat health")
    with serving(project, "--workers", "2", *modes) as (http, _):
        assert http.post("/chat", json={"message": "hi"}).json()["response"]
        assert http.get("/v1/models").status_code == 404
