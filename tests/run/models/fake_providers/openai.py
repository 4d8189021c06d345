"""OpenAI's chat completions, streamed, and Azure's and Databricks' kinds of them.

Shapes: https://platform.openai.com/docs/api-reference/chat-streaming,
https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-streaming,
https://docs.databricks.com/en/machine-learning/foundation-models/api-reference.html
"""

import json
from typing import Any

from retinue.run.messages import Thought, ToolCall
from run.models.fake_providers import Provider, Said, halves
from run.models.fake_upstream import STREAM, call_piece, chunk, event

_DONE = event(b"[DONE]")


def _calls(calls: tuple[ToolCall, ...]) -> list[bytes]:
    made = []
    for index, call in enumerate(calls):
        made.append(event(chunk(call_piece(index, "", id=call.id, name=call.name))))
        made += [event(chunk(call_piece(index, half))) for half in halves(call.arguments)]
    return made


def _usage(said: Said) -> dict[str, Any]:
    return {
        "prompt_tokens": said.input,
        "completion_tokens": said.output,
        "total_tokens": said.input + said.output,
        "prompt_tokens_details": {"cached_tokens": said.cached},
        "completion_tokens_details": {"reasoning_tokens": said.thinking},
    }


def frames(said: Said) -> list[bytes]:
    texts = [event(chunk({"content": half})) for half in halves(said.text)] if said.text else []
    return [
        event(chunk({"role": "assistant", "content": ""})),
        *texts,
        *_calls(said.calls),
        event(chunk({}, said.reason or ("tool_calls" if said.calls else "stop"))),
        event(chunk(usage=_usage(said))),
        _DONE,
    ]


_SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "sexual", "violence")}


def azure_frames(said: Said) -> list[bytes]:
    first = chunk(prompt_filter_results=[{"prompt_index": 0, "content_filter_results": _SAFE}])
    first |= {"id": "", "model": "", "object": "", "created": 0}
    filtered = chunk({})
    filtered["choices"][0] |= {
        "content_filter_offsets": {"check_offset": 0, "start_offset": 0, "end_offset": 9},
        "content_filter_results": _SAFE,
    }
    role, *rest = frames(said)
    return [event(first), role, event(filtered), *rest]


def _reasoning(thought: Thought) -> list[bytes]:
    def piece(summary: dict[str, Any]) -> bytes:
        return event(chunk({"content": [{"type": "reasoning", "summary": [summary]}]}))

    return [
        *(
            piece({"type": "summary_text", "text": half, "signature": ""})
            for half in halves(thought.text)
        ),
        piece({"type": "summary_text", "text": "", "signature": thought.signature}),
    ]


def databricks_frames(said: Said) -> list[bytes]:
    """Claude's thinking as content blocks, and with it the text; usage on every chunk's side."""
    if said.thoughts:
        texts = [
            event(chunk({"content": [{"type": "text", "text": half}]}))
            for half in (halves(said.text) if said.text else ())
        ]
    else:
        texts = [event(chunk({"content": half})) for half in halves(said.text)]
    usage = _usage(said) | {
        "cache_read_input_tokens": said.cached,
        "cache_creation_input_tokens": said.written,
    }
    return [
        event(chunk({"role": "assistant", "content": ""})),
        *(frame for thought in said.thoughts for frame in _reasoning(thought)),
        *texts,
        *_calls(said.calls),
        event(chunk({"content": ""}, "tool_calls" if said.calls else "stop")),
        event(chunk(usage=usage)),
        _DONE,
    ]


_CODES = {"context": "context_length_exceeded", "filter": "content_filter"}


def refusal(_: int, kind: str) -> bytes:
    error = {"message": "sk-secret", "type": "t", "param": None, "code": _CODES.get(kind)}
    return json.dumps({"error": error}).encode()


def databricks_refusal(status: int, kind: str) -> bytes:
    words = "sk-secret"
    if kind == "context":
        words = '{"message":"prompt is too long: 208310 tokens > 200000 maximum"}'
    codes = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "ENDPOINT_NOT_FOUND"}
    codes |= {429: "REQUEST_LIMIT_EXCEEDED", 400: "BAD_REQUEST"}
    return json.dumps(
        {"error_code": codes.get(status, "INTERNAL_ERROR"), "message": words}
    ).encode()


_OVERLOADED = event({"error": {"message": "sk-secret", "type": "server_error", "code": 503}})

OPENAI = Provider(
    name="openai",
    model="openai/gpt-4o",
    head=STREAM,
    frames=frames,
    refusal=refusal,
    overloaded=_OVERLOADED,
    ends=2,
    base="/v1",
    path="/v1/chat/completions",
    thinks=False,
)
AZURE = Provider(
    name="azure",
    model="azure/chat",
    head=STREAM,
    frames=azure_frames,
    refusal=refusal,
    overloaded=_OVERLOADED,
    ends=2,
    path="/openai/deployments/chat/chat/completions?api-version=",
    thinks=False,
)
DATABRICKS = Provider(
    name="databricks",
    model="databricks/databricks-claude-sonnet-4-5",
    head=STREAM,
    frames=databricks_frames,
    refusal=databricks_refusal,
    overloaded=_OVERLOADED,
    ends=2,
    base="/serving-endpoints",
    path="/serving-endpoints/chat/completions",
)
