"""The toolbox: names, arguments, and failures that become results."""

import asyncio
import json
import logging
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinue.agent import Stdio, ToolServer
from retinue.errors import ToolError
from retinue.run.context import RunContext
from retinue.run.events import ToolResult
from retinue.run.mcp import Connection
from retinue.run.messages import ToolCall
from retinue.run.ports import Tool
from retinue.run.references import environment
from retinue.run.toolbox import AgentToolbox, Arguments, BuiltIn, exposed_names
from retinue.testing import run_context

SERVERS = Path(__file__).parent / "servers"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city"],
    "additionalProperties": False,
}


def weather(schema: dict[str, Any] = SCHEMA) -> tuple[AgentToolbox, list[Arguments]]:
    """A toolbox with one tool that notes its arguments."""
    seen: list[Arguments] = []

    async def run(arguments: Arguments, _: RunContext) -> ToolResult:
        seen.append(arguments)
        return ToolResult("sunny")

    return AgentToolbox([], [BuiltIn(Tool("weather", "", schema), run)]), seen


async def call(toolbox: AgentToolbox, name: str, arguments: str = "{}") -> ToolResult:
    return await toolbox.call(ToolCall("c1", name, arguments), run_context())


async def test_valid_arguments_reach_the_tool() -> None:
    toolbox, seen = weather()
    assert await call(toolbox, "weather", '{"city": "Oslo", "days": 2}') == ToolResult("sunny")
    assert seen == [{"city": "Oslo", "days": 2}]


WRONG = {
    '{"city": "Oslo"': "not valid JSON",
    "{'city': 'Oslo'}": "not valid JSON",
    '{"city": NaN}': "not valid JSON",
    '{"city": "\\ud800"}': "not valid JSON",
    "[" * 5000 + "]" * 5000: "not valid JSON",
    "[]": "must be a JSON object",
    "null": "must be a JSON object",
    '"city"': "must be a JSON object",
    "": "'city' is a required property",
    '{"city": 5}': "city: 5 is not of type 'string'",
    '{"city": "Oslo", "days": 0}': "days: 0 is less than the minimum of 1",
    '{"city": "Oslo", "town": 1}': "('town' was unexpected)",
    json.dumps({"city": "x" * 1_000_001}): "too long: 1,000,013 characters",
    json.dumps({"city": ["x" * 5000]}): "…",
}


@pytest.mark.parametrize("arguments", WRONG, ids=range(len(WRONG)))
async def test_wrong_arguments_never_reach_the_tool(arguments: str) -> None:
    toolbox, seen = weather()
    result = await call(toolbox, "weather", arguments)
    assert result.is_error
    assert WRONG[arguments] in result.text
    assert len(result.text) < 1000
    assert seen == []


async def test_null_for_what_may_be_left_out_leaves_it_out() -> None:
    toolbox, seen = weather()
    assert await call(toolbox, "weather", '{"city": "Oslo", "days": null}') == ToolResult("sunny")
    assert "city: None" in (await call(toolbox, "weather", '{"city": null}')).text
    assert "days: 0" in (await call(toolbox, "weather", '{"city": "Oslo", "days": 0}')).text
    assert seen == [{"city": "Oslo"}]


async def test_no_arguments_at_all_are_an_empty_object() -> None:
    toolbox, seen = weather({"type": "object"})
    assert not (await call(toolbox, "weather", " ")).is_error
    assert seen == [{}]


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"properties": {"city": {"$ref": "#/$defs/none"}}},
        {"$ref": "#"},
        {"properties": {"city": {"pattern": "("}}},
    ],
)
async def test_a_schema_that_can_not_be_used_does_not_stop_the_call(schema: dict[str, Any]) -> None:
    toolbox, seen = weather(schema)
    assert await call(toolbox, "weather", '{"city": "Oslo"}') == ToolResult("sunny")
    assert len(seen) == 1


async def test_an_unknown_tool_names_the_nearest() -> None:
    toolbox, _ = weather()
    result = await call(toolbox, "wether")
    assert result == ToolResult("There is no tool 'wether': did you mean 'weather'?", is_error=True)


