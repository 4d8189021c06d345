"""Log records as text and as JSON: a line is one object, and holds no secret of the environment."""

import json
import logging
import logging.config
import sys
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinue.run.events import Usage
from retinue.serve.access import RequestRecord
from retinue.serve.identity import Identity
from retinue.serve.log import JsonLines, TextLines, logging_config
from retinue.store.api_key import new_key

SECRET = "s3cr3t-value-of-the-app"


@pytest.fixture
def lines(monkeypatch):
    """Formats a record by both formatters, in an environment with secrets."""
    monkeypatch.setenv("RETINUE_SECRET_MCP_TOKEN", SECRET)
    monkeypatch.setenv("RETINUE_API_KEYS", f"first-key-of-all, {SECRET[::-1]}")
    return JsonLines(), TextLines()


def record(message: object, *args: object, **more: object) -> logging.LogRecord:
    logger = logging.getLogger("retinue.test")
    exc_info = more.pop("exc_info", None)
    return logger.makeRecord(
        "retinue.test", logging.WARNING, "x.py", 1, message, args, exc_info, extra=more
    )


def failure(message: str):
    """An exception that was raised."""

    def fail() -> None:
        raise ValueError(message)

    try:
        fail()
    except ValueError:
        return sys.exc_info()


def test_a_request_s_line_has_its_fields():
    asked = RequestRecord("req_1", "POST", "/v1/chat/completions", 200, session='a "b"\n')
    asked.agent, asked.trace_id = "helper", "a" * 32
    asked.identity = Identity(user_id="u1", access_token="token-of-the-user")
    asked.usage = Usage(input_tokens=3, output_tokens=0)
    line = json.loads(JsonLines().format(record("%s", asked)))
    assert line.pop("ms") > 0
    assert datetime.fromisoformat(line.pop("time")).tzinfo
    assert line == {
        "level": "warning",
        "logger": "retinue.test",
        "message": "POST 200",
        "request_id": "req_1",
        "trace_id": "a" * 32,
        "method": "POST",
        "path": "/v1/chat/completions",
        "status": 200,
        "agent": "helper",
        "session": 'a "b"\n',
        "caller": "u1",
        "input_tokens": 3,
        "output_tokens": 0,
    }


def test_an_exception_is_one_field_on_the_same_line():
    failed = record("request_id=%s failed", "r", exc_info=failure("two\nlines"), request_id="r")
    told = JsonLines().format(failed)
    assert "\n" not in told
    line = json.loads(told)
    assert line["request_id"] == "r"
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: two\nlines")


def test_no_secret_of_the_environment_is_in_any_line(lines):
    for secret in (SECRET, SECRET[::-1], "first-key-of-all"):
        failed = record("it was %s", secret, exc_info=failure(secret))
        for line in lines:
            told = line.format(failed)
            assert secret not in told
            assert "it was ***" in told


def test_nor_in_the_line_of_a_request_that_quotes_one(lines):
    told = RequestRecord("req_1", path=f"/v1/responses/{SECRET}", session="first-key-of-all")
    for line in lines:
        text = line.format(record("%s", told))
        assert SECRET not in text
        assert "first-key-of-all" not in text
        assert "***" in text


def test_nor_is_a_key_of_the_store(lines):
    key = new_key()
    for line in lines:
        quoted = line.format(record("%s", RequestRecord("req_1", path=f"/{key}", session=key)))
        for told in (quoted, line.format(record("it was %s.", key, exc_info=failure(key)))):
            assert key not in told
            assert "***" in told
        assert "rtn-short" in line.format(record("rtn-short"))


@given(st.text(st.characters()), st.text(st.characters(codec=None)))
def test_whatever_is_said_a_line_is_one_object(message, session):
    for each in (
        record(message.replace("%", "%%")),
        record("%s", RequestRecord("r", path=session)),
    ):
        told = JsonLines().format(each)
        assert "\n" not in told
        assert isinstance(json.loads(told), dict)


def test_other_libraries_are_heard_in_json_too_when_something_is_amiss(capfd):
    before = logging.getLogger().handlers[:]
    try:
        logging.config.dictConfig(logging_config("info", "json"))
        logging.getLogger("some.library").info("chatter")
        logging.getLogger("some.library").warning("amiss")
        logging.getLogger("retinue.x").info("said")
    finally:
        logging.config.dictConfig(logging_config())
        logging.getLogger().handlers[:] = before
        logging.getLogger().setLevel(logging.WARNING)
    out, err = capfd.readouterr()
    assert [json.loads(line)["message"] for line in out.splitlines()] == ["amiss", "said"]
    assert err == ""
