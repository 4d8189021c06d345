"""Every endpoint that runs an agent stops the run when its caller goes away."""

import json
import socket
import threading

import httpx
import pytest
from response_events import parsed, replayed
from serving import LoopRuntime, Slow, eventually, running

from retinue.run.events import TextDelta
from retinue.serve.answers import Pace
from retinue.testing import ScriptedModel, calls, says

# Far beyond the quarter of a second it takes, so that only a hang fails on a busy machine.
WITHIN = 20
ASKED = [
    ("/v1/responses", {"input": "hi"}),
    ("/invocations", {"input": [{"role": "user", "content": "hi"}]}),
    ("/invocations", {"messages": [{"role": "user", "content": "hi"}]}),
]


def open_request(url: str, path: str, fields: dict) -> socket.socket:
    """A request whose socket the test can close at any moment."""
    body = json.dumps(fields).encode()
    host, port = url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=5)
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    return connection


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "fields"), ASKED)
def test_amid_the_answer(serving, path, fields, stream):
    model = ScriptedModel([TextDelta("Well, "), 30.0, *says("late")])
    server = serving(LoopRuntime(model))
    connection = open_request(server.url, path, {**fields, "stream": stream})
    if stream:
        assert b"200 OK" in connection.recv(1000)
    eventually(lambda: len(model.requests) == 1, 30)
    connection.close()
    eventually(lambda: model.cancelled == 1, WITHIN)


@pytest.mark.parametrize(("path", "fields"), ASKED)
def test_during_a_tool_call(serving, path, fields):
    slow = Slow()
    model = ScriptedModel(calls(("wait", {})), says("done"))
    server = serving(LoopRuntime(model, [slow.function]), pace=Pace(hold=0.02, heartbeat=0.02))
    connection = open_request(server.url, path, {**fields, "stream": True})
    eventually(lambda: slow.started == 1, 30)
    connection.close()
    eventually(lambda: slow.cancelled == 1, WITHIN)
    assert len(model.requests) == 1


@pytest.mark.parametrize("begun", [False, True])
def test_a_server_that_stops_tells_the_callers_it_leaves(begun):
    steps = [TextDelta("Well, ")] if begun else []
    model = ScriptedModel([*steps, 30.0, *says("late")])
    answers = []

    def ask(url: str) -> None:
        body = {"input": "hi", "stream": True}
        answers.append(httpx.post(f"{url}/v1/responses", json=body, timeout=20, trust_env=False))

    with running(LoopRuntime(model)) as server:
        thread = threading.Thread(target=ask, args=(server.url,))
        thread.start()
        eventually(lambda: len(model.requests) == 1, 30)
    thread.join(10)
    (answer,) = answers
    if begun:
        assert replayed(parsed(answer.content))["status"] == "failed"
        assert b'"code":"server_stopping"' in answer.content
    else:
        assert answer.status_code == 503
