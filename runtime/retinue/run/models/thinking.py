"""A provider's thinking blocks, whole or in pieces → thoughts to send back with tool results.

Shapes: Anthropic's `thinking` and `redacted_thinking`, which litellm keeps, and Databricks'
`reasoning` with a `summary`.
"""

from collections.abc import Iterator
from typing import Any

from retinue.run.messages import Thought
from retinue.run.models.shape import mapping, sequence, text
from retinue.run.ports import ModelRequest


class Thinking:
    """The thoughts of one answer. Those that no provider has signed aren't worth sending back."""

    def __init__(self) -> None:
        self._thoughts: list[Thought] = []
        self._open: list[str] = []

    def add(self, block: Any) -> str:
        """The block's own text, empty for other kinds of blocks. Raises ModelError."""
        block = mapping(block)
        kind = block.get("type")
        if kind == "reasoning":
            return "".join([self._summary(item) for item in sequence(block.get("summary"))])
        if kind == "thinking":
            return self._add(text(block.get("thinking")), text(block.get("signature")))
        if kind == "redacted_thinking":
            self._thoughts.append(Thought(data=text(block.get("data"))))
        return ""

    def _summary(self, item: Any) -> str:
        item = mapping(item)
        if item.get("type") == "summary_encrypted_text":
            self._thoughts.append(Thought(data=text(item.get("data"))))
            return ""
        return self._add(text(item.get("text")), text(item.get("signature")))

    def _add(self, piece: str, signature: str) -> str:
        self._open.append(piece)
        if signature:
            self._thoughts.append(Thought("".join(self._open), signature))
            self._open.clear()
        return piece

    def thoughts(self) -> Iterator[Thought]:
        """The signed thoughts, in order."""
        yield from self._thoughts


def must_not_think(request: ModelRequest) -> bool:
    """Whether Claude would refuse to think.

    It does where a tool is forced, and where tools' results come back to an answer of which its
    own signed thoughts are missing: the caller's own tools, or another model's answer.
    """
    if request.tools and request.tool_choice not in ("auto", "none"):
        return True
    last = next((m for m in reversed(request.messages) if m.role != "tool"), None)
    return last is not None and bool(last.tool_calls) and not last.thoughts
