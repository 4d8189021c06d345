"""Events of a run → the events of OpenAI's output items, and the items themselves.

Format: OpenAI's `ResponseStreamEvent` and `OutputItem` (openai-openapi v2.3.0), without
`sequence_number`, which is the stream's.
"""

from collections.abc import Iterator
from typing import Any, Literal

from retinue.run.events import (
    ApprovalRequested,
    Compacted,
    Event,
    ReasoningDelta,
    RefusalDelta,
    RunFinished,
    TextDelta,
    ToolFinished,
    ToolResult,
    ToolStarted,
    TurnStarted,
)
from retinue.run.messages import ToolCall
from retinue.serve.wire.responses_approval import REQUEST
from retinue.serve.wire.steps import StepsMode

Fields = dict[str, Any]
Status = Literal["completed", "incomplete"]
Style = Literal["openai", "mlflow", "openwebui", "hidden"]
"""How the agent's own tool calls are told: as `mcp_call` items, which OpenAI's clients leave
alone, as `function_call` and `function_call_output`, which is all that MLflow's know, as these with
the output in parts, as Open WebUI reads them, or not."""

TEXT_DELTA = "response.output_text.delta"
ITEM_DONE = "response.output_item.done"

OWN_SERVER = "retinue"
"""The label of tools that no server brings."""
_NO_ANSWER = ToolResult("The run ended before the tool had answered.", is_error=True)


def style_for(steps: StepsMode, own: Style) -> Style:
    """Who shows no steps shows no calls; where MLflow's clients ask, they have to find theirs."""
    if steps == "off":
        return "hidden"
    return "openwebui" if steps == "openwebui" and own == "openai" else own


class Output:
    """The items of one answer: give it every event in turn, then `close` it."""

    def __init__(self, token: str, style: Style = "openai", *, refusals: bool = True) -> None:
        """`refusals` may stand in an answer as such, and not as text."""
        self._token = token
        self._style = style
        self._refusal = "refusal" if refusals else "output_text"
        self._done: dict[int, Fields] = {}
        self._count = 0
        self._writing: _Message | _Reasoning | None = None
        self._calls: dict[str, _McpCall | _Answer] = {}

    @property
    def items(self) -> list[Fields]:
        """Those that are done, in the order in which they were begun."""
        return [self._done[index] for index in sorted(self._done)]

    def more_text(self, text: str) -> bool:
        """Whether the text goes on a piece of text that is being written: most of them do."""
        writing = self._writing
        return bool(text) and isinstance(writing, _Message) and writing.more_text(text)

    def add(self, event: Event) -> None:
        """Take the event without telling of it."""
        if not (isinstance(event, TextDelta) and self.more_text(event.text)):
            for _ in self.take(event):
                pass

    def take(self, event: Event) -> Iterator[Fields]:
        """What the event adds: zero or more events of the stream."""
        if isinstance(event, TextDelta):
            yield from self._write("output_text", clean(event.text))
        elif isinstance(event, RefusalDelta):
            yield from self._write(self._refusal, clean(event.text))
        elif isinstance(event, ReasoningDelta):
            yield from self._think(clean(event.text))
        elif isinstance(event, TurnStarted):
            yield from self._put_down("completed")
        elif isinstance(event, Compacted) and self._style != "hidden":
            yield from self._think(f"{event.summary}\n")
        elif isinstance(event, ToolStarted):
            yield from self._put_down("completed")
            yield from self._call(event.call)
        elif isinstance(event, ToolFinished) and self._style != "hidden":
            yield from self._answered(event.call.id, event.result)
        elif isinstance(event, ApprovalRequested):
            yield from self._put_down("completed")
            yield from self._ask(event)
        elif isinstance(event, RunFinished):
            whole = event.reason in ("stop", "tool_calls")
            yield from self.close("completed" if whole else "incomplete")
            for call in event.calls:
                yield from self._function_call(call)

    def close(self, status: Status) -> Iterator[Fields]:
        """End what is under way; a tool that is still at work has no answer any more."""
        yield from self._put_down(status)
        for call_id in tuple(self._calls):
            yield from self._answered(call_id, _NO_ANSWER)

    def _write(self, kind: str, text: str) -> Iterator[Fields]:
        if not text:
            return
        if not isinstance(self._writing, _Message):
            yield from self._put_down("completed")
            self._writing = _Message(*self._place("msg"))
            yield self._writing.added()
        yield from self._writing.write(kind, text)

    def _think(self, text: str) -> Iterator[Fields]:
        if not text:
            return
        if not isinstance(self._writing, _Reasoning):
            yield from self._put_down("completed")
            self._writing = _Reasoning(*self._place("rs"))
            yield from self._writing.added()
        yield self._writing.write(text)

    def _put_down(self, status: Status) -> Iterator[Fields]:
        if self._writing:
            writing, self._writing = self._writing, None
            yield from self._finish(writing.index, writing.end(status))

    def _call(self, call: ToolCall) -> Iterator[Fields]:
        if self._style == "openai":
            begun = _McpCall(*self._place("mcp"), call)
            yield from begun.added()
            self._calls[call.id] = begun
        elif self._style != "hidden":
            yield from self._function_call(call)
            self._calls[call.id] = _Answer(clean(call.id), in_parts=self._style == "openwebui")

    def _answered(self, call_id: str, result: ToolResult) -> Iterator[Fields]:
        begun = self._calls.pop(call_id)
        if isinstance(begun, _McpCall):
            yield from self._finish(begun.index, begun.end(result))
        else:
            item_id, index = self._place("fco")
            yield from self._finish(index, begun.events(item_id, index, result))

    def _ask(self, asked: ApprovalRequested) -> Iterator[Fields]:
        """A question is the same item in each style; its id is what the answer refers to."""
        label, name = server_and_tool(clean(asked.call.name))
        item: Fields = {"id": asked.id, "type": REQUEST, "server_label": label, "name": name}
        item["arguments"] = clean(asked.call.arguments) or "{}"
        _, index = self._place("mcpr")
        yield from self._finish(index, iter((_added(index, item), _done(index, item))))

    def _function_call(self, call: ToolCall) -> Iterator[Fields]:
        item_id, index = self._place("fc")
        yield from self._finish(index, _function_call(item_id, index, call))

    def _finish(self, index: int, events: Iterator[Fields]) -> Iterator[Fields]:
        """The events, of which the last has the item as it is done."""
        for event in events:
            if event["type"] == ITEM_DONE:
                self._done[index] = event["item"]
            yield event

    def _place(self, prefix: str) -> tuple[str, int]:
        """An id and an index for a new item."""
        index = self._count
        self._count += 1
        return f"{prefix}_{self._token}{index:02x}", index


