"""Upstreams that change from call to call, and oddities of HTTP: with retries and fallbacks on."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from run.models.fake_upstream import (
    STREAM,
    Play,
    call_piece,
    chunk,
    event,
    plays,
    refuses,
    sends,
    then_reset,
)
from run.models.upstream_plays import (
    CHUNKED,
    DONE,
    GOOD,
    HEL,
    LO,
    STOP,
    TEXT,
    USAGE,
    body,
    calls,
    completion,
    for_ever,
    framed,
    hangs,
    head,
    one_call,
    resets,
    stream,
)

OK = plays(*GOOD)
RIGHT = 200
CUT = 0
"""An error in the midst of an answer."""


@dataclass
class Case:
    """The n-th call meets the n-th play, and the last one for ever; `calls` is how many there are.

    `ends` is the status that the caller gets, or CUT, or several that will do. `fallback` plays at
    another route.
    """

    plays: tuple[Play, ...]
    ends: int | tuple[int, ...]
    calls: int | None = None
    fallback: Play | None = None
    base: str = ""


def case(*given: Play, ends: int | tuple[int, ...], calls: int | None = None) -> Case:
    return Case(given, ends, calls)


def then(ends: int | tuple[int, ...], calls: int, *given: Play) -> Case:
    return Case(given, ends, calls)


async def half_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(STREAM + stream(HEL))
    writer.write_eof()
    while await reader.read(100):
        pass


async def slow_to_answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(1)
    writer.write(STREAM + stream(*GOOD))


def wait(seconds: str) -> Play:
    return refuses(429, retry_after=seconds)


def json_of(value: Any) -> Play:
    return body(json.dumps(value).encode())


MANY_CALLS = [chunk(call_piece(i, "{}", id=f"i{i}", name="add")) for i in range(10_000)]
FIVE_MEGABYTES = [one_call("x" * 1_000_000) for _ in range(5)]
RATE_LIMIT = {"error": {"message": "sk-secret", "type": "rate_limit_error", "code": None}}
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "sk-secret"}}
WHOLE_BESIDE = {"index": 0, "delta": {}, "message": {"content": TEXT}, "finish_reason": "stop"}
SPLIT = b'data: {"choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}\n\n'

CASES: dict[str, Case] = {
    # HTTP
    "early hints": case(
        sends(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + STREAM + stream(*GOOD)),
        ends=RIGHT,
    ),
    "trailers": case(
        sends(CHUNKED + framed(stream(*GOOD) + DONE) + b"0\r\nx-end: 1\r\n\r\n"), ends=RIGHT
    ),
    "quoted frame extension": case(
        sends(CHUNKED + b'%x;a="b;c"\r\n%b\r\n0\r\n\r\n' % (len(stream(*GOOD)), stream(*GOOD))),
        ends=RIGHT,
    ),
    "http 1.0 with a length": case(
        sends(
            b"HTTP/1.0 200 OK\r\ncontent-length: %d\r\n\r\n" % len(stream(*GOOD)) + stream(*GOOD)
        ),
        ends=RIGHT,
    ),
    "slow to answer": case(slow_to_answer, ends=RIGHT),
    "half closed": case(half_closed, ends=CUT, calls=1),
    "continue for ever": case(for_ever(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.02), ends=504),
    "http 2": case(sends(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18)), ends=503, calls=3),
    "huge frame": case(sends(CHUNKED + b"f" * 17 + b"\r\n" + stream(*GOOD)), ends=(RIGHT, 503)),
    "negative frame": case(sends(CHUNKED + b"-5\r\n" + stream(*GOOD)), ends=503, calls=3),
    "two lengths": case(
        sends(head("content-length: 5", "content-length: 900") + stream(*GOOD)), ends=503
    ),
    "length and frames": case(
        sends(CHUNKED[:-2] + b"content-length: 5\r\n\r\n" + framed(stream(*GOOD)) + b"0\r\n\r\n"),
        ends=(RIGHT, 503),
    ),
    "no length, kept alive": case(
        sends(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), OK, ends=RIGHT, calls=2
    ),
    "many cookies": case(
        sends(head(*[f"set-cookie: a{i}=b" for i in range(50)]) + stream(*GOOD)), ends=RIGHT
    ),
    "304": case(refuses(304), ends=(502, 503)),
    "206": case(sends(STREAM.replace(b"200 OK", b"206 Partial") + stream(*GOOD)), ends=RIGHT),
    "refused port": Case((OK,), 503, 0, base="http://127.0.0.1:1/v1"),
    "unknown host": Case((OK,), 503, 0, base="http://no-such-host.invalid/v1"),
    "tls to plain http": Case((OK,), (503, 504), 0, base="https"),
    # Bodies
    "two documents": case(body(completion() + completion()), ends=503),
    "two documents in an event": case(
        sends(STREAM + b'data: {"choices":[]} {"choices":[]}\n\n' + stream(*GOOD)), ends=503
    ),
    "error by name": case(
        sends(STREAM + b"event: error\n" + event(OVERLOADED)), OK, ends=RIGHT, calls=2
    ),
    "error by name, midway": case(
        sends(STREAM + stream(HEL) + b"event: error\n" + event(OVERLOADED)), ends=(CUT, 503)
    ),
    "error with 200, then well": case(json_of(RATE_LIMIT), OK, ends=RIGHT, calls=2),
    "errors in a list": case(json_of([RATE_LIMIT]), ends=(502, 503)),
    "choices null": case(json_of({"choices": None}), ends=502, calls=3),
    "only a second choice": case(
        plays({"choices": [{"index": 1, "delta": {"content": "No"}, "finish_reason": "stop"}]}),
        ends=502,
    ),
    "choices out of order": case(
        plays(
            {
                "choices": [
                    {"index": 1, "delta": {"content": "No"}},
                    {"index": 0, "delta": {"content": TEXT}},
                ]
            },
            STOP,
        ),
        ends=RIGHT,
    ),
    "old completion": case(
        json_of({"choices": [{"index": 0, "text": TEXT, "finish_reason": "stop"}]}), ends=503
    ),
    "message beside an empty delta": case(plays({"choices": [WHOLE_BESIDE]}), ends=RIGHT),
    "message repeats the deltas": case(plays(HEL, LO, {"choices": [WHOLE_BESIDE]}), ends=RIGHT),
    "finish is a list": case(plays(HEL, {"choices": [{"finish_reason": ["stop"]}]}), ends=502),
    "half a surrogate": case(sends(STREAM + SPLIT + stream(STOP)), ends=(502, 503)),
    "usage is huge": case(
        sends(STREAM + stream(HEL, LO, STOP) + event({"usage": {"prompt_tokens": 10**30}})),
        ends=(RIGHT, 502),
    ),
    "usage is negative": case(
        plays(HEL, LO, STOP, chunk(usage={"prompt_tokens": -5, "completion_tokens": -(10**9)})),
        ends=RIGHT,
    ),
    "usage is a fraction": case(
        plays(HEL, LO, STOP, chunk(usage={"prompt_tokens": 5.5, "completion_tokens": 1e300})),
        ends=RIGHT,
    ),
    "usage details are text": case(
        plays(HEL, LO, STOP, chunk(usage=USAGE | {"prompt_tokens_details": "x"})), ends=RIGHT
    ),
    "error after finish": case(plays(HEL, LO, STOP, {"error": "x"}), ends=(RIGHT, CUT, 502, 503)),
    "whole called text": case(body(completion(), "text/plain"), ends=RIGHT),
    "whole with spaces before": case(body(b" \r\n\t" * 300 + completion()), ends=RIGHT),
    # Tools
    "call after finish": case(
        calls(STOP, one_call("{}"), chunk({}, "tool_calls"), finish=""), ends=RIGHT
    ),
    "call without a name": case(calls(one_call("{}", name="")), ends=RIGHT),
    "call of a negative index": case(
        calls(chunk(call_piece(-1, "{}", id="a", name="add"))), ends=RIGHT
    ),
    "name in pieces": case(
        calls(one_call("", name="a"), chunk(call_piece(0, "{}", name="dd"))), ends=RIGHT
    ),
    "ten thousand calls": case(plays(*MANY_CALLS, chunk({}, "tool_calls")), ends=503),
    "five megabytes of arguments": case(plays(*FIVE_MEGABYTES, chunk({}, "tool_calls")), ends=503),
    "surrogates in a name": case(
        sends(STREAM + event(b'{"choices":[{"delta":{"tool_calls":"\\ud800"}}]}')), ends=(502, 503)
    ),
    # Retries
    "429, wait 0": then(RIGHT, 2, wait("0"), OK),
    "429, wait below 0": then(RIGHT, 2, wait("-5"), OK),
    "429, wait garbage": then(RIGHT, 2, wait("soon; or later"), OK),
    "429, wait NaN": then(RIGHT, 2, wait("nan"), OK),
    "429, wait for ever": then(429, 1, wait("1e9"), OK),
    "429, wait endlessly": case(wait("9" * 5000), OK, ends=(429, RIGHT)),
    "429 for ever": then(429, 3, refuses(429)),
    "429, money is gone": then(429, 1, refuses(429, {"code": "insufficient_quota"}), OK),
    "503, cut, well": then(RIGHT, 3, refuses(503), plays(done=False), OK),
    "reset, silence at the end, well": then(RIGHT, 3, resets(b""), sends(b""), OK),
    "html, well": then(RIGHT, 2, body(b"<html>", "text/html"), OK),
    "cut midway": then(CUT, 1, then_reset(HEL), OK),
    "400, well": then(400, 1, refuses(400), OK),
    "401, well": then(502, 1, refuses(401), OK),
    "408, 409, well": then(RIGHT, 3, refuses(408), refuses(409), OK),
    # Fallbacks
    "fallback well": Case((refuses(503),), RIGHT, 3, OK),
    "fallback after cut": Case((then_reset(HEL),), CUT, 1, OK),
    "fallback after 400": Case((refuses(400),), 400, 1, OK),
    "fallback fails at once": Case((refuses(503),), 503, 3, plays({"error": "x"})),
    "fallback is cut": Case((refuses(503),), CUT, 3, then_reset(HEL)),
    "fallback after silence": Case((hangs(),), RIGHT, None, OK),
    "both hang": Case((hangs(STREAM),), 504, None, hangs()),
    "both drip": Case(
        (for_ever(STREAM, b": \n\n", 0.05),), 504, None, for_ever(STREAM, b":\n\n", 0.05)
    ),
}
