"""A chat completion → an answer of `/invocations` to `messages`, in both of MLflow's forms at once.

Nothing in a request tells MLflow's ChatModel from its ChatAgent, and the keys of their answers
don't meet: a completion with `messages`, a chunk with `delta` at its root is both.
Format: MLflow's `ChatAgentResponse` and `ChatAgentChunk` (mlflow 3.18).
"""

from typing import Any

import orjson

from retinue.run.events import Event, RunFinished
from retinue.serve.wire.chat import ChatAnswer, ChatStream, Head, call_object
from retinue.serve.wire.errors import ErrorAnswer

_DATA = b"data: "
_END = b"\n\n"


class AgentChatStream:
    """The frames of one streamed answer."""

    def __init__(self, head: Head, chat: ChatStream) -> None:
        self._head = head
        self._chat = chat

    @property
    def finish(self) -> RunFinished | None:
        """The run's last event, once it came."""
        return self._chat.finish

    def frames(self, event: Event) -> bytes:
        """Zero or more whole SSE events for this event of the run."""
        frames = self._chat.frames(event).split(_END)
        return _END.join(self._both(frame) for frame in frames)

    def failure(self, error: ErrorAnswer) -> bytes:
        """The frames that end a stream which has failed."""
        return self._chat.failure(error)

    def _both(self, frame: bytes) -> bytes:
        if not frame.startswith(_DATA + b"{"):
            return frame
        chunk: dict[str, Any] = orjson.loads(frame[len(_DATA) :])
        choice: dict[str, Any] = next(iter(chunk["choices"]), {})
        delta = choice.get("delta", {})
        text = delta.get("content") or delta.get("refusal") or ""
        told: dict[str, Any] = {"role": "assistant", "content": text, "id": self._head.id}
        if choice.get("finish_reason"):
            chunk["finish_reason"] = choice["finish_reason"]
            if self.finish and self.finish.calls:
                # Whole, as this form has no pieces of a call.
                told["tool_calls"] = [call_object(call) for call in self.finish.calls]
        chunk["delta"] = told
        return _DATA + orjson.dumps(chunk)


class AgentChatAnswer:
    """A fold over the events of a run: `add` each, then `body` is the whole answer."""

    def __init__(self, head: Head, chat: ChatAnswer) -> None:
        self._head = head
        self._chat = chat

    @property
    def finish(self) -> RunFinished | None:
        """The run's last event, once it came."""
        return self._chat.finish

    def add(self, event: Event) -> None:
        """Take the next event."""
        self._chat.add(event)

    def body(self) -> bytes:
        """The answer as JSON. Only for a run that has finished."""
        completion: dict[str, Any] = orjson.loads(self._chat.body())
        (choice,) = completion["choices"]
        message = choice["message"]
        told = {"role": "assistant", "id": self._head.id}
        told["content"] = message["content"] or message["refusal"] or ""
        if "tool_calls" in message:
            told["tool_calls"] = message["tool_calls"]
        return orjson.dumps(
            {**completion, "messages": [told], "finish_reason": choice["finish_reason"]}
        )
