"""The bytes of an answer that a library reads → how it ended, a bound on it, and its hanging up."""

import asyncio
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

from retinue.errors import ModelError

# Bytes of one answer. A stream spends some hundred on a word, and an answer's text is bounded too.
LONGEST_BODY = 64_000_000

_EDGE = 512

_wire: ContextVar["Wire | None"] = ContextVar("retinue_wire", default=None)


class Wire:
    """One call's answer as bytes: how it began, how it ended, and the connection to let go."""

    def __init__(self) -> None:
        self.fault: ModelError | None = None
        self._response: Any = None
        self._size = 0
        self._head = b""
        self._tail = b""

    def watch(self) -> None:
        """Take the next answer that this task's call gets."""
        _wire.set(self)

    @property
    def was_cut(self) -> bool:
        """Whether Anthropic's framing, if it is that, lacks the event that ends it.

        The finish reason comes before that event, and LiteLLM asks for no more than the reason.
        """
        return b"message_start" in self._head and b"message_stop" not in self._tail

    def took(self, response: Any) -> None:
        self._response = response

    def saw(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > LONGEST_BODY:
            self.fault = ModelError(
                "unavailable", f"the model's answer grew over {LONGEST_BODY:,} bytes"
            )
            raise self.fault
        if len(self._head) < _EDGE:
            self._head += piece[:_EDGE]
        self._tail = (self._tail + piece)[-_EDGE:]

    async def hang_up(self) -> None:
        """Close the connection, if the answer isn't at its end. LiteLLM leaves that to chance."""
        if self._response is not None:
            with suppress(Exception):
                await asyncio.shield(self._response.aclose())


def current_wire() -> Wire | None:
    """What watches the call that this task makes."""
    return _wire.get()
