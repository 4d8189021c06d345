"""What a provider's client raised → a `ModelError` in our words."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from retinue.errors import ModelError, ModelFault

# By the name of an exception's class or of one it derives from; litellm's derive from openai's.
_BY_CLASS: Mapping[str, ModelFault] = {
    "ContextWindowExceededError": "context_window",
    "ContentPolicyViolationError": "content_filter",
    "UnsupportedParamsError": "not_supported",
    "AuthenticationError": "auth",
    "PermissionDeniedError": "auth",
    "NotFoundError": "not_found",
    "RateLimitError": "rate_limit",
    "Timeout": "timeout",
    "APITimeoutError": "timeout",
    "TimeoutException": "timeout",
    "BadRequestError": "bad_request",
    "UnprocessableEntityError": "bad_request",
}
_BY_STATUS: Mapping[int, ModelFault] = {
    401: "auth",
    403: "auth",
    402: "rate_limit",
    404: "not_found",
    408: "timeout",
    413: "context_window",
    429: "rate_limit",
    504: "timeout",
}
# Those with which a provider says that it may do better later.
_PASSING = frozenset({409, 425})
# Codes and types in a body, which say more than its status: OpenAI's, Azure's, Anthropic's and
# Databricks'.
_BY_CODE: Mapping[str, ModelFault] = {
    "context_length_exceeded": "context_window",
    "string_above_max_length": "context_window",
    "request_too_large": "context_window",
    "content_policy_violation": "content_filter",
    "content_filter": "content_filter",
    "responsibleaipolicyviolation": "content_filter",
    "insufficient_quota": "rate_limit",
    "billing_hard_limit_reached": "rate_limit",
    "billing_not_active": "rate_limit",
    "rate_limit_exceeded": "rate_limit",
    "rate_limit_error": "rate_limit",
    "request_limit_exceeded": "rate_limit",
    "resource_exhausted": "rate_limit",
    "invalid_api_key": "auth",
    "authentication_error": "auth",
    "permission_error": "auth",
    "permission_denied": "auth",
    "unauthenticated": "auth",
    "model_not_found": "not_found",
    "deploymentnotfound": "not_found",
    "endpoint_not_found": "not_found",
    "resource_does_not_exist": "not_found",
    "unsupported_parameter": "not_supported",
    "unsupported_value": "not_supported",
    "deadline_exceeded": "timeout",
    "overloaded_error": "unavailable",
    "temporarily_unavailable": "unavailable",
    "internal_error": "unavailable",
    "server_error": "unavailable",
}
_USED_UP = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
# What providers without a code for it write of a conversation that is too long.
_TOO_LONG = re.compile(
    r"context[ _-]?(length|window)|maximum context|prompt is too long|input is too long"
    r"|too many (input )?tokens",
    re.IGNORECASE,
)
# litellm's words for an id without a provider; there is no exception of its own for it.
_NO_PROVIDER = "LLM Provider NOT provided"
_NOT_CONNECTED = (
    "ConnectError",
    "ConnectTimeout",
    "ClientConnectorError",
    "ConnectionRefusedError",
)
_WORDS: Mapping[ModelFault, str] = {
    "auth": "did not accept the credentials",
    "bad_output": "did not answer in the form that was asked for",
    "bad_request": "refused the request",
    "content_filter": "refused the content by its own policy",
    "context_window": "can't take a conversation this long",
    "not_found": "is not known to its provider",
    "not_supported": "does not support what the request asks for",
    "rate_limit": "is over its rate limit",
    "timeout": "did not answer in time",
    "truncated": "broke off its answer",
    "unavailable": "is not available",
}


def model_error(
    error: Exception, model: str, *, started: bool, missing: Sequence[str] = ()
) -> ModelError:
    """The error for a failed call of `model`, with nothing of the provider's own text.

    `started` is whether output had come in; `missing` names environment variables of
    credentials that are not set, which explain a call that met no answer at all.
    """
    if _NO_PROVIDER in str(error):
        hint = "write provider/model, such as databricks/<endpoint>"
        return ModelError("not_found", f"'{model}' names no provider that is known: {hint}")
    unreached = not started and _unreached(error)
    cause = getattr(error, "original_exception", None)
    if isinstance(cause, Exception) and not started:
        error = cause
    headers = getattr(error, "litellm_response_headers", None) or {}
    status = getattr(error, "status_code", None)
    kind = _kind(error)
    if missing and not headers and kind in ("auth", "unavailable"):
        return ModelError(
            "auth",
            f"the model '{model}' needs {' and '.join(missing)} in the environment or in .env",
        )
    if started and kind in ("unavailable", "timeout", "bad_request"):
        kind = "truncated"
    # A status without headers is litellm's invention.
    shown = f" (status {status})" if status and headers and kind != "truncated" else ""
    words = f"the model '{model}' {_WORDS[kind]}{shown}"
    if unreached and kind == "unavailable":
        words = f"the model '{model}' can't be reached: no connection to its address"
    return ModelError(kind, words, retry_after=_seconds(headers.get("retry-after")))


def _unreached(error: BaseException | None) -> bool:
    """Whether the cause, behind litellm's wrapping, is that nothing could be connected to."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if type(error).__name__ in _NOT_CONNECTED:
            return True
        error = error.__cause__ or error.__context__
    return False


