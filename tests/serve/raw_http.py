"""Requests as bytes, and what is expected of the answers to bad ones."""

import json
import socket

from serving import Running


def raw(server: Running, request: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body of the answer to these bytes."""
    host, port = server.url.removeprefix("http://").split(":")
    answer = b""
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request)
        while True:
            head, end, body = answer.partition(b"\r\n\r\n")
            lines = [line.split(b": ", 1) for line in head.split(b"\r\n")[1:]]
            headers = {line[0].lower(): line[-1] for line in lines}
            if end and len(body) >= int(headers[b"content-length"]):
                return int(head.split()[1]), headers, body
            piece = connection.recv(65536)
            assert piece, answer
            answer += piece


def is_an_error(answer: tuple[int, dict[bytes, bytes], bytes], status: int) -> None:
    got, headers, body = answer
    assert got == status, body
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"x-request-id"]
    error = json.loads(body)["error"]
    assert list(error) == ["message", "type", "param", "code"]
    assert error["message"]
    assert error["code"]
    assert error["param"] is None or isinstance(error["param"], str)
