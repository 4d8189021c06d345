"""Anthropic's Messages API, streamed.

Shapes: https://docs.anthropic.com/en/docs/build-with-claude/streaming and .../extended-thinking
"""

import json
from typing import Any

from retinue.run.messages import Thought
from run.models.fake_providers import Provider, Said, halves
from run.models.fake_upstream import STREAM


def sse(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def _block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[bytes]:
    return [
        sse("content_block_start", index=index, content_block=start),
        *(sse("content_block_delta", index=index, delta=delta) for delta in deltas),
        sse("content_block_stop", index=index),
    ]


def _thought(index: int, thought: Thought) -> list[bytes]:
    if thought.data is not None:
        return _block(index, {"type": "redacted_thinking", "data": thought.data})
    return _block(
        index,
        {"type": "thinking", "thinking": "", "signature": ""},
        *({"type": "thinking_delta", "thinking": half} for half in halves(thought.text)),
        {"type": "signature_delta", "signature": thought.signature},
    )


def frames(said: Said) -> list[bytes]:
    usage = {
        "input_tokens": said.input - said.cached - said.written,
        "cache_creation_input_tokens": said.written,
        "cache_read_input_tokens": said.cached,
        "output_tokens": 1,
    }
    message = {
        "id": "msg_01", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
        "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage,
    }  # fmt: skip
    made = [sse("message_start", message=message), sse("ping")]
    blocks = [_thought(n, thought) for n, thought in enumerate(said.thoughts)]
    if said.text:
        deltas = [{"type": "text_delta", "text": half} for half in halves(said.text)]
        blocks.append(_block(len(blocks), {"type": "text", "text": ""}, *deltas))
    for call in said.calls:
        start = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        pieces = ("", *halves(call.arguments)) if call.arguments != "{}" else ("",)
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        blocks.append(_block(len(blocks), start, *deltas))
    reason = said.reason or ("tool_use" if said.calls else "end_turn")
    stop = {"stop_reason": reason, "stop_sequence": None}
    return [
        *made,
        *(frame for block in blocks for frame in block),
        sse("message_delta", delta=stop, usage={"output_tokens": said.output}),
        sse("message_stop"),
    ]


_TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error",
    404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error", 500: "api_error",
    529: "overloaded_error",
}  # fmt: skip


def refusal(status: int, kind: str) -> bytes:
    words = (
        "sk-secret" if kind != "context" else "prompt is too long: 208310 tokens > 200000 maximum"
    )
    if kind == "filter":
        words = "Output blocked by content filtering policy"
    error = {"type": _TYPES[status], "message": words}
    return json.dumps({"type": "error", "error": error, "request_id": "req_1"}).encode()


ANTHROPIC = Provider(
    name="anthropic",
    model="anthropic/claude-sonnet-4-5",
    head=STREAM,
    frames=frames,
    refusal=refusal,
    overloaded=sse("error", error={"type": "overloaded_error", "message": "sk-secret"}),
    path="/v1/messages",
)
