"""What a stream of response events has to be, as the strictest of its readers take it."""

import json
import re

TERMINAL = ("response.completed", "response.incomplete", "response.failed")


def parsed(raw: bytes) -> list[dict]:
    """The events of a stream; every frame has OpenAI's form, and `[DONE]` is the last."""
    frames = raw.decode().split("\n\n")
    assert frames.pop() == ""
    assert frames.pop() == "data: [DONE]"
    events = []
    for frame in frames:
        match = re.fullmatch(r"event: ([a-z_.]+)\ndata: (\{.*\})", frame)
        assert match, frame
        events.append(json.loads(match[2]))
        assert events[-1]["type"] == match[1]
    return events


def replayed(events: list[dict]) -> dict:
    """The response that the events make, when they come in a legal order; fails where not."""
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [kind for kind in kinds if kind in TERMINAL] == kinds[-1:]
    ids = {event["response"]["id"] for event in events if "response" in event}
    assert len(ids) == 1
    items: list[dict] = []
    done: dict[int, dict] = {}
    for event in events[2:-1]:
        if event["type"] != "error":
            _replay(event, items, done)
    final = events[-1]["response"]
    assert final["output"] == [done[n] for n in range(len(items))]
    assert final["status"] == events[-1]["type"].removeprefix("response.")
    return final


def _replay(event: dict, items: list[dict], done: dict[int, dict]) -> None:
    index, kind = event["output_index"], event["type"]
    if kind == "response.output_item.added":
        assert index == len(items)
        items.append(event["item"])
        return
    assert index < len(items)
    assert index not in done
    item = items[index]
    if kind == "response.output_item.done":
        assert (item["id"], item["type"]) == (event["item"]["id"], event["item"]["type"])
        assert_written(item, event["item"])
        done[index] = event["item"]
        return
    assert event["item_id"] == item["id"]
    _write(kind, event, item)


def _write(kind: str, event: dict, item: dict) -> None:
    if kind == "response.content_part.added":
        assert event["content_index"] == len(item["content"])
        item["content"].append(event["part"])
    elif kind == "response.output_text.delta":
        item["content"][event["content_index"]]["text"] += event["delta"]
        assert event["content_index"] == len(item["content"]) - 1
    elif kind == "response.refusal.delta":
        item["content"][event["content_index"]]["refusal"] += event["delta"]
    elif kind in ("response.output_text.done", "response.refusal.done"):
        key = "text" if "text" in event else "refusal"
        assert event[key] == item["content"][event["content_index"]][key]
    elif kind == "response.content_part.done":
        assert event["part"] == item["content"][event["content_index"]]
    elif kind == "response.reasoning_summary_part.added":
        assert event["summary_index"] == len(item["summary"])
        item["summary"].append(event["part"])
    elif kind == "response.reasoning_summary_text.delta":
        item["summary"][event["summary_index"]]["text"] += event["delta"]
    elif kind == "response.reasoning_summary_text.done":
        assert event["text"] == item["summary"][event["summary_index"]]["text"]
    elif kind == "response.reasoning_summary_part.done":
        assert event["part"] == item["summary"][event["summary_index"]]
    elif kind == "response.function_call_arguments.delta":
        item["arguments"] += event["delta"]
    elif kind in ("response.function_call_arguments.done", "response.mcp_call_arguments.done"):
        item["arguments"] = event["arguments"]
    else:
        assert kind.startswith("response.mcp_call."), kind
        item["status"] = kind.removeprefix("response.mcp_call.")


def assert_written(built: dict, done: dict) -> None:
    """The item as it is done has what was written to it before."""
    for key in ("content", "summary", "arguments", "name", "server_label", "call_id"):
        assert built.get(key) == done.get(key)
    if done["type"] == "mcp_call":
        assert built["status"] == done["status"]
        assert ("output" in done) != ("error" in done)
