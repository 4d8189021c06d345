"""When the caller goes away the run stops, wherever it is; when the server stops, it says so."""

import json
import socket
import threading

import httpx
import pytest
from serving import QUESTION, LoopRuntime, Slow, eventually, running

from retinue.run.events import TextDelta
from retinue.serve.answers import Pace
from retinue.testing import ScriptedModel, calls, says

# Far beyond the quarter of a second it takes, so that only a hang fails on a busy machine.
WITHIN = 20


def open_request(url: str, **fields) -> socket.socket:
    """A request whose socket the test can close at any moment."""
    body = json.dumps({"messages": QUESTION, **fields}).encode()
    host, port = url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=5)
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    return connection


@pytest.mark.parametrize("stream", [False, True])
def test_before_the_first_word(serving, stream):
    model = ScriptedModel([30.0, *says("late")])
    server = serving(LoopRuntime(model))
    connection = open_request(server.url, stream=stream)
    eventually(lambda: len(model.requests) == 1, 30)
    connection.close()
    eventually(lambda: model.cancelled == 1, WITHIN)
    with server.http as http:
        assert http.get("/health").status_code == 200


def test_after_a_large_body(serving):
    """The server stops reading while one comes in."""
    model = ScriptedModel([30.0, *says("late")])
    server = serving(LoopRuntime(model))
    connection = open_request(server.url, unknown="u" * 1_000_000)
    eventually(lambda: len(model.requests) == 1, 30)
    connection.close()
    eventually(lambda: model.cancelled == 1, WITHIN)


@pytest.mark.parametrize("stream", [False, True])
def test_amid_the_answer(serving, stream):
    model = ScriptedModel([TextDelta("Well, "), 30.0, *says("late")])
    server = serving(LoopRuntime(model))
    connection = open_request(server.url, stream=stream)
    if stream:
        assert b"200 OK" in connection.recv(1000)
    eventually(lambda: len(model.requests) == 1, 30)
    connection.close()
    eventually(lambda: model.cancelled == 1, WITHIN)


@pytest.mark.parametrize("stream", [False, True])
def test_during_a_tool_call(serving, stream):
    slow = Slow()
    model = ScriptedModel(calls(("wait", {}), ("wait", {})), says("done"))
    server = serving(LoopRuntime(model, [slow.function]), pace=Pace(hold=0.02, heartbeat=0.02))
    connection = open_request(server.url, stream=stream)
    eventually(lambda: slow.started == 2, 30)
    connection.close()
    eventually(lambda: slow.cancelled == 2, WITHIN)
    assert len(model.requests) == 1


def test_amid_the_request_body(serving):
    model = ScriptedModel()
    server = serving(LoopRuntime(model))
    connection = open_request(server.url)
    connection.close()
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as half:
        half.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
            b"content-type: application/json\r\ncontent-length: 100\r\n\r\n{"
        )
    with server.http as http:
        assert http.post("/v1/chat/completions", json={"messages": QUESTION}).status_code == 200


def test_a_caller_who_reads_nothing_is_given_up(serving):
    flood = [TextDelta("x" * 100_000) for _ in range(1000)]
    model = ScriptedModel([*flood, 30.0, *says("late")])
    pace = Pace(hold=0.1, heartbeat=0.1, stall=0.3)
    server = serving(LoopRuntime(model), pace=pace)
    connection = open_request(server.url, stream=True)
    eventually(lambda: model.cancelled == 1, 10)
    with server.http as http:
        assert http.get("/health").status_code == 200
    connection.close()


@pytest.mark.parametrize("begun", [False, True])
def test_a_server_that_stops_tells_the_callers_it_leaves(begun):
    steps = [TextDelta("Well, ")] if begun else []
    model = ScriptedModel([*steps, 30.0, *says("late")])
    answers = []

    def ask(url: str) -> None:
        body = {"messages": QUESTION, "stream": True}
        answers.append(
            httpx.post(f"{url}/v1/chat/completions", json=body, timeout=20, trust_env=False)
        )

    with running(LoopRuntime(model)) as server:
        thread = threading.Thread(target=ask, args=(server.url,))
        thread.start()
        eventually(lambda: len(model.requests) == 1, 30)
    thread.join(10)
    assert model.cancelled == 1
    (answer,) = answers
    if begun:
        assert answer.text.endswith("data: [DONE]\n\n")
        assert '"code":"server_stopping"' in answer.text
        assert '"finish_reason":"' not in answer.text
    else:
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "server_stopping"
