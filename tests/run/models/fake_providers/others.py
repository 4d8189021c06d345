"""Gemini's streamGenerateContent and Ollama's chat: two that are like none of the others.

Shapes: https://ai.google.dev/api/generate-content, https://docs.ollama.com/api/chat
"""

import json
from typing import Any

from run.models.fake_providers import Provider, Said, halves
from run.models.fake_upstream import STREAM, event


def gemini_frames(said: Said) -> list[bytes]:
    parts: list[dict[str, Any]] = [{"text": half} for half in halves(said.text) if half]
    parts += [
        {"functionCall": {"name": call.name, "args": json.loads(call.arguments)}}
        for call in said.calls
    ]
    usage = {
        "promptTokenCount": said.input,
        "cachedContentTokenCount": said.cached,
        "candidatesTokenCount": said.output - said.thinking,
        "thoughtsTokenCount": said.thinking,
        "totalTokenCount": said.input + said.output,
    }
    made = []
    for place, part in enumerate(parts, 1):
        candidate = {"content": {"role": "model", "parts": [part]}, "index": 0}
        if place == len(parts):
            candidate["finishReason"] = said.reason or "STOP"
        body = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-2.5-pro"}
        made.append(event(body | {"responseId": "r1"}))
    return made


def ollama_frames(said: Said) -> list[bytes]:
    def line(message: dict[str, Any], **more: Any) -> bytes:
        body = {"model": "llama3.1", "created_at": "2026-01-01T00:00:00Z", "message": message}
        return json.dumps({**body, "done": False, **more}).encode() + b"\n"

    calls = [
        {"function": {"name": call.name, "arguments": json.loads(call.arguments)}}
        for call in said.calls
    ]
    made = [line({"role": "assistant", "content": half}) for half in halves(said.text) if half]
    if calls:
        made.append(line({"role": "assistant", "content": "", "tool_calls": calls}))
    end = {"done": True, "done_reason": "stop", "prompt_eval_count": said.input}
    return [*made, line({"role": "assistant", "content": ""}, **end, eval_count=said.output)]


def refusal(status: int, _: str) -> bytes:
    return json.dumps({"error": {"code": status, "message": "sk-secret", "status": "X"}}).encode()


GEMINI = Provider(
    name="gemini",
    model="gemini/gemini-2.5-pro",
    head=STREAM,
    frames=gemini_frames,
    refusal=refusal,
    overloaded=event({"error": {"code": 503, "message": "sk-secret", "status": "UNAVAILABLE"}}),
    path="/models/gemini-2.5-pro:streamGenerateContent",
    thinks=False,
)
OLLAMA = Provider(
    name="ollama",
    model="ollama_chat/llama3.1",
    head=STREAM.replace(b"text/event-stream", b"application/x-ndjson"),
    frames=ollama_frames,
    refusal=refusal,
    overloaded=b'{"error": "sk-secret"}\n',
    path="/api/chat",
    thinks=False,
)