async def test_failures_are_results(caplog: pytest.LogCaptureFixture) -> None:
    async def refuse(_: Arguments, _context: RunContext) -> ToolResult:
        raise ToolError("the vault is closed")

    async def break_down(_: Arguments, _context: RunContext) -> ToolResult:
        raise ZeroDivisionError("sk-secret")

    schema = {"type": "object"}
    built_ins = [
        BuiltIn(Tool("refuse", "", schema), refuse),
        BuiltIn(Tool("break_down", "", schema), break_down),
    ]
    toolbox = AgentToolbox([], built_ins)
    assert await call(toolbox, "refuse") == ToolResult("the vault is closed", is_error=True)
    with caplog.at_level(logging.CRITICAL + 1):
        result = await call(toolbox, "break_down")
    assert result == ToolResult("The tool 'break_down' failed unexpectedly.", is_error=True)


async def test_cancellation_passes_through() -> None:
    async def wait(_: Arguments, _context: RunContext) -> ToolResult:
        await asyncio.sleep(30)
        return ToolResult("late")

    toolbox = AgentToolbox([], [BuiltIn(Tool("wait", "", {}), wait)])
    task = asyncio.create_task(call(toolbox, "wait"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


def test_names_are_readable_where_they_can_be() -> None:
    assert exposed_names([("sales", "ask"), ("sales", "list tables"), ("s", "été")]) == [
        "sales__ask",
        "sales__list_tables",
        "s___t_",
    ]


def test_names_that_collide_or_are_too_long_get_a_stable_hash() -> None:
    tools = [("s", "a b"), ("s", "a_b"), ("s", "x" * 100)]
    names = exposed_names(tools)
    assert names == [*reversed(exposed_names(tools[1::-1])), *exposed_names(tools[2:])]
    assert re.fullmatch(r"s__a_b_[0-9a-f]{8}", names[0])
    assert re.fullmatch(r"s__x+_[0-9a-f]{8}", names[2])
    assert len(names[2]) == 64


@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=90)), unique=True, max_size=20))
def test_names_are_valid_and_unique(tools: list[tuple[str, str]]) -> None:
    names = exposed_names(tools)
    assert len(set(names)) == len(tools)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) for name in names)


# With real servers ---------------------------------------------------------------------------


def server(name: str, *args: str, **changes: Any) -> ToolServer:
    command = Stdio(command=sys.executable, args=(str(SERVERS / "hostile.py"), *args))
    return ToolServer(name=name, transport=command, **changes)


@asynccontextmanager
async def opened(*servers: ToolServer) -> AsyncIterator[list[Connection]]:
    connections = [Connection(wanted, environment({})) for wanted in servers]
    try:
        await asyncio.gather(*(connection.start() for connection in connections))
        yield connections
    finally:
        await asyncio.gather(*(connection.aclose() for connection in connections))


async def test_a_renamed_tool_is_called_by_its_new_name_alone() -> None:
    renamed = server("one", rename=(("good", "fine"), ("gone", "nothing")))
    async with opened(renamed) as connections:
        toolbox = AgentToolbox(connections)
        assert [tool.name for tool in toolbox.tools] == ["one__fine", "one__other"]
        by_new, by_old = await call(toolbox, "one__fine"), await call(toolbox, "one__good")
    assert (by_new.is_error, by_old.is_error) == (False, True)


async def test_a_tool_does_not_take_the_name_of_another() -> None:
    async with opened(server("one", rename=(("good", "other"),))) as connections:
        names = [tool.name for tool in AgentToolbox(connections).tools]
    assert names == ["one__good", "one__other"]


async def test_servers_tools_come_under_their_servers_names() -> None:
    async with opened(server("one"), server("two", exclude=("other",))) as connections:
        toolbox = AgentToolbox(connections, [BuiltIn(Tool("mine", "", {}), _nothing)])
        names = [tool.name for tool in toolbox.tools]
        assert names == ["mine", "one__good", "one__other", "two__good"]
        assert toolbox.notices == ()
        assert await call(toolbox, "two__good", '{"text": "x"}') == ToolResult("fine")
        assert "is not of type" in (await call(toolbox, "one__good", '{"text": 1}')).text
        assert "There is no tool 'two__other'" in (await call(toolbox, "two__other")).text


