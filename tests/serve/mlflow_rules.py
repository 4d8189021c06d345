"""What MLflow and Databricks' chat template take, as far as they check it (mlflow 3.18)."""

import json
from typing import Any

ITEMS = {"message", "function_call", "function_call_output", "reasoning", "mcp_approval_request"}


def agent_response(body: dict) -> dict:
    """A ResponsesAgentResponse, which the template reads too."""
    assert isinstance(body["output"], list)
    for item in body["output"]:
        output_item(item)
    usage = body["usage"]
    counts = ("input_tokens", "output_tokens", "total_tokens")
    assert all(isinstance(usage[key], int) for key in counts)
    for key in ("id", "model", "object"):
        assert isinstance(body[key], str)
    assert isinstance(body["created_at"], int)
    assert body["status"] in ("completed", "incomplete")
    assert all(isinstance(v, str) for v in body.get("metadata", {}).values())
    no_nulls(body)
    return body


def output_item(item: dict) -> None:
    """An item of `output`, also of one that is done."""
    assert item["type"] in ITEMS
    assert item["id"]
    assert item.get("status") in (None, "in_progress", "completed", "incomplete")
    if item["type"] == "message":
        assert item["role"] == "assistant"
        assert item["content"]
        for part in item["content"]:
            assert part["type"] == "output_text"
            assert isinstance(part["text"], str)
            assert part["annotations"] == []
    elif item["type"] == "function_call":
        assert all(isinstance(item[key], str) for key in ("call_id", "name", "arguments"))
    elif item["type"] == "function_call_output":
        assert isinstance(item["call_id"], str)
        assert isinstance(item["output"], str)
    elif item["type"] == "mcp_approval_request":
        assert all(isinstance(item[key], str) for key in ("server_label", "name", "arguments"))
    else:
        assert all(part["type"] == "summary_text" for part in item["summary"])


def no_nulls(value: Any) -> None:
    """Keys are absent rather than null."""
    assert value is not None
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            no_nulls(inner)
        else:
            assert inner is not None


def data_frames(raw: bytes) -> list[dict]:
    """A stream of data alone, with `[DONE]` at its end."""
    frames = raw.decode().split("\n\n")
    assert frames.pop() == ""
    assert frames.pop() == "data: [DONE]"
    assert all(frame.startswith("data: {") for frame in frames)
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


def agent_stream(raw: bytes) -> dict:
    """The answer that the template puts together from a ResponsesAgent's stream."""
    items: list[dict] = []
    written: dict[str, str] = {}
    *events, last = data_frames(raw)
    for event in events:
        if event["type"] == "response.output_text.delta":
            assert isinstance(event["content_index"], int)
            assert isinstance(event["output_index"], int)
            written[event["item_id"]] = written.get(event["item_id"], "") + event["delta"]
        else:
            assert event["type"] == "response.output_item.done"
            output_item(event["item"])
            items.append(event["item"])
    for item in items:
        if item["type"] == "message":
            assert written.pop(item["id"]) == "".join(part["text"] for part in item["content"])
    assert not written
    if last["type"] == "error":
        assert isinstance(last["code"], str)
        assert isinstance(last["message"], str)
        assert last["error"]["message"] == last["message"]
        return {"output": items, "error": last["error"]}
    response = agent_response(last["response"])
    assert last["type"] == f"response.{response['status']}"
    order = [item["id"] for item in response["output"]]
    assert sorted(order) == sorted(item["id"] for item in items)
    return response


def chat_agent_message(message: dict) -> None:
    """A ChatAgentMessage of an answer."""
    assert message["role"] == "assistant"
    assert isinstance(message["content"], str)
    assert message["id"]