def _kind(error: Exception) -> ModelFault:
    for ancestor in type(error).__mro__:
        if kind := _BY_CLASS.get(ancestor.__name__):
            return _closer(error) if kind == "bad_request" else kind
    status = getattr(error, "status_code", None)
    return _of_status(status) if isinstance(status, int) else "unavailable"


def _closer(refusal: Exception) -> ModelFault:
    words = f"{getattr(refusal, 'code', '')} {refusal}".lower()
    plain: ModelFault = "context_window" if _TOO_LONG.search(words) else "bad_request"
    return next((kind for code, kind in _BY_CODE.items() if code in words), plain)


def refusal(status: int, headers: Mapping[str, str], body: Any, model: str) -> ModelError:
    """The error for an HTTP answer that is no success; `body` is its JSON, or None."""
    if 300 <= status < 400:
        return ModelError(
            "auth",
            f"the model '{model}' answered with a redirect (status {status}), as to a login "
            "page: check its address and credentials",
        )
    kind, used_up = _told(status, body)
    used_up = used_up or status == 402
    words = "has used up its quota" if used_up else _WORDS[kind]
    return ModelError(
        kind,
        f"the model '{model}' {words} (status {status})",
        retry_after=_wait(headers),
        permanent=used_up,
    )


def failure(chunk: Mapping[str, Any], model: str, *, started: bool) -> ModelError | None:
    """The error that a chunk of an answer tells of, if it does; `started` as for `model_error`."""
    told = chunk.get("error")
    if not told and "error_code" not in chunk and chunk.get("object") != "error":
        return None
    details = told if isinstance(told, Mapping) else chunk
    status = details.get("code") if isinstance(details.get("code"), int) else None
    kind, used_up = _told(status or 500, chunk)
    if started and kind in ("unavailable", "timeout", "bad_request"):
        kind = "truncated"
    words = "has used up its quota" if used_up else _WORDS[kind]
    return ModelError(kind, f"the model '{model}' {words}", permanent=used_up)


def broken(model: str, *, started: bool, connected: bool) -> ModelError:
    """The error for a connection that failed, before an answer began or amid it."""
    if not connected:
        words = "can't be reached: no connection to its address"
        return ModelError("unavailable", f"the model '{model}' {words}")
    kind: ModelFault = "truncated" if started else "unavailable"
    words = _WORDS[kind] if started else "closed the connection without an answer"
    return ModelError(kind, f"the model '{model}' {words}")


def _told(status: int, body: Any) -> tuple[ModelFault, bool]:
    """What a status and a body say together, and whether a quota is used up."""
    codes = list(_codes(body))
    used_up = any(code in _USED_UP for code in codes)
    kind = next((_BY_CODE[code] for code in codes if code in _BY_CODE), None)
    plain = _of_status(status)
    # A code makes a refusal clearer; it doesn't turn a failure into the caller's mistake.
    if kind and (plain == "bad_request" or status == 500 or kind in ("rate_limit", "auth")):
        return kind, used_up
    if plain == "bad_request" and any(_TOO_LONG.search(text) for text in _messages(body)):
        return "context_window", False
    return plain, used_up


def _of_status(status: int) -> ModelFault:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return "bad_request" if 400 <= status < 500 and status not in _PASSING else "unavailable"


def _errors(body: Any) -> Iterator[Mapping[str, Any]]:
    """The objects that may tell of an error: the body, its `error` and that one's own."""
    while isinstance(body, Mapping):
        yield body
        inner = body.get("error")
        body = inner if isinstance(inner, Mapping) else body.get("innererror")


def _codes(body: Any) -> Iterator[str]:
    for told in _errors(body):
        for name in ("code", "type", "error_code"):
            if isinstance(code := told.get(name), str):
                yield code.lower()


def _messages(body: Any) -> Iterator[str]:
    for told in _errors(body):
        for name in ("message", "error", "detail"):
            if isinstance(words := told.get(name), str):
                # Enough to know it by.
                yield words[:10_000]


def _wait(headers: Mapping[str, str]) -> float | None:
    """The wait that a refusal's headers ask for, in seconds."""
    milliseconds = _seconds(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    return _seconds(headers.get("retry-after"))


def _seconds(retry_after: Any) -> float | None:
    """`Retry-After` as RFC 9110 has it, seconds or a date → seconds from now, not negative."""
    if not isinstance(retry_after, str):
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        pass
    else:
        return max(0.0, seconds) if math.isfinite(seconds) else None
    try:
        moment = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    now = datetime.now(UTC)
    return max(0.0, (moment.astimezone(UTC) - now).total_seconds())
