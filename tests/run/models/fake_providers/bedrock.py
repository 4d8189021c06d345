"""Bedrock's ConverseStream: `application/vnd.amazon.eventstream`, with both checksums.

Shapes: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html;
framing: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html
"""

import json
import struct
import zlib
from typing import Any

from retinue.run.messages import Thought
from run.models.fake_providers import Provider, Said, halves

_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\n"
    b"x-amzn-requestid: r1\r\nconnection: close\r\n\r\n"
)


def _message(headers: dict[str, str], payload: bytes) -> bytes:
    head = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value))
        + value.encode()
        for name, value in headers.items()
    )  # fmt: skip
    prelude = struct.pack("!II", 16 + len(head) + len(payload), len(head))
    checked = prelude + struct.pack("!I", zlib.crc32(prelude)) + head + payload
    return checked + struct.pack("!I", zlib.crc32(checked))


def event(kind: str, **fields: Any) -> bytes:
    headers = {
        ":event-type": kind,
        ":content-type": "application/json",
        ":message-type": "event",
    }
    return _message(headers, json.dumps({**fields, "p": "abcdef"}).encode())


def exception(kind: str, message: str) -> bytes:
    headers = {
        ":exception-type": kind,
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return _message(headers, json.dumps({"message": message}).encode())


def _stopped(index: int, *deltas: dict[str, Any]) -> list[bytes]:
    return [
        *(event("contentBlockDelta", contentBlockIndex=index, delta=delta) for delta in deltas),
        event("contentBlockStop", contentBlockIndex=index),
    ]


def _thought(thought: Thought) -> list[dict[str, Any]]:
    if thought.data is not None:
        return [{"reasoningContent": {"redactedContent": thought.data}}]
    texts = [{"reasoningContent": {"text": half}} for half in halves(thought.text)]
    return [*texts, {"reasoningContent": {"signature": thought.signature}}]


def frames(said: Said) -> list[bytes]:
    made = [event("messageStart", role="assistant")]
    index = 0
    for thought in said.thoughts:
        made += _stopped(index, *_thought(thought))
        index += 1
    if said.text:
        made += _stopped(index, *({"text": half} for half in halves(said.text)))
        index += 1
    for call in said.calls:
        start = {"toolUse": {"toolUseId": call.id, "name": call.name}}
        made.append(event("contentBlockStart", contentBlockIndex=index, start=start))
        made += _stopped(index, *({"toolUse": {"input": half}} for half in halves(call.arguments)))
        index += 1
    usage = {
        "inputTokens": said.input - said.cached - said.written,
        "outputTokens": said.output,
        "totalTokens": said.input + said.output,
        "cacheReadInputTokens": said.cached,
        "cacheWriteInputTokens": said.written,
    }
    return [
        *made,
        event("messageStop", stopReason=said.reason or ("tool_use" if said.calls else "end_turn")),
        event("metadata", usage=usage, metrics={"latencyMs": 1}),
    ]


def refusal(_: int, kind: str) -> bytes:
    words = "sk-secret" if kind != "context" else "Input is too long for requested model."
    return json.dumps({"message": words}).encode()


BEDROCK = Provider(
    name="bedrock",
    model="bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    head=_HEAD,
    frames=frames,
    refusal=refusal,
    overloaded=exception("throttlingException", "sk-secret"),
    # The metadata: an answer without it is whole, and its tokens aren't known.
    ends=1,
    fields={"region": "eu-west-1"},
    path="/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse-stream",
)