async def _nothing(_: Arguments, _context: RunContext) -> ToolResult:
    return ToolResult("")


async def test_a_server_that_is_down_is_a_notice() -> None:
    async with opened(server("one"), server("two", "exits at start")) as connections:
        toolbox = AgentToolbox(connections)
        assert [tool.name for tool in toolbox.tools] == ["one__good", "one__other"]
        (notice,) = toolbox.notices
        assert notice.startswith("The tool server 'two' is not available: its process exited")
        await connections[0].aclose()
        assert toolbox.tools == ()
        assert len(toolbox.notices) == 2
        result = await call(toolbox, "one__good")
        assert result.is_error
        assert "'one' is not available" in result.text


async def test_nothing_is_known_of_the_tools_of_a_server_that_is_down() -> None:
    read = BuiltIn(Tool("read", "", {}, reads=True), _nothing)
    assert AgentToolbox([], [read]).only_reads
    assert not AgentToolbox([], [read, BuiltIn(Tool("write", "", {}), _nothing)]).only_reads
    async with opened(server("one", "exits at start")) as connections:
        toolbox = AgentToolbox(connections, [read])
        assert toolbox.tools == (read.tool,)
        assert not toolbox.only_reads


async def test_toolboxes_share_a_connection() -> None:
    async with opened(server("one")) as connections:
        boxes = [AgentToolbox(connections) for _ in range(3)]
        results = await asyncio.gather(*(call(box, "one__good") for box in boxes))
        assert results == [ToolResult("fine")] * 3


async def longest_stall() -> float:
    """Until cancelled: how long the loop served nobody at the worst, in seconds."""
    clock, worst = asyncio.get_running_loop().time, 0.0
    try:
        while True:
            began = clock()
            await asyncio.sleep(0.01)
            worst = max(worst, clock() - began - 0.01)
    except asyncio.CancelledError:
        return worst


async def test_a_servers_schemas_can_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    stall = asyncio.create_task(longest_stall())
    async with opened(server("s", "slow schemas")) as connections:
        toolbox = AgentToolbox(connections)
        assert [tool.name for tool in toolbox.tools] == ["s__branches", "s__pattern"]
        # The model is told of the whole of it.
        assert toolbox.tools[1].parameters["properties"] == {"text": {"pattern": "^(a|a)*$"}}
        text = json.dumps({"text": "a" * 24 + "!"})
        assert await call(toolbox, "s__branches", text) == ToolResult("fine")
        assert await call(toolbox, "s__pattern", text) == ToolResult("fine")
    stall.cancel()
    assert await stall < 3
    assert "'wide' is left out: its inputSchema is too large: more than 5,000" in caplog.text


async def test_a_call_that_needs_approval_is_made_only_when_it_was_given() -> None:
    async def run(arguments: Arguments, _: RunContext) -> ToolResult:
        return ToolResult(f"paid {arguments['sum']}")

    schema: Any = {"type": "object", "properties": {"sum": {"type": "integer"}}}
    pay = BuiltIn(Tool("pay", "", schema), run, asks=lambda arguments: arguments["sum"] > 10)
    toolbox = AgentToolbox([], [pay])
    small, large = (ToolCall(str(n), "pay", json.dumps({"sum": n})) for n in (1, 11))
    wrong, unknown = ToolCall("w", "pay", '{"sum": "x"}'), ToolCall("u", "play", "{}")
    asked = [toolbox.needs_approval(call) for call in (small, large, wrong, unknown)]
    assert asked == [False, True, False, False]
    context = run_context()
    assert await toolbox.call(small, context) == ToolResult("paid 1")
    refused = await toolbox.call(large, context)
    assert refused.is_error
    assert "not agreed" in refused.text
    context.agreed = frozenset(("11",))
    assert await toolbox.call(large, context) == ToolResult("paid 11")
