"""The tools of the server process: names, schemas, polling, errors, both transports."""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from anyio.from_thread import start_blocking_portal
from mcp import Client

from offline.conftest import BAKEHOUSE, Asker, query_of, rows_of

ID = r"[0-9a-f]{32}"


def test_the_tools_are_those_of_a_managed_space(genie: Asker) -> None:
    ask, poll = genie.tools
    (identity,) = re.findall(rf"^query_space_({ID})$", ask.name)
    assert poll.name == f"poll_response_{identity}"
    assert ask.input_schema["required"] == ["query"]
    assert set(ask.input_schema["properties"]) == {"query", "conversation_id"}
    assert poll.input_schema["required"] == ["conversation_id", "message_id"]
    assert ask.annotations is not None
    assert ask.annotations.read_only_hint


def test_a_completed_reply_has_the_documented_shape(genie: Asker) -> None:
    reply = genie.ask("units by product in May 2024")
    assert set(reply) == {"conversationId", "messageId", "status", "content"}
    query = query_of(reply)
    response = query["statement_response"]
    columns = response["manifest"]["schema"]["columns"]
    assert [(c["name"], c["type_name"]) for c in columns] == [
        ("product", "VARCHAR"),
        ("units", "HUGEINT"),
    ]
    assert response["manifest"]["total_row_count"] == 12 == len(response["result"]["data_array"])
    assert all(isinstance(cell, str) for row in response["result"]["data_array"] for cell in row)
    assert query["query"].startswith("SELECT t.product AS product")


def test_an_answer_that_takes_time_is_polled(patient_genie: Asker) -> None:
    reply = patient_genie.ask("total revenue in May 2024")
    assert reply["status"] == "EXECUTING_QUERY"
    assert "content" not in reply
    done = patient_genie.poll(reply)
    assert done["status"] == "COMPLETED"
    assert (done["messageId"], done["conversationId"]) == (
        reply["messageId"],
        reply["conversationId"],
    )
    assert len(rows_of(done)) == 1
    assert patient_genie.poll(reply) == done


def test_a_follow_up_waits_for_the_question_before_it(patient_genie: Asker) -> None:
    first = patient_genie.ask("units by product in May 2024")
    second = patient_genie.ask("and in June?", first["conversationId"])
    assert "June 2024" in query_of(patient_genie.poll(second))["title"]


@pytest.mark.parametrize("query", ["", "   ", "x" * 2001])
def test_no_question_is_an_error_that_can_be_read(genie: Asker, query: str) -> None:
    result = genie.call("query_space_", query=query)
    assert result.is_error
    assert "query must be a question of 1 to 2000 characters" in result.content[0].text


def test_unknown_ids_are_errors(genie: Asker) -> None:
    result = genie.call("query_space_", query="total revenue", conversation_id="f" * 32)
    assert result.is_error
    assert "no such conversation" in result.content[0].text
    result = genie.call("poll_response_", conversation_id="f" * 32, message_id="0")
    assert result.is_error
    assert "no such conversation or message" in result.content[0].text


def test_a_very_long_question_is_declined(genie: Asker) -> None:
    (text,) = genie.ask("revenue " * 70)["content"]["textAttachments"]
    assert "at most 60 words are read" in text


@pytest.fixture(scope="module")
def over_http() -> Iterator[Asker]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "retinue.offline.genie", str(BAKEHOUSE), "--http", str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            with (
                start_blocking_portal() as portal,
                portal.wrap_async_context_manager(Client(f"http://127.0.0.1:{port}/mcp")) as client,
            ):
                yield Asker(portal, client)
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("the server did not start")


def test_http_answers_like_stdio(genie: Asker, over_http: Asker) -> None:
    question = "revenue by country in May 2024"
    assert rows_of(over_http.ask(question)) == rows_of(genie.ask(question))
