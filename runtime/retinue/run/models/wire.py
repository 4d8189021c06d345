"""The bytes of an answer that a library reads → how it ended, a bound on it, and its hanging up."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import orjson

from retinue.errors import ModelError
from retinue.run.models.faults import refusal

# Bytes of one answer. A stream spends some hundred on a word, and an answer's text is bounded too.
LONGEST_BODY = 64_000_000

_EDGE = 512
# Seconds for the end of an answer that is complete, so that its connection can be used again.
_END_WAIT = 0.05

# Framings that LiteLLM takes for finished too early, by what they begin with and what is in their
# last event: Anthropic's own end comes after the finish reason, and for Gemini's every event
# counts as one with a reason. As keys and types they stand in plain quotes; in a text these would
# be escaped.
_FRAMINGS = {b'"message_start"': b'"message_stop"', b'"candidates"': b'"finishReason"'}

# Reasons for an end of which LiteLLM makes a plain `stop`.
_OVERRAN = b'"model_context_window_exceeded"'
_MALFORMED = (
    b'"malformed_model_output"',
    b'"malformed_tool_use"',
    b'"MALFORMED_FUNCTION_CALL"',
    b'"UNEXPECTED_TOOL_CALL"',
)

_MARKS = (*_FRAMINGS.values(), _OVERRAN, *_MALFORMED)
_LONGEST_MARK = max(map(len, _MARKS))

_wire: ContextVar["Wire | None"] = ContextVar("retinue_wire", default=None)


class Wire:
    """One call's answer as bytes: whether it reached its end, and the connection to let go.

    `refused` is the beginning of one that is no success.
    """

    def __init__(self) -> None:
        self.fault: ModelError | None = None
        self.refused = b""
        self._response: Any = None
        self._size = 0
        self._head = b""
        self._tail = b""
        self._seen: set[bytes] = set()

    def watch(self) -> None:
        """Take the next answer that this task's call gets."""
        _wire.set(self)

    @property
    def has_chat_completion(self) -> bool:
        """Whether what is watched answers a request to OpenAI's endpoint for them."""
        if self._response is None:
            return False
        path: str = self._response.request.url.path
        return path.endswith("/chat/completions")

    @property
    def redirected(self) -> bool:
        """Whether the answer only points elsewhere."""
        return self._response is not None and 300 <= self._response.status_code < 400

    def refusal(self, model: str) -> ModelError | None:
        """What an answer that is no success says, as far as one was seen."""
        if self._response is None or self._response.is_success:
            return None
        try:
            body = orjson.loads(self.refused)
        except orjson.JSONDecodeError:
            body = None
        return refusal(self._response.status_code, self._response.headers, body, model)

    @property
    def was_cut(self) -> bool:
        """Whether the event that ends this framing, where it is a known one, isn't there whole."""
        if not self._head.lstrip().startswith((b"event:", b"data:")):
            return False
        ends = [end for begin, end in _FRAMINGS.items() if begin in self._head]
        return bool(ends) and not (self._seen.issuperset(ends) and self._tail.endswith(b"\n"))

    @property
    def overran(self) -> bool:
        """Whether the answer ended because the model's context was full."""
        return _OVERRAN in self._seen

    @property
    def is_malformed(self) -> bool:
        """Whether the provider gave up on what the model wrote."""
        return not self._seen.isdisjoint(_MALFORMED)

    def took(self, response: Any) -> None:
        self._response = response

    @property
    def response(self) -> Any:
        """The answer that is watched, an `httpx.Response`; None where LiteLLM used no such."""
        return self._response

    def saw(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > LONGEST_BODY:
            self.fault = ModelError(
                "unavailable", f"the model's answer grew over {LONGEST_BODY:,} bytes"
            )
            raise self.fault
        if len(self._head) < _EDGE:
            self._head += piece[:_EDGE]
        window = self._tail + piece
        self._seen.update(mark for mark in _MARKS if mark in window)
        self._tail = window[-_LONGEST_MARK:]

    async def hang_up(self) -> None:
        """Close the connection, if the answer isn't at its end. LiteLLM leaves that to chance."""
        if self._response is not None:
            with suppress(Exception):
                await asyncio.shield(self._response.aclose())


class Body:
    """The bytes of an `httpx.Response`, read here: a `Source` of `answered`.

    `tell` awaits a step, and raises ModelError for whatever goes wrong in it.
    """

    def __init__(
        self, response: Any, tell: Callable[[Awaitable[bytes], bool], Awaitable[bytes]]
    ) -> None:
        self.started = False
        self._response = response
        self._pieces: AsyncGenerator[bytes, None] = response.aiter_raw()
        self._tell = tell

    @property
    def encoding(self) -> str:
        """The answer's content encoding."""
        found: str = self._response.headers.get("content-encoding", "")
        return found

    async def read(self, until: float | None = None) -> bytes:
        """As `Source.read`."""
        if until is None:
            return await self._tell(anext(self._pieces, b""), self.started)
        try:
            async with asyncio.timeout_at(until):
                return await self._tell(anext(self._pieces, b""), self.started)
        except (ModelError, TimeoutError):
            return b""

    async def drain(self) -> None:
        """As `Source.drain`."""
        await self.read(asyncio.get_running_loop().time() + _END_WAIT)

    async def aclose(self) -> None:
        """As `Source.aclose`; the connection is the watching `Wire`'s to hang up."""
        with suppress(Exception):
            await self._pieces.aclose()


def current_wire() -> Wire | None:
    """What watches the call that this task makes."""
    return _wire.get()
