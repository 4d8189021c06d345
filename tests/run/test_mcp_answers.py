"""What tool servers answer and list, odd and wrong: bounded, and at the cost of the call alone."""

import logging
import time

import pytest

from retinue.run.events import ToolResult
from retinue.run.messages import ImagePart
from run.connecting import FINE, eventually, failure, names, opened
from run.launching import server


async def test_a_server_that_ignores_what_it_does_not_know_is_not_waited_for() -> None:
    began = time.monotonic()
    async with opened(server("hostile.py")) as connection:
        assert await connection.call("good", {}) == FINE
    assert time.monotonic() - began < 8


GOOD = ["junk", "twice"]


@pytest.mark.parametrize("fault", GOOD)
async def test_noise_is_tolerated(fault: str) -> None:
    async with opened(server("hostile.py", fault)) as connection:
        assert await connection.call("good", {}) == FINE
        assert await connection.call("other", {}) == FINE


BAD_ANSWERS = {
    "hang": "did not answer within 0.5 s",
    "wrong id": "did not answer within 0.5 s",
    "exit": "exited with status 0",
    "not a result": "not valid MCP",
    "not json-rpc": "not valid JSON-RPC",
    "error": "refused the call: no such [31m luck",
    "endless line": "a line of more than 32 MiB",
}


@pytest.mark.parametrize("fault", BAD_ANSWERS)
async def test_a_bad_answer_costs_its_call(fault: str) -> None:
    timeout = 0.5 if fault in ("hang", "wrong id") else 5.0
    async with opened(server("hostile.py", fault, timeout=timeout)) as connection:
        assert BAD_ANSWERS[fault] in await failure(connection)
        # The server is there for the next call, or is there again.
        assert BAD_ANSWERS[fault] in await failure(connection, "other")


async def test_text_that_is_not_utf8_and_structure_that_breaks_its_promise() -> None:
    async with opened(server("hostile.py", "not utf-8")) as connection:
        assert await connection.call("good", {}) == ToolResult("caf\N{REPLACEMENT CHARACTER}")
    async with opened(server("hostile.py", "wrong structure")) as connection:
        result = await connection.call("good", {})
        assert result == ToolResult('{"rows":"none"}', structured={"rows": "none"})


async def test_a_bad_tool_costs_itself(caplog: pytest.LogCaptureFixture) -> None:
    async with opened(server("hostile.py", "odd tools")) as connection:
        assert names(connection) == ["good", "no schema", "empty", "output", "icons"]
        assert await connection.call("no schema", {}) == FINE
    for name in ("array", "string", "invalid", "task", "number 11", "number 12", "number 13"):
        assert f"the tool '{name}' is left out" in caplog.text


@pytest.mark.parametrize(
    ("fault", "count"), [("pages", 5), ("endless pages", 100), ("circular pages", 1)]
)
async def test_pages(fault: str, count: int) -> None:
    async with opened(server("hostile.py", fault)) as connection:
        assert len(connection.tools) == count


@pytest.mark.parametrize(("fault", "count"), [("many tools", 2000), ("long tools", 79)])
async def test_a_list_without_end(fault: str, count: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "retinue")
    async with opened(server("hostile.py", fault)) as connection:
        assert len(connection.tools) == count
    assert f"lists too many tools; the first {count} are used" in caplog.text
    assert "says: page 2" in caplog.text
    assert "says: page 3" not in caplog.text


async def test_a_list_that_changes_is_read_again() -> None:
    async with opened(server("hostile.py", "changes")) as connection:
        assert names(connection) == ["good", "other"]
        assert await connection.call("good", {}) == FINE
        assert await eventually(lambda: names(connection) == ["good", "other", "new"])
        assert await connection.call("new", {}) == FINE


async def test_a_changed_list_that_can_not_be_read_leaves_the_old_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with opened(server("hostile.py", "changes badly")) as connection:
        assert await connection.call("good", {}) == FINE
        assert await eventually(lambda: "could not list its tools again" in caplog.text)
        assert names(connection) == ["good", "other"]
        assert await connection.call("other", {}) == FINE
        assert connection.state == "up"


async def test_filters_hold_at_call_time(caplog: pytest.LogCaptureFixture) -> None:
    wanted = server("hostile.py", include=("g*", "x_*"), exclude=("other",))
    async with opened(wanted) as connection:
        assert names(connection) == ["good"]
        assert "offers no tool 'other'" in await failure(connection, "other")
    assert "mcp_servers.s.tools.include: 'x_*' matches no tool; the server has: good, other" in (
        caplog.text
    )


async def test_resources_and_prompts_are_tools_where_asked_for() -> None:
    async with opened(server("modern.py")) as connection:
        assert not {"list_resources", "list_prompts"} & set(names(connection))
    async with opened(server("modern.py", resources=True, prompts=True)) as connection:
        assert '["memo://today"' in (await connection.call("list_resources", {})).text
        assert '"memo://{day}"' in (await connection.call("list_resources", {})).text
        assert (await connection.call("read_resource", {"uri": "memo://today"})).text == "rain"
        picture = await connection.call("read_resource", {"uri": "memo://picture"})
        assert picture.images == (ImagePart("data:image/png;base64,MTIzNDU2Nzg="),)
        assert "refused the call" in await failure(connection, "read_resource", uri="nothing://x")
        assert (
            '["greeting","Greet somebody.","name*"]'
            in (await connection.call("list_prompts", {})).text
        )
        greeting = await connection.call(
            "get_prompt", {"name": "greeting", "arguments": {"name": "Ada"}}
        )
        assert greeting.text == "Say hello to Ada."
    async with opened(server("hostile.py", resources=True, prompts=True)) as connection:
        assert names(connection) == ["good", "other"]


async def test_descriptions_of_the_agents_own(caplog: pytest.LogCaptureFixture) -> None:
    given = (("add", "Sums."), ("ad", "Nothing."))
    async with opened(server("modern.py", descriptions=given)) as connection:
        assert {t.name: t.description for t in connection.tools}["add"] == "Sums."
    assert "mcp_servers.s.tools.descriptions: 'ad' matches no tool" in caplog.text