class _Message:
    """A message that is being written: text and refusals are parts of their own."""

    def __init__(self, item_id: str, index: int) -> None:
        self.id = item_id
        self.index = index
        self._parts: list[Fields] = []
        self._kind = ""
        self._pieces: list[str] = []

    def added(self) -> Fields:
        return _added(self.index, self._item("in_progress"))

    def more_text(self, text: str) -> bool:
        if self._kind != "output_text":
            return False
        self._pieces.append(text)
        return True

    def write(self, kind: str, text: str) -> Iterator[Fields]:
        if kind != self._kind:
            yield from self._end_part()
            self._kind = kind
            yield self._event("response.content_part.added", part=_part(kind, ""))
        self._pieces.append(text)
        if kind == "refusal":
            yield self._event("response.refusal.delta", delta=text)
        else:
            yield self._event(TEXT_DELTA, delta=text, logprobs=[])

    def end(self, status: Status) -> Iterator[Fields]:
        yield from self._end_part()
        yield _done(self.index, self._item(status))

    def _end_part(self) -> Iterator[Fields]:
        if not self._kind:
            return
        part = _part(self._kind, clean("".join(self._pieces)))
        if self._kind == "refusal":
            yield self._event("response.refusal.done", refusal=part["refusal"])
        else:
            yield self._event("response.output_text.done", text=part["text"], logprobs=[])
        yield self._event("response.content_part.done", part=part)
        self._parts.append(part)
        self._kind, self._pieces = "", []

    def _event(self, kind: str, **fields: Any) -> Fields:
        head = {"type": kind, "item_id": self.id, "output_index": self.index}
        return {**head, "content_index": len(self._parts), **fields}

    def _item(self, status: str) -> Fields:
        item = {"id": self.id, "type": "message", "status": status, "role": "assistant"}
        return {**item, "content": list(self._parts)}


