"""An exception → a status, headers and OpenAI's error object. Nothing of its insides leaks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson

from retinue.errors import (
    ModelError,
    ModelFault,
    NotReadyError,
    PromptError,
    RequestError,
    RetinueError,
    RunError,
    StoreDownError,
    StoreError,
)

_INVALID = "invalid_request_error"
_SERVER = "server_error"
# The official clients try 5xx again by themselves; here that would only repeat the failure.
_NO_RETRY = {"x-should-retry": "false"}
_CHALLENGE = {"www-authenticate": "Bearer"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorAnswer:
    """An error as it goes out. `unexpected` marks a bug: it belongs in the log."""

    status: int
    type: str
    message: str
    param: str | None = None
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    unexpected: bool = False

    @property
    def object(self) -> dict[str, Any]:
        """OpenAI's error object: all four keys, always."""
        keys = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": keys}

    @property
    def phrase(self) -> str:
        """The status in words."""
        return HTTPStatus(self.status).phrase

    @property
    def body(self) -> bytes:
        return orjson.dumps(self.object)


class RefusedError(RetinueError):
    """The server takes the request on neither now nor as it is; `answer` is what it says."""

    def __init__(self, answer: ErrorAnswer) -> None:
        super().__init__(answer.message)
        self.answer = answer


def overloaded() -> ErrorAnswer:
    """The process has all the runs that it takes on."""
    return ErrorAnswer(
        status=503,
        type=_SERVER,
        message="The server is busy. Please ask again in a moment.",
        code="server_overloaded",
        headers={"retry-after": "1"},
    )


def too_many(message: str, seconds: int) -> ErrorAnswer:
    """One caller asks more than it may; `seconds` are until it may again."""
    return ErrorAnswer(
        status=429,
        type="rate_limit_error",
        message=message,
        code="rate_limit_exceeded",
        headers={"retry-after": str(seconds)},
    )


def used_up(message: str, seconds: int) -> ErrorAnswer:
    """One caller has used what it may; `seconds` are until it may use more. In OpenAI's form."""
    return ErrorAnswer(
        status=429,
        type="insufficient_quota",
        message=message,
        code="insufficient_quota",
        headers={"retry-after": str(seconds), **_NO_RETRY},
    )


# kind → (status, type, code, whether a client may try again)
_MODEL_FAULTS: Mapping[ModelFault, tuple[int, str, str, bool]] = {
    "auth": (502, _SERVER, "model_access_denied", False),
    "bad_output": (502, _SERVER, "output_not_valid", False),
    "bad_request": (400, _INVALID, "model_refused_request", False),
    "content_filter": (400, _INVALID, "content_filter", False),
    "context_window": (400, _INVALID, "context_length_exceeded", False),
    "not_found": (502, _SERVER, "model_endpoint_not_found", False),
    "not_supported": (400, _INVALID, "unsupported_by_model", False),
    "rate_limit": (429, "rate_limit_error", "rate_limit_exceeded", True),
    "timeout": (504, _SERVER, "model_timeout", True),
    "truncated": (502, _SERVER, "model_answer_truncated", True),
    "unavailable": (503, _SERVER, "model_unavailable", True),
}


def answer(error: BaseException) -> ErrorAnswer:
    """The answer for any exception; what isn't in the table is a bug and stays opaque."""
    if isinstance(error, RequestError):
        return request_error(error)
    if isinstance(error, RefusedError):
        return error.answer
    if isinstance(error, ModelError):
        return _model_error(error)
    if isinstance(error, RunError):
        return ErrorAnswer(
            status=504,
            type=_SERVER,
            message=_sentence(error),
            code="run_timeout",
            headers=_NO_RETRY,
        )
    if isinstance(error, NotReadyError):
        return ErrorAnswer(
            status=503,
            type=_SERVER,
            message=str(error),
            code="agent_not_ready",
            headers={"retry-after": "5"},
        )
    if isinstance(error, StoreDownError):
        wait = str(max(1, math.ceil(error.retry_after)))
        return ErrorAnswer(
            status=503,
            type=_SERVER,
            message=str(error),
            code="store_unavailable",
            headers={"retry-after": wait},
        )
    if isinstance(error, StoreError):
        return ErrorAnswer(
            status=503, type=_SERVER, message=str(error), code="store_unusable", headers=_NO_RETRY
        )
    if isinstance(error, PromptError):
        return ErrorAnswer(
            status=500, type=_SERVER, message=str(error), code="prompt_failed", headers=_NO_RETRY
        )
    return ErrorAnswer(
        status=500,
        type=_SERVER,
        message="The server failed; its log says why, under this answer's x-request-id.",
        code="internal_error",
        headers=_NO_RETRY,
        unexpected=True,
    )


def request_error(error: RequestError) -> ErrorAnswer:
    """The caller's own mistake."""
    return ErrorAnswer(
        status=error.status,
        type=_INVALID,
        message=str(error),
        param=error.param,
        code=error.code or "invalid_value",
        headers=_CHALLENGE if error.status == HTTPStatus.UNAUTHORIZED else {},
    )


def _model_error(error: ModelError) -> ErrorAnswer:
    status, kind, code, again = _MODEL_FAULTS[error.kind]
    # The official clients leave other 4xx alone by themselves; a quota that is used up is no
    # passing limit.
    retried = status >= 500 or status == HTTPStatus.TOO_MANY_REQUESTS
    headers = dict(_NO_RETRY) if retried and (error.permanent or not again) else {}
    if error.retry_after is not None and again:
        headers["retry-after"] = str(max(0, math.ceil(error.retry_after)))
    param = "messages" if error.kind == "context_window" else None
    return ErrorAnswer(
        status=status, type=kind, message=_sentence(error), param=param, code=code, headers=headers
    )


def _sentence(error: RunError | ModelError) -> str:
    """What it says, which elsewhere stands within a sentence."""
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


STOPPING = ErrorAnswer(
    status=503,
    type=_SERVER,
    message="The server is stopping. Please ask again.",
    code="server_stopping",
    headers={"retry-after": "1"},
)


DRAINING = ErrorAnswer(
    status=503,
    type=_SERVER,
    message="This server takes no more requests. Please ask again.",
    code="server_draining",
    headers={"retry-after": "1"},
)


def _not_http(status: int, message: str, code: str) -> ErrorAnswer:
    return ErrorAnswer(status=status, type=_INVALID, message=message, code=code)


# What is wrong with a request's head, before there is a request.
MALFORMED = _not_http(400, "This is not a valid HTTP request.", "malformed_request")
HEAD_TOO_LARGE = _not_http(431, "The request's headers are too large.", "headers_too_large")
HEAD_TOO_SLOW = _not_http(408, "The request's headers did not arrive in time.", "request_timeout")


def http_error(status: int, method: str, path: str, headers: Mapping[str, str]) -> ErrorAnswer:
    """A status that routing arrived at: unknown path, wrong method."""
    if status == HTTPStatus.NOT_FOUND:
        message, code = f"Unknown path: {method} {path[:200]}", "unknown_path"
    elif status == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = headers.get("allow", "")
        message, code = f"{path[:200]} takes {allowed}, not {method}.", "method_not_allowed"
    else:
        message, code = f"{HTTPStatus(status).phrase}.", "http_error"
    kind = _INVALID if status < 500 else _SERVER
    return ErrorAnswer(status=status, type=kind, message=message, code=code, headers=headers)
