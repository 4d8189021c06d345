"""Upstreams that do oddly what is legal, or harmless: a right answer has to come of each."""

import gzip
import json
import zlib

from run.models.fake_upstream import STREAM, Play, call_piece, chunk, event, plays, sends
from run.models.upstream_plays import (
    CHUNKED,
    CONTENT,
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
    framed,
    hangs,
    head,
    one_call,
    resets,
    slowly,
    stream,
)

RIGHT: dict[str, Play] = {
    "plain": plays(*GOOD),
    "no done": plays(*GOOD, done=False),
    "no usage": plays(HEL, LO, STOP),
    "usage amid": plays(HEL, chunk({"content": "wörld"}, usage=USAGE), STOP),
    "usage null": plays(chunk({"content": TEXT}, usage=None), STOP),
    "usage of wrong types": plays(HEL, LO, STOP, chunk(usage={"prompt_tokens": "5"})),
    "usage is a list": plays(HEL, LO, STOP, chunk(usage=[1])),
    "role repeated": plays(
        chunk({"role": "assistant", "content": TEXT}), chunk({"role": "assistant"}), STOP
    ),
    "no role": plays(chunk({"content": TEXT}), STOP),
    "ids differ": plays(HEL | {"id": "1"}, LO | {"id": "2"}, STOP | {"id": None}),
    "bare chunks": plays(
        {"choices": [{"delta": {"content": TEXT}}]}, {"choices": [{"finish_reason": "stop"}]}
    ),
    "all at once": plays(CONTENT),
    "null delta": plays(
        HEL, LO, {"choices": [{"index": 0, "delta": None, "finish_reason": "stop"}]}
    ),
    "second choice": plays(HEL, {"choices": [{"index": 1, "delta": {"content": "No"}}]}, LO, STOP),
    "choices null": plays({"choices": None}, HEL, LO, STOP),
    "error null": plays(HEL | {"error": None}, LO, STOP),
    "pings": plays({"object": "ping"}, HEL, LO, STOP),
    "crlf": sends(STREAM + stream(*GOOD).replace(b"\n", b"\r\n") + DONE),
    "cr": sends(STREAM + stream(*GOOD).replace(b"\n", b"\r") + DONE),
    "crlf cut in two": slowly(
        STREAM, *[p for e in GOOD for p in (event(e)[:-2] + b"\r", b"\n\r", b"\n")]
    ),
    "no space": sends(STREAM + stream(*GOOD).replace(b"data: ", b"data:") + DONE),
    "ids and names": sends(
        STREAM + b"".join(b"id: 1\nevent: x\nretry: 5\n" + event(e) for e in GOOD)
    ),
    "comments": sends(STREAM + b": hi\n\n" + b": ping\n\n".join(event(e) for e in GOOD) + DONE),
    "event without data": sends(STREAM + b"event: ping\n\n" + stream(*GOOD)),
    "empty data": sends(STREAM + b"data:\n\ndata: \n\n" + stream(*GOOD)),
    "bom": sends(STREAM + b"\xef\xbb\xbf" + stream(*GOOD)),
    "data in lines": sends(
        STREAM
        + b'data: {"choices":\ndata: [{"delta":{"content":"Hello, w\xc3\xb6rld"}}]}\n\n'
        + stream(STOP)
    ),
    "single line ends": sends(STREAM + stream(*GOOD).replace(b"\n\n", b"\n") + b"data: [DONE]\n"),
    "no last line end": sends(STREAM + stream(*GOOD)[:-2]),
    "byte by byte": slowly(STREAM, *[bytes([b]) for b in stream(CONTENT)], pause=0),
    "utf-8 cut in two": slowly(
        STREAM,
        b'data: {"choices":[{"delta":{"content":"Hello, w\xc3',
        b'\xb6rld"},"finish_reason":"stop"}]}\n\n',
    ),
    "small frames": sends(CHUNKED + framed(stream(*GOOD) + DONE) + b"0\r\n\r\n"),
    "frame extensions": sends(
        CHUNKED + b"%x;a=b\r\n%b\r\n0\r\n\r\n" % (len(stream(*GOOD)), stream(*GOOD))
    ),
    "text after done": sends(STREAM + stream(*GOOD) + DONE + event(LO) + b"data: {{{\n\n"),
    "reset after done": resets(STREAM + stream(*GOOD) + DONE),
    "reset after finish": resets(STREAM + stream(HEL, LO, STOP)),
    "half an event after finish": sends(STREAM + stream(HEL, LO, STOP) + b'data: {"usage"'),
    "open after done": hangs(CHUNKED + framed(stream(*GOOD) + DONE)),
    "blocks": plays(chunk({"content": [{"type": "text", "text": TEXT}]}), STOP),
    "reasoning blocks": plays(
        chunk(
            {
                "content": [
                    {
                        "type": "reasoning",
                        "summary": [{"type": "summary_text", "text": "hm", "signature": "s"}],
                    }
                ]
            }
        ),
        HEL,
        LO,
        STOP,
    ),
    "reasoning": plays(
        chunk({"reasoning_content": "hm"}), chunk({"reasoning": "hm"}), HEL, LO, STOP
    ),
    "end_turn": plays(HEL, LO, chunk({}, "end_turn")),
    "eos": plays(HEL, LO, chunk({}, "EOS")),
    "two finishes": plays(HEL, LO, STOP, STOP),
    "whole json": body(completion()),
    "whole json as an event": body(
        b"data: " + completion() + b"\n\ndata: [DONE]\n\n", "text/event-stream"
    ),
    "whole json called a stream": body(completion(), "text/event-stream"),
    "stream called json": sends(
        head("connection: close", kind="application/json") + stream(*GOOD) + DONE
    ),
    "stream called text": sends(
        head("connection: close", kind="text/plain") + stream(*GOOD) + DONE
    ),
    "no content type": sends(
        b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + stream(*GOOD) + DONE
    ),
    "gzip": body(
        gzip.compress(stream(*GOOD) + DONE), "text/event-stream", "content-encoding: gzip"
    ),
    "deflate": body(
        zlib.compress(stream(*GOOD) + DONE), "text/event-stream", "content-encoding: deflate"
    ),
    "http 1.0": sends(
        b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + stream(*GOOD)
    ),
    "status 201": sends(STREAM.replace(b"200 OK", b"201 Created") + stream(*GOOD)),
    "100 continue": sends(b"HTTP/1.1 100 Continue\r\n\r\n" + STREAM + stream(*GOOD)),
    "slow and steady": slowly(STREAM, event(HEL), event(LO), event(STOP), DONE, pause=0.2),
    "unknown keys": plays(HEL | {"x": [1], "obfuscation": "abc"}, LO, STOP),
    "null everywhere": plays(
        chunk({"content": None, "tool_calls": None, "refusal": None, "function_call": None}),
        HEL,
        LO,
        STOP,
    ),
}