class _Reasoning:
    """The model's thinking that is being written, as the one part of a summary."""

    def __init__(self, item_id: str, index: int) -> None:
        self.id = item_id
        self.index = index
        self._pieces: list[str] = []

    def added(self) -> Iterator[Fields]:
        yield _added(self.index, {"id": self.id, "type": "reasoning", "summary": []})
        yield self._event("response.reasoning_summary_part.added", part=_summary(""))

    def write(self, text: str) -> Fields:
        self._pieces.append(text)
        return self._event("response.reasoning_summary_text.delta", delta=text)

    def end(self, status: Status) -> Iterator[Fields]:
        part = _summary("".join(self._pieces))
        yield self._event("response.reasoning_summary_text.done", text=part["text"])
        yield self._event("response.reasoning_summary_part.done", part=part)
        item = {"id": self.id, "type": "reasoning", "summary": [part], "status": status}
        yield _done(self.index, item)

    def _event(self, kind: str, **fields: Any) -> Fields:
        head = {"type": kind, "item_id": self.id, "output_index": self.index}
        return {**head, "summary_index": 0, **fields}


class _McpCall:
    """A call of one of the agent's own tools, in OpenAI's style."""

    def __init__(self, item_id: str, index: int, call: ToolCall) -> None:
        self.index = index
        label, name = server_and_tool(clean(call.name))
        self._item = {
            "id": item_id,
            "type": "mcp_call",
            "server_label": label,
            "name": name,
            "arguments": clean(call.arguments),
        }

    def added(self) -> Iterator[Fields]:
        yield _added(self.index, {**self._item, "arguments": "", "status": "in_progress"})
        yield self._event("response.mcp_call.in_progress")
        done = self._event("response.mcp_call_arguments.done")
        yield {**done, "arguments": self._item["arguments"]}

    def end(self, result: ToolResult) -> Iterator[Fields]:
        text = clean(result.text)
        if result.is_error:
            content = [{"type": "text", "text": text}]
            told: Fields = {"error": {"type": "mcp_tool_execution_error", "content": content}}
        else:
            told = {"output": text}
        status = "failed" if result.is_error else "completed"
        yield self._event(f"response.mcp_call.{status}")
        yield _done(self.index, {**self._item, "status": status, **told})

    def _event(self, kind: str) -> Fields:
        return {"type": kind, "item_id": self._item["id"], "output_index": self.index}


class _Answer:
    """The answer to a call of one of the agent's own tools, in MLflow's or Open WebUI's style."""

    def __init__(self, call_id: str, *, in_parts: bool) -> None:
        self._call_id = call_id
        self._in_parts = in_parts

    def events(self, item_id: str, index: int, result: ToolResult) -> Iterator[Fields]:
        text = clean(result.text)
        item = {
            "id": item_id,
            "type": "function_call_output",
            "status": "completed",
            "call_id": self._call_id,
            "output": [{"type": "input_text", "text": text}] if self._in_parts else text,
        }
        yield _added(index, item)
        yield _done(index, item)


def _function_call(item_id: str, index: int, call: ToolCall) -> Iterator[Fields]:
    arguments, name = clean(call.arguments), clean(call.name)
    item = {"id": item_id, "type": "function_call", "call_id": clean(call.id), "name": name}
    place = {"item_id": item_id, "output_index": index}
    yield _added(index, {**item, "arguments": "", "status": "in_progress"})
    yield {"type": "response.function_call_arguments.delta", **place, "delta": arguments}
    done = {"type": "response.function_call_arguments.done", **place, "name": name}
    yield {**done, "arguments": arguments}
    yield _done(index, {**item, "arguments": arguments, "status": "completed"})


def _added(index: int, item: Fields) -> Fields:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def _done(index: int, item: Fields) -> Fields:
    return {"type": ITEM_DONE, "output_index": index, "item": item}


def _part(kind: str, text: str) -> Fields:
    if kind == "refusal":
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _summary(text: str) -> Fields:
    return {"type": "summary_text", "text": text}


def server_and_tool(name: str) -> tuple[str, str]:
    """`sales__ask` → `("sales", "ask")`; a tool that no server brings is Retinue's own."""
    server, _, tool = name.partition("__")
    return (server, tool) if server and tool else (OWN_SERVER, name)


def exposed_name(server: str, tool: str) -> str:
    """The other way round."""
    return tool if server == OWN_SERVER else f"{server}__{tool}"


def clean(text: str) -> str:
    """Half a surrogate pair has no UTF-8; a question mark stands for it."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
