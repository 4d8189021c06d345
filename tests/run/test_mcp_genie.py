"""Genie's answers are waited for, whichever of its shapes a server has."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinue.agent import Databricks, Stdio, ToolServer
from retinue.errors import ToolError
from retinue.run.events import ToolResult
from retinue.run.mcp import Connection
from retinue.run.mcp.genie import Poll, answered, polls, waiting
from retinue.run.ports import Tool
from retinue.run.references import environment
from run.fake_workspace import opened
from run.managed_servers import ManagedServers

ROOT = Path(__file__).parents[2]
SPACE = "01ef0123"
ASK, POLL = f"query_space_{SPACE}", f"poll_response_{SPACE}"
QUERY: dict[str, Any] = {
    "queryAttachments": [{"query": "SELECT 1", "description": "One.", "statement_response": {}}]
}


def tool(name: str, *parameters: str) -> dict[str, Any]:
    properties = {parameter: {"type": "string"} for parameter in parameters}
    return {"name": name, "inputSchema": {"type": "object", "properties": properties}}


MANAGED = [tool(ASK, "query", "conversation_id"), tool(POLL, "conversation_id", "message_id")]
ONE = [
    tool("genie_ask", "question", "conversation_id"),
    tool("genie_poll_response", "conversation_id", "response_id"),
    tool("genie_cancel_response", "conversation_id", "response_id"),
]


def message(status: str | None, **more: Any) -> str:
    told = {"conversationId": "c1", "messageId": "m1", **more}
    return json.dumps(told | ({"status": status} if status else {}))


def response(status: str, **more: Any) -> str:
    return json.dumps({"conversation_id": "c1", "response_id": "r1", "status": status, **more})


async def asked(
    monkeypatch: pytest.MonkeyPatch,
    tools: list[dict[str, Any]],
    plays: dict[str, list[Any]],
    **changes: Any,
) -> tuple[tuple[str, ...], ToolResult | str, list[tuple[str, Any]]]:
    """The tools shown, what the first answers, and what the server was sent."""
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-token")
    fields: dict[str, Any] = {"timeout": 20.0, **changes}
    target = Databricks(kind="genie_space", target=SPACE)
    async with opened(ManagedServers()) as fake:
        fake.tools, fake.plays = tools, plays
        connection = Connection(
            ToolServer(name="s", transport=target, **fields),
            environment({"DATABRICKS_HOST": fake.url}),
        )
        try:
            await connection.start()
            shown = tuple(tool.name for tool in connection.tools)
            try:
                result: ToolResult | str = await connection.call(shown[0], {"query": "How many?"})
            except ToolError as error:
                result = str(error)
        finally:
            await connection.aclose()
    return shown, result, fake.arguments


async def test_a_space_is_one_tool_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    done = message("COMPLETED", content=QUERY)
    pending = [message("PENDING_WAREHOUSE"), "", message("A_NEW_STATUS"), message(None), done]
    shown, result, sent = await asked(
        monkeypatch, MANAGED, {ASK: [message("ASKING_AI")], POLL: pending}
    )
    assert shown == (ASK,)
    assert result == ToolResult(done, structured=json.loads(done))
    ids = {"conversation_id": "c1", "message_id": "m1"}
    assert sent == [(ASK, {"query": "How many?"}), *[(POLL, ids)] * 5]


async def test_genie_one_is_one_tool_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    done = response("completed", final_answer="42")
    plays = {"genie_ask": [response("in_progress")], "genie_poll_response": [done]}
    shown, result, sent = await asked(monkeypatch, ONE, plays)
    assert shown == ("genie_ask", "genie_cancel_response")
    assert result == ToolResult(done, structured=json.loads(done))
    assert sent[1:] == [("genie_poll_response", {"conversation_id": "c1", "response_id": "r1"})]


SQL = [
    tool("execute_sql", "query"),
    tool("execute_sql_read_only", "query"),
    tool("poll_sql_result", "statement_id"),
]


def statement(state: str, **more: Any) -> str:
    return json.dumps({"statement_id": "s1", "status": {"state": state}, **more})


@pytest.mark.parametrize("state", ["SUCCEEDED", "FAILED", "CANCELED", "CLOSED"])
async def test_sql_is_waited_for(monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    done = statement(state, result={"data_array": [["7"]]})
    plays = {
        "execute_sql": [statement("PENDING")],
        "poll_sql_result": [statement("RUNNING"), done],
    }
    shown, result, sent = await asked(monkeypatch, SQL, plays)
    assert shown == ("execute_sql", "execute_sql_read_only")
    assert result == ToolResult(done, structured=json.loads(done))
    assert sent[1:] == [("poll_sql_result", {"statement_id": "s1"})] * 2
    _, _, sent = await asked(monkeypatch, SQL, {"execute_sql": [done]})
    assert len(sent) == 1


LAST = {
    message("COMPLETED", content=QUERY): 1,
    message("FAILED", error={"error": "no"}): 1,
    message("CANCELLED"): 1,
    "I can't answer that.": 1,
    json.dumps({"status": "ASKING_AI"}): 1,  # nothing to poll by
    json.dumps(["ASKING_AI"]): 1,
    "": 1,
}


@pytest.mark.parametrize("first", LAST)
async def test_what_is_done_is_not_polled(monkeypatch: pytest.MonkeyPatch, first: str) -> None:
    _, result, sent = await asked(monkeypatch, MANAGED, {ASK: [first]})
    assert isinstance(result, ToolResult)
    assert (result.text == first or not first, len(sent)) == (True, LAST[first])


async def test_an_answer_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    _, result, sent = await asked(
        monkeypatch, MANAGED, {ASK: [message("ASKING_AI")], POLL: [""]}, timeout=2.0
    )
    assert "still working" in str(result)
    assert len(sent) > 1


async def test_polls_may_fail_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    bad, done = {"content": "not valid"}, message("COMPLETED", content=QUERY)
    asking = {ASK: [message("ASKING_AI")]}
    _, result, _ = await asked(monkeypatch, MANAGED, asking | {POLL: [bad, bad, done]})
    assert isinstance(result, ToolResult)
    _, result, sent = await asked(monkeypatch, MANAGED, asking | {POLL: [bad]})
    assert "not valid MCP" in str(result)
    assert [name for name, _ in sent] == [ASK, POLL, POLL, POLL]


async def test_filters_hide_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    plays = {ASK: [message("ASKING_AI")], POLL: [message("COMPLETED", content=QUERY)]}
    shown, result, _ = await asked(monkeypatch, MANAGED, plays, exclude=("poll_*",))
    assert shown == (ASK,)
    assert isinstance(result, ToolResult)
    shown, _, _ = await asked(monkeypatch, MANAGED, plays, include=("poll_*",))
    assert shown == (POLL,)


async def test_the_local_space_is_one_tool() -> None:
    sales = ROOT / "samples/bakehouse"
    command = Stdio(command=sys.executable, args=("-m", "retinue.offline.genie", str(sales)))
    connection = Connection(ToolServer(name="s", transport=command, timeout=60), environment())
    try:
        await connection.start()
        (ask,) = connection.tools
        result = await connection.call(ask.name, {"query": "How many franchises are there?"})
        assert isinstance(result.structured, dict)
        assert result.structured["status"] == "COMPLETED"
    finally:
        await connection.aclose()


def test_only_pairs_are_genies() -> None:
    alone = [Tool(ASK, "", {}), Tool("poll_response_other", "", {"properties": {}})]
    assert polls(alone) == {}
    assert waiting(alone, {}) == tuple(alone)
    assert polls([Tool(ASK, "", {}), Tool(POLL, "", {"properties": []})]) == {}


KEYS = st.sampled_from(["status", "conversationId", "message_id", "x"])
SAID = st.recursive(
    st.none() | st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(KEYS, x)
)


@given(SAID)
async def test_whatever_it_says_an_end_comes(told: Any) -> None:
    async def call(_: str, _arguments: Any) -> ToolResult:
        return ToolResult("done", structured={"status": "COMPLETED"})

    poll = Poll(POLL, ("conversation_id", "message_id"))
    try:
        result = await answered(ToolResult(json.dumps(told), structured=told), poll, call, 0.01)
    except ToolError as error:
        assert "still working" in str(error)
    else:
        assert result.text in ("done", json.dumps(told))
