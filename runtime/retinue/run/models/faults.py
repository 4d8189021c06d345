"""What a provider's client raised → a `ModelError` in our words."""

from collections.abc import Mapping, Sequence
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
    404: "not_found",
    408: "timeout",
    413: "context_window",
    429: "rate_limit",
    504: "timeout",
}
# OpenAI's codes, which compatible servers send too and litellm does not always understand.
_BY_CODE: Mapping[str, ModelFault] = {
    "context_length_exceeded": "context_window",
    # Claude's words for it, which Databricks passes on without a code.
    "prompt is too long": "context_window",
    "content_policy_violation": "content_filter",
    "content_filter": "content_filter",
}
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
    kind = _kind(error)
    if missing and not headers and kind in ("auth", "unavailable"):
        return ModelError(
            "auth",
            f"the model '{model}' needs {' and '.join(missing)} in the environment or in .env",
        )
    if started and kind in ("unavailable", "timeout", "bad_request"):
        kind = "truncated"
    status = getattr(error, "status_code", None)
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
    if isinstance(status, int) and status in _BY_STATUS:
        return _BY_STATUS[status]
    if isinstance(status, int) and 400 <= status < 500 and status != 409:
        return "bad_request"
    return "unavailable"


def _closer(refusal: Exception) -> ModelFault:
    text = f"{getattr(refusal, 'code', '')} {refusal}"
    return next((kind for code, kind in _BY_CODE.items() if code in text), "bad_request")


def _seconds(retry_after: Any) -> float | None:
    """`Retry-After` as RFC 9110 has it, seconds or a date → seconds from now, not negative."""
    if not isinstance(retry_after, str):
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    now = datetime.now(UTC)
    return max(0.0, (moment.astimezone(UTC) - now).total_seconds())
