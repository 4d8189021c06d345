"""Keys that the command line makes and revokes, and servers that take them: all processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

CHAT = "/v1/chat/completions"
QUESTION = {"messages": [{"role": "user", "content": "hi"}]}
_NOTE = "note: RETINUE_API_KEYS is not set, so callers need a key of the store's"


@pytest.fixture
def keyed(project: Path) -> Path:
    """The project, for holders of a key."""
    (project / "retinue.yaml").write_text("auth: {mode: api_key}\n")
    return project


@contextmanager
def served(project: Path, *words: str) -> Iterator[tuple[httpx.Client, str]]:
    """A client of `retinue serve --offline WORDS…`, and what it wrote before it answered."""
    process = subprocess.Popen(
        [sys.executable, "-m", "retinue", "serve", "--offline", "--port", "0", *words],
        cwd=project,
        env={"PATH": os.environ["PATH"], "HOME": str(project)},
        stderr=subprocess.PIPE,
        text=True,
    )
    told = []
    try:
        for line in process.stderr:
            told.append(line)
            if "curl -N" in line:
                break
        greeting = next(line for line in told if line.startswith("Serving"))
        url = greeting.split(" at ")[1].strip()
        with httpx.Client(base_url=url, trust_env=False, timeout=30) as http:
            yield http, "".join(told)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def status(http: httpx.Client, key: str) -> int:
    # A connection of its own for each: any worker may take it.
    headers = {"authorization": f"Bearer {key}", "connection": "close"}
    return http.post(CHAT, json=QUESTION, headers=headers).status_code


def eventually(condition, within: float = 30) -> float:
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < within, "it did not happen in time"
        time.sleep(0.1)
    return time.monotonic() - start


def made(retinue, *words: str) -> str:
    done = retinue("keys", "create", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_first_key_is_made_while_the_server_runs(keyed, retinue, workers):
    with served(keyed, "--host", "0.0.0.0", "--workers", workers) as (http, told):
        assert _NOTE in told
        assert "`retinue keys create NAME`" in told
        assert status(http, "none") == 401
        key = made(retinue, "first")
        assert [status(http, key) for _ in range(8)] == [200] * 8
        assert retinue("keys", "revoke", "first").returncode == 0
        eventually(lambda: {status(http, key) for _ in range(8)} == {401})


def test_servers_on_one_database_take_the_same_keys_also_while_it_is_away(keyed, retinue, postgres):
    store = ("--store", postgres.new_database())
    with ExitStack() as stack:
        one, _ = stack.enter_context(served(keyed, *store))
        two, _ = stack.enter_context(served(keyed, *store))
        kept, gone = made(retinue, "kept", *store), made(retinue, "gone", *store)
        for http in (one, two):
            assert status(http, kept) == status(http, gone) == 200
        assert retinue("keys", "revoke", "gone", *store).returncode == 0
        for http in (one, two):
            eventually(lambda http=http: status(http, gone) == 401)
            assert status(http, kept) == 200
        postgres.crash()
        try:
            assert [status(http, kept) for http in (one, two)] * 5 == [200, 200] * 5
            assert status(one, gone) in (401, 503)
            # One that starts now knows what another has written down.
            late, _ = stack.enter_context(served(keyed, *store))
            assert status(late, kept) == 200
            assert status(late, gone) == 503
        finally:
            postgres.start()
        eventually(lambda: status(late, gone) == 401, within=60)
        assert [status(http, kept) for http in (one, two, late)] == [200] * 3
