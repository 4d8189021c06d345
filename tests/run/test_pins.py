"""Tools against the agent's lock: what differs is told, and with `strict` isn't used."""

import asyncio
import logging
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinue.agent import Agent, Stdio, ToolServer
from retinue.compile.lock import lock_text, read_lock
from retinue.pins import ServerPins
from retinue.run.messages import ToolCall
from retinue.run.pins import PinCheck, drift, pinned
from retinue.run.ports import Tool
from retinue.run.runtime import Runtime
from retinue.testing import ScriptedModel, agent, run_context

CHANGING = Path(__file__).parent / "servers" / "changing.py"
SERVER = ToolServer(
    name="it", transport=Stdio(command=sys.executable, args=(str(CHANGING),)), pin="strict"
)
BOOK = Tool("book", "Book it.", {"type": "object", "properties": {"a": {"type": "string"}}})


def locked(*tools: Tool, server: ToolServer = SERVER) -> PinCheck:
    return PinCheck(agent("clerk", mcp_servers=(server,), pins=(pinned("it", tools),)))


def told(old: Tool | None, new: Tool | None) -> list[str]:
    before, after = (pinned("it", [tool] if tool else []) for tool in (old, new))
    return [line for one in drift(before, after) for line in one.lines()]


def test_a_difference_is_shown_as_what_changed():
    assert told(BOOK, BOOK) == []
    assert told(None, BOOK) == ["+ book: added"]
    assert told(BOOK, None) == ["- book: removed"]
    assert told(BOOK, replace(BOOK, description="Book it.\nAnd mail it.\u202e")) == [
        "~ book: its description changed",
        "    + And mail it.\\u202e",
    ]
    other = {"type": "object", "properties": {"a": {"type": "integer"}}}
    assert told(BOOK, replace(BOOK, parameters=other)) == [
        "~ book: its parameters changed",
        '    -       "type": "string"',
        '    +       "type": "integer"',
    ]


def test_a_long_difference_is_cut():
    old = replace(BOOK, description="\n".join(map(str, range(500))))
    new = replace(BOOK, description="\n".join("x" * 500 for _ in range(500)))
    lines = told(old, new)
    assert len(lines) == 42
    assert lines[-1].endswith("more lines")
    assert max(map(len, lines)) < 220


VALUES = st.recursive(st.none() | st.text() | st.integers(), st.lists, max_leaves=8)
SCHEMAS = st.dictionaries(st.text(), VALUES, max_size=3)


@given(st.dictionaries(st.text(), st.tuples(st.text(), SCHEMAS), max_size=5))
def test_a_lock_is_read_as_it_was_written(tools):
    found = pinned("it", [Tool(name, *rest) for name, rest in tools.items()])
    text = lock_text([found])
    (read,) = read_lock(text.encode())
    assert drift(found, read) == []
    assert lock_text([replace(found, tools=found.tools[::-1])]) == text


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"version": 2, "servers": {}}', '{"version": 1}', '{"version": 1, "servers": [1]}'],
)
def test_anything_else_is_no_lock(text):
    with pytest.raises(ValueError, match="the lock can't be read"):
        read_lock(text.encode())


def test_strict_leaves_out_what_is_new_or_changed(caplog):
    changed, new = replace(BOOK, description="Pay it."), Tool("pay", "", {})
    check = locked(BOOK, Tool("old", "", {}))
    with caplog.at_level(logging.WARNING):
        assert list(check.admitted(SERVER, [BOOK], complete=True)) == [BOOK]
        assert list(check.admitted(SERVER, [changed, new], complete=False)) == []
        assert list(check.admitted(SERVER, [changed, new], complete=False)) == []
    first, second = (record.getMessage() for record in caplog.records)
    assert "- old: removed" in first
    assert "removed" not in second
    assert all(words in second for words in ("+ pay: added", "+ Pay it.", "`retinue lock clerk`"))


def test_what_differs_is_told_once_to_however_many_it_is_listed(caplog):
    changed, new = replace(BOOK, description="Pay it."), Tool("pay", "", {})
    check, lists = locked(BOOK), ([changed, new], [changed], [new, BOOK], [BOOK])
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            for tools in lists:
                check.admitted(SERVER, tools, complete=False)
    (told,) = (record.getMessage() for record in caplog.records)
    assert "+ pay: added" in told
    with caplog.at_level(logging.WARNING):
        check.admitted(SERVER, [replace(changed, description="Pay.")], complete=False)
        check.admitted(replace(SERVER, name="it2", pin="strict"), [new], complete=False)
    assert len(caplog.records) == 3


def test_else_it_is_a_warning(caplog):
    server = replace(SERVER, pin="warn")
    changed = replace(BOOK, description="Pay it.")
    with caplog.at_level(logging.WARNING):
        assert list(locked(BOOK).admitted(server, [changed], complete=True)) == [changed]
        unlocked = PinCheck(agent("clerk", mcp_servers=(server,)))
        assert list(unlocked.admitted(server, [changed], complete=True)) == [changed]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_server_that_is_not_locked_has_no_tools_where_it_is_strict():
    assert list(PinCheck(agent("clerk")).admitted(SERVER, [BOOK], complete=True)) == []
    assert list(locked(BOOK).admitted(replace(SERVER, name="b"), [BOOK], complete=True)) == []


async def test_a_tool_that_changes_while_the_agent_runs_is_not_called_any_more():
    def clerk(pins: tuple[ServerPins, ...]) -> Agent:
        return agent("clerk", mcp_servers=(SERVER,), pins=pins)

    schema = {"type": "object"}
    tools = [
        Tool("change", "Change the others.", schema),
        Tool("look", "Look.", schema),
        Tool("wait", "Wait.", schema),
    ]
    models = {"scripted": lambda _deployment, _lookup: ScriptedModel()}
    async with Runtime([clerk((pinned("it", tools),))], models=models) as runtime:
        (ready,) = runtime._ready.values()
        assert [t.name for t in runtime.tools("clerk")] == ["it__change", "it__look", "it__wait"]
        await ready.toolbox.call(ToolCall("1", "it__change", "{}"), run_context())
        for _ in range(200):
            if len(runtime.tools("clerk")) == 2:
                break
            await asyncio.sleep(0.05)
        assert [t.name for t in runtime.tools("clerk")] == ["it__change", "it__wait"]
        for name in ("it__look", "it__new"):
            result = await ready.toolbox.call(ToolCall("2", name, "{}"), run_context())
            assert result.is_error
            assert "There is no tool" in result.text
        result = await ready.toolbox.call(ToolCall("3", "it__wait", "{}"), run_context())
        assert result.text == "did wait"
