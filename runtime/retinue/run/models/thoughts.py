"""Pieces of a provider's thinking blocks → whole `Thought`s."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from retinue.run.messages import Thought


class Thoughts:
    """One answer's thinking, as it comes in.

    Pieces are Anthropic's `thinking` and `redacted_thinking` blocks; a signature ends a block.
    What stays unsigned is not kept: no provider takes it back.
    """

    def __init__(self) -> None:
        self._whole: list[Thought] = []
        self._text: list[str] = []

    def take(self, pieces: Iterable[Mapping[str, Any]]) -> None:
        for piece in pieces:
            if data := piece.get("data"):
                self._whole.append(Thought(data=data))
                continue
            self._text.append(piece.get("thinking") or "")
            if signature := piece.get("signature"):
                self._whole.append(Thought("".join(self._text), signature))
                self._text = []

    def end(self) -> Iterator[Thought]:
        """The blocks, in the provider's order."""
        yield from self._whole
