"""What a caller is shown of a tool call: short, on one line, and without secrets."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinue.errors import RequestError
from retinue.run.events import ToolFinished, ToolResult, ToolStarted
from retinue.run.messages import ToolCall
from retinue.serve.wire.steps import step, steps_mode


def started(arguments, name="ask"):
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return step(ToolStarted(ToolCall("c1", name, text)))


def finished(text, *, is_error=False):
    return step(ToolFinished(ToolCall("c1", "ask", "{}"), ToolResult(text, is_error), 0.12345))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({}, "Calling ask."),
        ("", "Calling ask."),
        ({"question": "Which three\n  sold most?"}, "Calling ask: question=Which three sold most?"),
        (
            {"a": 1, "b": [True, None], "c": {"d": "x"}},
            'Calling ask: a=1, b=[true,null], c={"d":"x"}',
        ),
        ("not json", "Calling ask: not json"),
        ("[1]", "Calling ask: [1]"),
        ({"password": "hunter2", "user": "ann"}, "Calling ask: password=[hidden], user=ann"),
        ({"auth": {"apiKey": "k", "x": 1}}, 'Calling ask: auth={"apiKey":"[hidden]","x":1}'),
        ({"access_token": ""}, "Calling ask: access_token="),
    ],
)
def test_a_call_is_one_line(arguments, line):
    assert started(arguments).line == line


@pytest.mark.parametrize(
    "secret",
    [
        "dapi" + "0123456789abcdef" * 2,
        "sk-proj-abcdefghijklmnop",
        "ghp_" + "a" * 36,
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-def",
        "Bearer abcdefgh12345678",
        "-----BEGIN RSA PRIVATE KEY----- MIIE",
    ],
)
def test_what_looks_like_a_secret_is_left_out(secret):
    for shown in (
        started({"text": f"use {secret} here"}).arguments,
        started(f"{{broken {secret}").arguments,
        finished(f"it is {secret}").result,
    ):
        assert "[hidden]" in shown
        assert secret.split()[-1][-12:] not in shown


def test_a_password_in_a_url_is_left_out():
    assert finished("at https://ann:pw@db.example.com/x").result == (
        "at https://[hidden]@db.example.com/x"
    )


def test_a_secret_that_is_cut_off_is_left_out_too():
    shown = started({"text": "x" * 180 + " sk-" + "s" * 100}).arguments
    assert "sss" not in shown


def test_long_texts_are_cut():
    assert len(started({"q": "word " * 500}).line) < 250
    assert len(started({}, name="n" * 9000).line) < 250
    assert len(finished("row\n" * 5000).result) <= 500
    assert finished("row\n" * 5000).result.endswith("…")


def test_how_a_call_ended():
    went_well, failed = finished("3 rows"), finished("no such table", is_error=True)
    assert went_well.line == ""
    assert failed.line == "ask failed."
    assert went_well.object == {
        "id": "c1",
        "tool": "ask",
        "status": "completed",
        "arguments": "",
        "seconds": 0.123,
        "result": "3 rows",
    }
    assert failed.object["status"] == "failed"


def test_huge_arguments_cost_little():
    deep = "[" * 900 + "]" * 900
    wide = json.dumps({str(n): "Bearer " * 50 for n in range(20_000)})
    start = time.process_time()
    for text in (f'{{"a": {deep}}}', wide, "eyJ" * 3_000_000, "://" * 3_000_000, "a:" * 3_000_000):
        started(text)
        finished(text)
    assert time.process_time() - start < 5  # seconds; a pattern run over all of it takes minutes


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values | st.text(st.characters(codec=None, categories=["L", "Cs", "Cc", "Zl"])))
def test_anything_is_one_line_of_text(arguments):
    line = started(arguments).line
    assert "\n" not in line
    assert line.encode()


@pytest.mark.parametrize(
    ("header", "expected"),
    [(None, "off"), ("", "off"), ("extension", "extension"), (" OpenWebUI ", "openwebui")],
)
def test_the_header_goes_over_the_agents_own_choice(header, expected):
    assert steps_mode(header, "off") == expected


def test_an_unknown_mode_is_refused():
    with pytest.raises(RequestError, match="must be one of reasoning, extension") as caught:
        steps_mode("loud", "off")
    assert caught.value.param == "x-retinue-steps"
