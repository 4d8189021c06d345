"""What clients of older agent servers send and read ↔ the Responses API.

No specification of these routes was ever published: the shapes are those that docs/compat.md gives.
"""

import re
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import Field

from retinue.serve.wire.mistakes import invalid
from retinue.serve.wire.strict import Strict

_SESSION = re.compile(r"[ -~]{1,256}")
_ENDS = ("response.completed", "response.incomplete")
_FAILURES = ("error", "response.failed")
_DONE = b"data: [DONE]\n\n"


class CompatSession(Strict):
    """A session by its name."""

    session_id: str | None = None

    @classmethod
    def read(cls, body: bytes) -> Self:
        """A request's body. Raises RequestError, also for a name that no session can have."""
        request = super().read(body)
        if request.session_id is not None and not _SESSION.fullmatch(request.session_id):
            raise invalid("session_id", "must have 1 to 256 plain characters")
        return request


class CompatRequest(CompatSession):
    """A question. Without a `session_id` a session begins, and the answer names it."""

    message: Annotated[str, Field(min_length=1)]
    agent: Annotated[str, Field(max_length=512)] | None = None


def response_request(
    asked: CompatRequest, *, stream: bool, conversation: str | None, file_ids: list[str]
) -> bytes:
    """The same as a body for `/v1/responses`; without a `conversation` nothing is kept."""
    content: list[dict[str, Any]] = [{"type": "input_file", "file_id": one} for one in file_ids]
    content.append({"type": "input_text", "text": asked.message})
    body: dict[str, Any] = {"input": [{"role": "user", "content": content}], "stream": stream}
    if asked.agent:
        body["model"] = asked.agent
    if conversation:
        body["conversation"] = conversation
    else:
        body["store"] = False
    return orjson.dumps(body)


def compat_answer(response: bytes, session_id: str) -> bytes:
    """A response's JSON → `{"response", "session_id", "agent", "status", "usage"}`."""
    given = orjson.loads(response)
    usage = given.get("usage") or {}
    return orjson.dumps(
        {
            "response": _text(given),
            "session_id": session_id,
            "agent": given.get("model"),
            "status": given.get("status"),
            "usage": {
                key: usage.get(key, 0) for key in ("input_tokens", "output_tokens", "total_tokens")
            },
        }
    )


def _text(response: dict[str, Any]) -> str:
    parts = (part for item in response.get("output", ()) for part in item.get("content") or ())
    return "".join(part.get("text") or part.get("refusal") or "" for part in parts)


class CompatFrames:
    """Frames of a streamed response → frames of data alone: `text`, then `end` or `error`."""

    def __init__(self, session_id: str) -> None:
        self._session_id = session_id
        self._rest = b""
        self._over = False

    def frames(self, sent: bytes) -> bytes:
        """What these bytes of the stream become; half a frame waits for its other half."""
        *whole, self._rest = (self._rest + sent).split(b"\n\n")
        return b"".join(self._frame(frame) for frame in whole)

    def _frame(self, frame: bytes) -> bytes:
        line = next((one for one in frame.split(b"\n") if one.startswith(b"data: ")), None)
        if line is None:
            return frame + b"\n\n"  # a comment that keeps the line open
        if line == b"data: [DONE]":
            return _DONE
        event = orjson.loads(line[6:])
        kind = event.get("type", "")
        if kind in ("response.output_text.delta", "response.refusal.delta"):
            return _data("text", content=event["delta"])
        if kind in _ENDS and not self._over:
            self._over = True
            return _data("end", session_id=self._session_id, status=event["response"]["status"])
        if kind in _FAILURES and not self._over:
            self._over = True
            told = event.get("error") or (event.get("response") or {}).get("error") or event
            return _data("error", error={key: told.get(key) for key in ("message", "code")})
        return b""


def _data(kind: Literal["text", "end", "error"], **fields: Any) -> bytes:
    return b"data: " + orjson.dumps({"type": kind, **fields}) + b"\n\n"
