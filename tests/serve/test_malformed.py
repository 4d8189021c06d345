"""Malformed requests over real HTTP: each is answered 4xx in OpenAI's form, and the server lives.

What is wrong for every API is in HEADS and BODIES; FIELDS has the chat's own wrong bodies, and
those of the others stand in their tests.
"""

import json

import pytest
from raw_http import is_an_error, raw
from serving import QUESTION, LoopRuntime, running

from retinue.serve.overload import Capacity
from retinue.testing import ScriptedModel

PATHS = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "invocations": "/invocations",
}
GOOD = {
    "chat": {"messages": QUESTION},
    "responses": {"input": "hi"},
    "invocations": {"messages": QUESTION},
}
MAX_BODY = 20_000
TYPE = b"content-type: application/json\r\n"

BODIES = {
    "nothing": (b"", 400),
    "white space": (b" \n", 400),
    "cut": (b'{"messages": [', 400),
    "text": (b"hello", 400),
    "array": (b"[]", 400),
    "array of objects": (b'[{"messages": []}]', 400),
    "string": (b'"hi"', 400),
    "number": (b"1", 400),
    "null": (b"null", 400),
    "true": (b"true", 400),
    "empty object": (b"{}", 400),
    "two objects": (b"{}{}", 400),
    "trailing comma": (b'{"stream": true,}', 400),
    "single quotes": (b"{'stream': true}", 400),
    "comment": (b'{"stream": true} // x', 400),
    "key without quotes": (b"{stream: true}", 400),
    "not a number": (b'{"temperature": NaN}', 400),
    "infinity": (b'{"temperature": -Infinity}', 400),
    "too large a number": (b'{"temperature": 1e999}', 400),
    "5000 digits": (b'{"temperature": 1' + b"0" * 5000 + b"}", 400),
    "control character": (b'{"model": "a\x01b"}', 400),
    "NUL": (b'{"model": "a"}\x00', 400),
    "bad UTF-8": (b'{"model": "\xff\xfe"}', 400),
    "overlong UTF-8": (b'{"model": "\xc0\xaf"}', 400),
    "lone surrogate": (b'{"model": "\\ud800"}', 400),
    "UTF-16": ('{"model": "a"}'.encode("utf-16"), 400),
    "UTF-8 mark": (b"\xef\xbb\xbf{}", 400),
    "deep arrays": (b"[" * (MAX_BODY // 2), 400),
    "deep objects": (b'{"a":' * 3000, 400),
    "deep metadata": (b'{"metadata":' + b"[" * 5000 + b"]" * 5000 + b"}", 400),
    "too large": (b'{"model": "' + b"x" * MAX_BODY + b'"}', 413),
    "gzip": (b"\x1f\x8b\x08\x00\x00\x00\x00\x00", 400),
    "form": (b"messages=hi&model=x", 400),
}

# The whole of a request after its request line; {n} is the length of the good body after it.
HEADS = {
    "no content-type": (b"content-length: {n}\r\n", 415),
    "text": (b"content-type: text/plain\r\ncontent-length: {n}\r\n", 415),
    "form type": (
        b"content-type: application/x-www-form-urlencoded\r\ncontent-length: {n}\r\n",
        415,
    ),
    "multipart": (b"content-type: multipart/form-data; boundary=x\r\ncontent-length: {n}\r\n", 415),
    "compressed": (TYPE + b"content-encoding: gzip\r\ncontent-length: {n}\r\n", 415),
    "another site": (TYPE + b"sec-fetch-site: cross-site\r\ncontent-length: {n}\r\n", 403),
    "two types": (TYPE + b"content-type: text/plain\r\ncontent-length: {n}\r\n", 400),
    "two encodings": (
        TYPE + b"content-encoding: \r\ncontent-encoding: gzip\r\ncontent-length: {n}\r\n",
        400,
    ),
    "announced too large": (TYPE + b"content-length: 99999999\r\n", 413),
    "two lengths": (TYPE + b"content-length: {n}\r\ncontent-length: 3\r\n", 400),
    "negative length": (TYPE + b"content-length: -1\r\n", 400),
    "length that is no number": (TYPE + b"content-length: ten\r\n", 400),
    "length beyond 64 bits": (TYPE + b"content-length: 99999999999999999999\r\n", 400),
    "length and chunks": (TYPE + b"content-length: {n}\r\ntransfer-encoding: chunked\r\n", 400),
    "bad chunk": (TYPE + b"transfer-encoding: chunked\r\n", 400),
    "unknown transfer": (TYPE + b"transfer-encoding: gzip\r\n", 400),
    "no colon": (TYPE + b"content-length {n}\r\n", 400),
    "NUL in a name": (TYPE + b"x\x00: y\r\ncontent-length: {n}\r\n", 400),
    "control character in a value": (TYPE + b"x: \x01\r\ncontent-length: {n}\r\n", 400),
    "space before the colon": (TYPE + b"content-length : {n}\r\n", 400),
    "300 headers": (TYPE + b"x: y\r\n" * 300 + b"content-length: {n}\r\n", 431),
    "100 kB header": (TYPE + b"x: " + b"y" * 100_000 + b"\r\ncontent-length: {n}\r\n", 431),
}

MESSAGE = {"role": "user", "content": "hi"}
FIELDS = {
    "chat": [
        {"messages": None},
        {"messages": []},
        {"messages": {}},
        {"messages": "hi"},
        {"messages": [None]},
        {"messages": ["hi"]},
        {"messages": [[]]},
        {"messages": [{}]},
        {"messages": [{"role": "user"}]},
        {"messages": [{"content": "hi"}]},
        {"messages": [{"role": "king", "content": "hi"}]},
        {"messages": [{"role": 1, "content": "hi"}]},
        {"messages": [{"role": "user", "content": 1}]},
        {"messages": [{"role": "user", "content": {}}]},
        {"messages": [{"role": "user", "content": [{"type": "poem"}]}]},
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        {"messages": [MESSAGE] * 20_000},
        {"model": 1},
        {"model": ["tester"]},
        {"model": {}},
        {"model": "x" * 600},
        {"stream": "yes"},
        {"stream": 1},
        {"stream_options": "usage", "stream": True},
        {"stream_options": {"include_usage": "yes"}, "stream": True},
        {"temperature": "hot"},
        {"temperature": 3},
        {"temperature": -1},
        {"temperature": True},
        {"top_p": 2},
        {"max_tokens": 0},
        {"max_tokens": 1.5},
        {"max_completion_tokens": -5},
        {"max_completion_tokens": 10**30},
        {"n": 0},
        {"n": 10**9},
        {"seed": 2**70},
        {"seed": "lucky"},
        {"stop": 5},
        {"stop": ["a", "b", "c", "d", "e"]},
        {"stop": [1]},
        {"presence_penalty": 9},
        {"frequency_penalty": "x"},
        {"logit_bias": []},
        {"logit_bias": {"x": 1}},
        {"logit_bias": {"1": 1000}},
        {"metadata": []},
        {"metadata": {"a": 1}},
        {"metadata": {str(n): "x" for n in range(17)}},
        {"metadata": {"a": "x" * 513}},
        {"reasoning_effort": "heroic"},
        {"parallel_tool_calls": "no"},
        {"tools": {}},
        {"tool_choice": 1},
        {"response_format": "json"},
        {"response_format": {"type": "poem"}},
        {"user": []},
    ]
}


@pytest.fixture(scope="module")
def server():
    with running(LoopRuntime(ScriptedModel()), capacity=Capacity(max_body=MAX_BODY)) as one:
        yield one


@pytest.fixture(params=PATHS)
def api(request, server):
    yield request.param
    with server.http as http:
        alive = http.post(PATHS[request.param], json=GOOD[request.param])
    assert alive.status_code == 200


def posted(api: str, body: bytes, head: bytes = TYPE + b"content-length: {n}\r\n") -> bytes:
    line = f"POST {PATHS[api]} HTTP/1.1\r\nhost: x\r\n".encode()
    return line + head.replace(b"{n}", b"%d" % len(body)) + b"\r\n" + body


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_none(server, api, name):
    body, status = BODIES[name]
    is_an_error(raw(server, posted(api, body)), status)


@pytest.mark.parametrize("name", HEADS)
def test_a_head_that_does_not_fit(server, api, name):
    head, status = HEADS[name]
    is_an_error(raw(server, posted(api, json.dumps(GOOD[api]).encode(), head)), status)


@pytest.mark.parametrize(
    ("api_name", "fields"),
    [(name, fields) for name, wrong in FIELDS.items() for fields in wrong],
    ids=lambda value: str(value)[:50],
)
def test_a_field_that_is_wrong(serving, api_name, fields):
    server = serving(LoopRuntime(ScriptedModel()))
    body = json.dumps({**GOOD[api_name], **fields}).encode()
    status = 404 if isinstance(fields.get("model"), str) and len(fields["model"]) < 512 else 400
    answer = raw(server, posted(api_name, body))
    is_an_error(answer, status)
    assert json.loads(answer[2])["error"]["param"].startswith(next(iter(fields)))


LINES = {
    "no HTTP": (b"GARBAGE\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "an unknown version": (b"GET / HTTP/9.9\r\n\r\n", 400),
    "an unknown verb": (b"FOO / HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "a tunnel": (b"CONNECT a:443 HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "no path": (b"GET  HTTP/1.1\r\n\r\n", 400),
    "bytes in the path": (b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "half an address": (b"GET http://[ HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "all paths": (b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n", 404),
    "a path without end": (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 431),
    "a path of control characters": (b"GET /%00%0a%ff HTTP/1.1\r\nhost: x\r\n\r\n", 404),
    "an unknown path": (b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\n\r\n", 404),
    "a wrong verb": (b"TRACE /v1/models HTTP/1.1\r\nhost: x\r\n\r\n", 405),
}


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize("name", LINES)
def test_a_line_that_is_no_request(server, name):
    request, status = LINES[name]
    is_an_error(raw(server, request), status)


def test_there_are_enough_of_them():
    assert len(BODIES) + len(HEADS) >= 48
    assert all(len(fields) >= 48 for fields in FIELDS.values())
