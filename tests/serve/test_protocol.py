"""Connections whose callers are slow, over real sockets."""

import json
import socket
import time

import pytest
from raw_http import is_an_error, raw
from serving import QUESTION, LoopRuntime, Slow, eventually, running

from retinue.serve.answers import Pace
from retinue.serve.protocol import Protocol
from retinue.testing import ScriptedModel, calls

BODY = json.dumps({"messages": QUESTION}).encode()
HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n" % len(BODY)
)


class Hasty(Protocol):
    """As Protocol, for tests that don't wait."""

    head_seconds = 0.5
    rest_seconds = 0.5


@pytest.fixture(scope="module")
def server():
    with running(LoopRuntime(ScriptedModel()), protocol=Hasty) as one:
        yield one


@pytest.fixture
def connection(server):
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as one:
        yield one


def test_a_head_that_never_ends_is_answered_408(server):
    is_an_error(raw(server, HEAD), 408)


def test_a_head_that_drips_is_cut_too(connection):
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        for n in range(200):
            connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nx: "[n : n + 1] or b"y")
            time.sleep(0.05)


def test_a_connection_that_says_nothing_is_closed(connection):
    assert connection.recv(100) == b""


def test_a_head_without_end_is_cut_at_its_size(server):
    is_an_error(raw(server, b"GET / HTTP/1.1\r\n" + b"x: " + b"y" * 300_000), 431)


def test_a_second_request_has_its_own_time(connection):
    for _ in range(3):
        connection.sendall(HEAD[:30])
        time.sleep(0.3)
        connection.sendall(HEAD[30:] + b"\r\n" + BODY)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    connection.sendall(HEAD)
    assert connection.recv(65536).startswith(b"HTTP/1.1 408")


def test_a_body_may_take_longer_than_the_head(connection):
    connection.sendall(HEAD + b"\r\n" + BODY[:5])
    time.sleep(0.8)
    connection.sendall(BODY[5:])
    assert connection.recv(65536).startswith(b"HTTP/1.1 200")


REFUSED = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n"


def test_the_rest_of_a_body_that_drips_after_its_answer_is_cut(connection):
    connection.sendall(REFUSED)
    assert connection.recv(65536).startswith(b"HTTP/1.1 415")
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        for _ in range(200):
            connection.sendall(b"x")
            time.sleep(0.05)


class Impatient(Protocol):
    """As Protocol, with a connection's silence cut short."""

    def connection_made(self, transport):
        super().connection_made(transport)
        self.timeout_keep_alive = 0.5


def test_a_connection_is_closed_after_silence_where_the_body_came_after_the_answer():
    with running(LoopRuntime(ScriptedModel()), protocol=Impatient) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(REFUSED)
            assert connection.recv(65536).startswith(b"HTTP/1.1 415")
            connection.sendall(b"x" * 1000)
            assert connection.recv(100) == b""


def test_what_is_no_request_is_logged_under_the_id_that_was_told(server, log):
    _, headers, _ = raw(server, b"GARBAGE\r\n\r\n")
    told = f"error=malformed_request request_id={headers[b'x-request-id'].decode()}"
    eventually(lambda: told in log.text, 30)


@pytest.mark.parametrize("stream", [True, False])
def test_http_1_0_gets_no_chunks(server, stream):
    body = json.dumps({"messages": QUESTION, "stream": stream}).encode()
    head = HEAD.replace(b"%d" % len(BODY), b"%d" % len(body)).replace(b"HTTP/1.1", b"HTTP/1.0")
    host, port = server.url.removeprefix("http://").split(":")
    answer = b""
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head + b"\r\n" + body)
        while piece := connection.recv(65536):
            answer += piece
    told, _, given = answer.partition(b"\r\n\r\n")
    assert b" 200 " in told
    assert b"transfer-encoding" not in told
    assert given.startswith(b"data: {" if stream else b'{"id"')
    assert given.endswith(b"data: [DONE]\n\n" if stream else b"}")


def test_rubbish_in_the_midst_of_an_answer_does_not_get_into_it(serving):
    slow = Slow()
    runtime = LoopRuntime(ScriptedModel(calls(("wait", {}))), [slow.function])
    server = serving(runtime, pace=Pace(hold=0.1, heartbeat=0.1))
    host, port = server.url.removeprefix("http://").split(":")
    body = json.dumps({"messages": QUESTION, "stream": True}).encode()
    head = HEAD.replace(b"%d" % len(BODY), b"%d" % len(body))
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head + b"\r\n" + body)
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200")
        connection.sendall(b"\x00RUBBISH\r\n\r\n")
        while piece := connection.recv(65536):
            answer += piece
    assert answer.count(b"HTTP/1.1") == 1
    eventually(lambda: slow.cancelled == 1, 30)
