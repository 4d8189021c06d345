"""Which status and which error object an exception becomes."""

from typing import get_args

import pytest
from schemas import conforms

from retinue.errors import (
    MissingReferenceError,
    ModelError,
    ModelFault,
    NotReadyError,
    PromptError,
    RequestError,
    RunError,
    ToolError,
)
from retinue.serve.wire.errors import answer, http_error

STATUSES = {
    "auth": 502,
    "bad_output": 502,
    "bad_request": 400,
    "content_filter": 400,
    "context_window": 400,
    "not_found": 502,
    "not_supported": 400,
    "rate_limit": 429,
    "timeout": 504,
    "truncated": 502,
    "unavailable": 503,
}


def test_a_prompt_that_cannot_be_rendered_is_named():
    told = answer(PromptError("prompts/p.md: 'x' is undefined"))
    assert (told.status, told.code, told.unexpected) == (500, "prompt_failed", False)
    assert "prompts/p.md" in told.message


def test_an_agent_that_is_not_ready_may_be_asked_again():
    told = answer(NotReadyError("sales needs the tool server 'x': it is down"))
    assert (told.status, told.code, told.headers["retry-after"]) == (503, "agent_not_ready", "5")


@pytest.mark.parametrize("kind", get_args(ModelFault))
def test_every_way_a_model_fails_has_a_status(kind):
    told = answer(ModelError(kind, "The model is unwell."))
    assert told.status == STATUSES[kind]
    assert told.message == "The model is unwell."
    assert told.code
    assert not told.unexpected
    conforms(told.object, "ErrorResponse")


def test_the_models_401_does_not_look_like_the_callers():
    assert answer(ModelError("auth", "x")).status not in (401, 403)


def test_a_rate_limit_says_when_to_try_again():
    assert answer(ModelError("rate_limit", "x", retry_after=1.2)).headers == {"retry-after": "2"}
    assert answer(ModelError("rate_limit", "x")).headers == {}


def test_a_quota_that_is_used_up_is_not_to_be_asked_again():
    told = answer(ModelError("rate_limit", "x", retry_after=9, permanent=True))
    headers = {"x-should-retry": "false", "retry-after": "9"}
    assert (told.status, told.headers) == (429, headers)


def test_a_context_that_is_full_has_openais_code():
    told = answer(ModelError("context_window", "x"))
    assert (told.code, told.param) == ("context_length_exceeded", "messages")


@pytest.mark.parametrize("kind", ["auth", "not_found"])
def test_clients_are_told_not_to_repeat_what_cannot_work(kind):
    assert answer(ModelError(kind, "x")).headers["x-should-retry"] == "false"


def test_a_run_out_of_time():
    told = answer(RunError("the run did not finish within its limit of 110 s"))
    assert (told.status, told.code) == (504, "run_timeout")
    assert told.message == "The run did not finish within its limit of 110 s."


def test_a_request_error_passes_its_own_words_on():
    told = answer(RequestError("no", param="n", code="c", status=413))
    assert told.status == 413
    assert told.object == {
        "error": {"message": "no", "type": "invalid_request_error", "param": "n", "code": "c"}
    }
    assert answer(RequestError("no", param="n")).code == "invalid_value"


@pytest.mark.parametrize(
    "error", [KeyError("s3cret"), ToolError("s3cret"), MissingReferenceError("s3cret")]
)
def test_anything_else_is_opaque_and_marked_for_the_log(error):
    told = answer(error)
    assert told.status == 500
    assert told.unexpected
    assert "s3cret" not in told.body.decode()


@pytest.mark.parametrize("status", [404, 405, 418, 503])
def test_routing_errors_have_the_shape_too(status):
    told = http_error(status, "GET", "/nowhere", {"allow": "POST"})
    assert told.status == status
    conforms(told.object, "ErrorResponse")
