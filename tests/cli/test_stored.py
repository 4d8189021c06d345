"""`retinue logs` and `retinue stats` without an agent: the log of the project's own store."""

import asyncio
import json
import time

import pytest

from retinue.cli.stored import following
from retinue.store.address import Address
from retinue.store.database import Database
from retinue.store.log_book import LogBook
from retinue.store.log_query import Which, new_id


def row(minutes_ago: int, **fields):
    at = time.time() - 60 * minutes_ago
    return {
        "id": new_id(at),
        "request_id": f"req_{minutes_ago}",
        "created_at": at,
        "agent": "helper",
        "user": "ann",
        "session": "s1",
        "status": 200,
        "ms": 12.0,
        "tools": '["add"]',
        "input_tokens": 3,
        "output_tokens": 2,
        "cost_usd": 0.25,
        **fields,
    }


@pytest.fixture
def logged(project):
    """A project whose store has three rows."""

    async def add() -> None:
        book = LogBook(Database(Address(file=project / ".retinue" / "state.db")))
        await book.add([row(90), row(5, user="bob"), row(1, error="model_timeout", status=504)])
        await book.database.aclose()

    asyncio.run(add())
    return project


@pytest.mark.usefixtures("logged")
def test_requests_oldest_first_and_chosen(retinue):
    done = retinue("logs")
    assert done.returncode == 0, done.stderr
    assert [text.rpartition("=")[2] for text in done.stdout.splitlines()] == [
        "req_90",
        "req_5",
        "req_1",
    ]
    assert "helper  504  12 ms  3+2 tokens  $0.2500  error=model_timeout" in done.stdout
    told = retinue("logs", "--since", "1h", "--user", "bob", "-o", "json").stdout.splitlines()
    (one,) = map(json.loads, told)
    assert (one["request_id"], one["tools"]) == ("req_5", ["add"])
    assert retinue("logs", "--agent", "other").stdout == ""


@pytest.mark.usefixtures("logged")
def test_sums_by_agent_and_by_user(retinue):
    done = retinue("stats")
    assert done.stdout.splitlines() == [
        "helper: 3 requests, 1 failed, 9+6 tokens, $0.7500, 12 ms on average",
        "all: 3 requests, 1 failed, 9+6 tokens, $0.7500, 12 ms on average",
    ]
    found = json.loads(retinue("stats", "--users", "-o", "json").stdout)
    assert [(one["user"], one["requests"]) for one in found["data"]] == [("ann", 2), ("bob", 1)]


async def test_followed_it_tells_each_row_once_also_one_that_comes_late(tmp_path):
    book = LogBook(Database(Address(file=tmp_path / "state.db")))
    await book.add([row(90), row(80, agent="other")])
    coming = following(book, Which(agent="helper"), 10)
    assert (await anext(coming))["request_id"] == "req_90"
    await book.add([row(0, request_id="new"), row(0, request_id="no", agent="other")])
    assert (await anext(coming))["request_id"] == "new"
    await book.add([row(0, request_id="newer")])
    assert (await anext(coming))["request_id"] == "newer"
    await coming.aclose()
    await book.database.aclose()


def test_where_nothing_was_logged_there_is_nothing(retinue, project):
    done = retinue("logs")
    assert (done.returncode, done.stdout) == (0, "")
    assert "nothing is kept" in retinue("stats").stderr
    assert not (project / ".retinue").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["logs", "--since", "soon"], "--since"),
        (["logs", "helper", "--user", "ann"], "leave out the agent's name"),
        (["logs", "-t", "dev"], "name the agent"),
        (["logs", "--store", "off"], "keeps nothing"),
    ],
)
def test_what_can_not_be_meant_is_told(retinue, words, says):
    done = retinue(*words)
    assert done.returncode in (1, 2)
    assert says in done.stderr
