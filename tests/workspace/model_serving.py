"""Model serving: OpenAI's shape, and that of Databricks' Claude, whole and streamed.

Shapes: https://docs.databricks.com/en/machine-learning/foundation-models/api-reference.html
"""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from workspace.fake import Caller, RefusedError, Workspace, fields

TAKEN = {
    "model": str, "messages": list, "stream": bool, "stream_options": dict, "tools": list,
    "tool_choice": str | dict, "max_tokens": int, "temperature": int | float, "top_p": int | float,
    "stop": list | str, "thinking": dict, "response_format": dict,
}  # fmt: skip
USAGE = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}


class Serving:
    """Endpoints by name. A model calls the first tool it is given, then says what it heard.

    `slow` is the pause in seconds after each word; `asked` holds who asked what, `left` counts
    callers who went before the end.
    """

    def __init__(self, workspace: Workspace, *names: str) -> None:
        self.names = names
        self.slow = 0.0
        self.asked: list[tuple[Caller, dict[str, Any]]] = []
        self.left = 0
        workspace.on("GET", r"/api/2\.0/serving-endpoints", self._list)
        workspace.on("GET", r"/api/2\.0/serving-endpoints/[^/]+", self._get)
        workspace.on("POST", r"/serving-endpoints/chat/completions", self._chat)

    async def _list(self, _request: web.Request, _caller: Caller) -> web.Response:
        return web.json_response({"endpoints": [self._endpoint(name) for name in self.names]})

    async def _get(self, request: web.Request, _caller: Caller) -> web.Response:
        name = request.path.rpartition("/")[2]
        if name not in self.names:
            raise RefusedError(404, "RESOURCE_DOES_NOT_EXIST", f"no endpoint '{name}'")
        return web.json_response(self._endpoint(name))

    def _endpoint(self, name: str) -> dict[str, Any]:
        state = {"ready": "READY", "config_update": "NOT_UPDATING"}
        return {"name": name, "state": state, "task": "llm/v1/chat"}

    async def _chat(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        body = await fields(request, {"model": str, "messages": list}, **TAKEN)
        if body["model"] not in self.names:
            raise RefusedError(404, "RESOURCE_DOES_NOT_EXIST", f"no endpoint '{body['model']}'")
        for message in body["messages"]:
            if message["role"] != "assistant" and not message.get("content"):
                raise RefusedError(400, "BAD_REQUEST", "a message says nothing")
        self.asked.append((caller, body))
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        if not body.get("stream"):
            return web.json_response(_whole(body))
        await answer.prepare(request)
        try:
            for chunk in _chunks(body):
                await answer.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
                await asyncio.sleep(self.slow)
            await answer.write(b"data: [DONE]\n\n")
        except (ConnectionError, asyncio.CancelledError):
            self.left += 1
            raise
        return answer


def _said(body: dict[str, Any]) -> tuple[str, dict[str, Any] | None]:
    """The answer's text, or the call that comes before it."""
    last = body["messages"][-1]
    asking = [tool for tool in body.get("tools", ()) if "query_space" in tool["function"]["name"]]
    if last["role"] == "tool":
        return f"Genie says: {_text(last)}", None
    if asking:
        asked = json.dumps({"query": _text(last)})
        return "", {"name": asking[0]["function"]["name"], "arguments": asked}
    return f"You said: {_text(last)}", None


def _text(message: dict[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(p.get("text", "") for p in content)


def _chunks(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    text, call = _said(body)
    head = {"id": "msg_1", "object": "chat.completion.chunk", "model": body["model"], "created": 1}

    def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        # Databricks puts the usage on every chunk of Claude's.
        return {**head, "choices": [choice], "usage": USAGE}

    yield chunk({"role": "assistant", "content": ""})
    for word in text.split(" ") if text else ():
        piece = f"{word} "
        claude = "claude" in body["model"]
        yield chunk({"content": [{"type": "text", "text": piece}] if claude else piece})
    if call:
        called = {"index": 0, "id": "toolu_1", "type": "function", "function": call}
        yield chunk({"tool_calls": [called]})
    yield chunk({}, "tool_calls" if call else "stop")


def _whole(body: dict[str, Any]) -> dict[str, Any]:
    text, call = _said(body)
    calls = (
        {"tool_calls": [{"id": "toolu_1", "type": "function", "function": call}]} if call else {}
    )
    message = {"role": "assistant", "content": text, **calls}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if call else "stop"}
    head = {"id": "msg_1", "object": "chat.completion", "model": body["model"], "created": 1}
    return {**head, "choices": [choice], "usage": USAGE}
