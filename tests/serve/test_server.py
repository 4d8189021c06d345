"""Sockets, ports and processes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest
from serving import QUESTION, LoopRuntime, eventually, running

from retinue.serve.server import ServeError, listen
from retinue.testing import ScriptedModel, says

PROGRAM = """
import asyncio
import os
import sys
from pathlib import Path
from retinue.serve import app_for
from retinue.serve.options import ServeOptions
from retinue.serve.server import listen, serve
from loop_runtime import LoopRuntime
from retinue.testing import ScriptedModel

class Broken(LoopRuntime):
    async def __aenter__(self):
        raise RuntimeError("no luck today")

class Slow(LoopRuntime):
    async def __aenter__(self):
        slow = Path(__file__).with_name("slow")
        if slow.exists():
            await asyncio.sleep(float(slow.read_text()))
        return await super().__aenter__()

def app():
    if "BROKEN" in os.environ:
        return app_for(Broken(ScriptedModel()))
    return app_for(Slow(ScriptedModel()), options=ServeOptions(reach="local"))

if __name__ == "__main__":
    workers = int(sys.argv[1])
    serve("program:app" if workers > 1 else app(), listen("127.0.0.1", 0), workers=workers,
          on_ready=lambda url: print(url, flush=True))
"""


def program(folder, workers: int, **env: str) -> subprocess.Popen:
    (folder / "program.py").write_text(PROGRAM)
    path = os.pathsep.join([str(folder), *sys.path])
    return subprocess.Popen(
        [sys.executable, folder / "program.py", str(workers)],
        env={**os.environ, "PYTHONPATH": path, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_port_0_takes_a_free_one_and_the_url_says_which():
    listener = listen("127.0.0.1", 0)
    with listener.socket:
        assert listener.url == f"http://127.0.0.1:{listener.port}"
        assert listener.port > 0
        with socket.create_connection(("127.0.0.1", listener.port)):
            pass


def test_a_port_in_use_is_told_with_the_way_out():
    with listen("127.0.0.1", 0).socket as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServeError) as caught:
            listen("127.0.0.1", port)
    assert str(caught.value) == f"port {port} is in use; choose another with --port"


def test_an_address_of_another_machine():
    with pytest.raises(ServeError, match="can't listen on"):
        listen("192.0.2.1", 0)
    with pytest.raises(ServeError, match="not an address"):
        listen("no such host", 0)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("127.9.9.9", True),
        ("0.0.0.0", False),
        ("", False),
    ],
)
def test_whether_other_machines_reach_it(host, loopback):
    with (listener := listen(host, 0)).socket:
        assert listener.loopback == loopback


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system has none")
def test_a_caller_who_takes_nothing_more_is_given_up_by_the_system():
    with (listener := listen("127.0.0.1", 0)).socket as one:
        with socket.create_connection(("127.0.0.1", listener.port)), one.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


def test_any_address_is_shown_as_one_that_can_be_opened():
    with (listener := listen("0.0.0.0", 0)).socket:
        assert listener.url == f"http://127.0.0.1:{listener.port}"


def test_localhost_is_whichever_of_its_addresses_works():
    with (listener := listen("localhost", 0)).socket:
        assert listener.url == f"http://localhost:{listener.port}"
        with socket.create_connection(("localhost", listener.port)):
            pass


@pytest.mark.parametrize("workers", [1, 2])
def test_it_serves_until_it_is_told_to_stop(tmp_path, workers):
    process = program(tmp_path, workers)
    try:
        url = process.stdout.readline().strip()
        with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
            assert client.get("/health").json()["status"] == "healthy"
    finally:
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=60)
    assert process.returncode in (-signal.SIGINT, 130, 1)
    assert "KeyboardInterrupt" in log
    assert "INFO retinue.access method=GET path=/health status=200" in log
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health", trust_env=False)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_app_that_does_not_start_is_an_error(tmp_path, workers):
    process = program(tmp_path, workers, BROKEN="1")
    out, log = process.communicate(timeout=90)
    assert out == ""
    assert process.returncode == 1
    assert "no luck today" in log
    assert "ServeError: the server did not start" in log


def test_workers_that_take_their_time_to_start_replace_the_others(tmp_path):
    process = program(tmp_path, 2)
    try:
        url = process.stdout.readline().strip()

        def worker() -> int:
            return httpx.get(f"{url}/status", trust_env=False, timeout=60).json()["process"]

        before = {worker() for _ in range(20)}
        (tmp_path / "slow").write_text("6")
        process.send_signal(signal.SIGHUP)

        def replaced() -> bool:
            # Seldom, as nobody reads the log meanwhile.
            time.sleep(1)
            return not before & {worker() for _ in range(8)}

        eventually(replaced, 60)
        # Nor does one that never starts keep the server from stopping.
        (tmp_path / "slow").write_text("600")
        process.send_signal(signal.SIGHUP)
        time.sleep(2)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, log


@pytest.mark.parametrize("split", [None, 40])
def test_an_offer_to_upgrade_is_ignored_and_the_body_kept(split):
    body = json.dumps({"messages": QUESTION}).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        "connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode()
    with running(LoopRuntime(ScriptedModel(says("kept")))) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            for _ in range(2):
                connection.sendall(head + body[:split])
                if split:
                    time.sleep(0.05)
                    connection.sendall(body[split:])
                answer = connection.recv(65536)
                while b'"content":"kept"' not in answer:
                    more = connection.recv(65536)
                    assert more, answer
                    answer += more
                assert answer.startswith(b"HTTP/1.1 200")