TOOLS: dict[str, Play] = {
    "a call": calls(one_call('{"a":1}')),
    "a call, finish stop": calls(one_call('{"a":1}'), finish="stop"),
    "bad json": calls(one_call('{"a":')),
    "no arguments": calls(one_call("")),
    "arguments null": calls(one_call(None)),
    "arguments are an object": calls(one_call({"a": 1})),
    "arguments are a list": calls(one_call([1])),
    "arguments are a string": calls(one_call('"a"')),
    "arguments are NaN": calls(one_call('{"a":NaN}')),
    "arguments are deep": calls(one_call("[" * 5000 + "]" * 5000)),
    "arguments are huge": calls(one_call(json.dumps({"a": "x" * 1_000_000}))),
    "no id": calls(one_call("{}", id=None)),
    "same ids": calls(one_call("{}"), chunk(call_piece(1, "{}", id="a", name="add"))),
    "no index": calls(chunk(call_piece(None, "{}", id="a", name="add"))),
    "gap between indices": calls(one_call("{}"), chunk(call_piece(7, "{}", id="b", name="add"))),
    "index used twice": calls(one_call("{}"), one_call("{}", id="b")),
    "no name": calls(one_call("{}", name=None)),
    "unknown tool": calls(one_call("{}", name="format_disk")),
    "function_call": calls(
        chunk({"function_call": {"name": "add", "arguments": "{}"}}), finish="function_call"
    ),
    "tool_use": calls(one_call("{}"), finish="tool_use"),
    "calls as a whole": calls(
        {
            "choices": [
                {
                    "message": {
                        "tool_calls": [
                            {"id": "a", "function": {"name": "add", "arguments": "{}"}},
                            {"id": "b", "function": {"name": "add", "arguments": "{}"}},
                        ]
                    },
                    "finish_reason": "tool_calls",
                }
            ]
        },
        finish="",
    ),
}

ENDS: dict[str, tuple[Play, str, str]] = {
    "length": (plays(HEL, chunk({}, "length")), "length", "Hello, "),
    "max_tokens": (plays(HEL, chunk({}, "max_tokens")), "length", "Hello, "),
    "length amid a call": (plays(HEL, one_call('{"a":'), chunk({}, "length")), "length", "Hello, "),
    "content filter": (plays(HEL, chunk({}, "content_filter")), "content_filter", "Hello, "),
    "nothing to say": (plays(STOP), "stop", ""),
}
