"""Tool servers as processes: well-behaved, faulty, dying; and nothing of them left behind."""

import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from retinue.agent import Databricks, Stdio, ToolServer
from retinue.errors import ToolError
from retinue.run.events import ToolResult
from retinue.run.mcp import Connection
from retinue.run.messages import ImagePart
from retinue.run.references import environment
from retinue.values import Ref, Template

SERVERS = Path(__file__).parent / "servers"
FINE = ToolResult("fine")


def server(file: str, *args: str, **changes: Any) -> ToolServer:
    command = Stdio(
        command=sys.executable, args=(str(SERVERS / file), *args), env=changes.pop("env", ())
    )
    return ToolServer(**{"name": "s", "transport": command, "timeout": 5.0, **changes})


@asynccontextmanager
async def opened(wanted: ToolServer, **options: Any) -> AsyncIterator[Connection]:
    connection = Connection(wanted, environment({"THE_KEY": "hunter2-hunter2"}), **options)
    try:
        await connection.start()
        yield connection
    finally:
        await connection.aclose()


def alive(pid: int) -> bool:
    """Whether it runs; a zombie, which nobody may have reaped yet, does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return not Path("/proc/self").exists()


async def eventually(condition: Callable[[], bool], seconds: float = 3.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


def names(connection: Connection) -> list[str]:
    return [tool.name for tool in connection.tools]


async def failure(connection: Connection, name: str = "good", **arguments: Any) -> str:
    with pytest.raises(ToolError) as caught:
        await connection.call(name, arguments)
    return str(caught.value)


async def test_tools_and_calls() -> None:
    async with opened(server("modern.py")) as connection:
        assert (connection.state, connection.problem) == ("up", None)
        assert "add" in names(connection)
        assert connection.tools[0].description == "Add two numbers."
        assert connection.tools[0].parameters["required"] == ["a", "b"]
        assert (await connection.call("add", {"a": 1, "b": 2})).text == "3"
        table = await connection.call("table", {})
        assert table.structured == {"rows": [1, 2, 3]}
        picture = await connection.call("picture", {})
        assert picture.text == "[image: image/png, 8 bytes]"
        assert picture.images == (ImagePart("data:image/png;base64,MTIzNDU2Nzg="),)
        refused = await connection.call("refuse", {})
        assert refused.is_error
        assert refused.text.endswith("the vault is closed")
        assert "offers no tool 'nope'" in await failure(connection, "nope")

        began = time.monotonic()
        # One by one: 6 s.
        calls = (connection.call("slow", {"seconds": 0.3}) for _ in range(20))
        assert {r.text for r in await asyncio.gather(*calls)} == {"done"}
        assert time.monotonic() - began < 5
        result = await connection.call("huge", {"size": 3_000_000})
    assert len(result.text) < 2_010_000
    assert result.text.startswith("aaa")
    assert result.text.endswith("zzz")
    assert "[… 1,000,000 characters left out …]" in result.text


async def test_the_environment_is_an_allow_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    env = (("GIVEN", Template((Ref("env", "THE_KEY"),))),)
    async with opened(server("modern.py", env=env)) as connection:
        seen = (await connection.call("environment", {})).text.split()
    assert "GIVEN" in seen
    assert "PATH" in seen
    assert set(seen) <= {"GIVEN", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH",
                         "RETINUE_TOOL_SERVER", "SHELL", "TERM", "TMPDIR", "TZ",
                         "USER"}  # fmt: skip


async def test_a_crash_costs_the_call_and_the_server_comes_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    env = (("KEY", Template((Ref("env", "THE_KEY"),))),)
    async with opened(server("modern.py", env=env)) as connection:
        slow = asyncio.create_task(failure(connection, "slow", seconds=30))
        await asyncio.sleep(0.2)
        problem = await failure(connection, "crash")
        assert "exited with status 3: out of cheese" in problem
        assert "may have taken effect" in problem
        assert "exited with status 3" in await slow
        assert (await connection.call("add", {"a": 1, "b": 1})).text == "2"
        assert connection.state == "up"
        assert "add" in names(connection)
    assert "hunter2" not in problem
    assert "hunter2" not in caplog.text


async def test_a_killed_server_comes_back_without_a_call() -> None:
    async with opened(server("hostile.py", "processes")) as connection:
        first = int((await connection.call("pid", {})).text)
        os.kill(first, 9)
        assert await eventually(lambda: connection.state != "up")
        assert "SIGKILL" in (connection.problem or "")
        assert await eventually(lambda: connection.state == "up")
        assert int((await connection.call("pid", {})).text) != first


async def test_cancelled_and_late_calls_reach_the_server() -> None:
    async with opened(server("modern.py", timeout=0.5)) as connection:
        call = asyncio.create_task(connection.call("slow", {"seconds": 30}))
        await asyncio.sleep(0.2)
        call.cancel()
        await asyncio.wait({call})
        assert call.cancelled()
        assert (await connection.call("times_cancelled", {})).text == "1"
        assert "did not answer within 0.5 s" in await failure(connection, "slow", seconds=30)
        assert (await connection.call("times_cancelled", {})).text == "2"


async def test_nothing_is_left_after_closing() -> None:
    async with opened(server("hostile.py", "processes")) as connection:
        pids = [int((await connection.call(tool, {})).text) for tool in ("pid", "grandchild")]
        assert all(map(alive, pids))
    assert await eventually(lambda: not any(map(alive, pids)))
    assert connection.state == "closed"
    await connection.aclose()
    assert "is closed" in await failure(connection)


async def test_nothing_is_left_after_a_crash() -> None:
    async with opened(server("hostile.py", "processes")) as connection:
        grandchild = int((await connection.call("grandchild", {})).text)
        await failure(connection, "crash")
        assert (await connection.call("good", {})) == FINE
        assert await eventually(lambda: not alive(grandchild))


async def test_nothing_is_left_when_the_loop_ends() -> None:
    """`asyncio.run` cancels every task at its end, in no order."""

    async def forgetful() -> list[int]:
        connection = Connection(server("hostile.py", "processes"), environment({}))
        await connection.start()
        return [int((await connection.call(tool, {})).text) for tool in ("pid", "grandchild")]

    pids = await asyncio.to_thread(asyncio.run, forgetful())
    assert await eventually(lambda: not any(map(alive, pids)))


async def test_closing_from_many_tasks_while_connecting(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    connection = Connection(server("hostile.py", "deaf", str(pids)), environment({}))
    starting = asyncio.create_task(connection.start())
    assert await eventually(lambda: pids.exists() and " " in pids.read_text())
    began = time.monotonic()
    await asyncio.gather(*(connection.aclose() for _ in range(3)))
    await asyncio.wait_for(starting, 1)
    assert connection.state == "closed"
    assert time.monotonic() - began < 8
    left = [int(pid) for pid in pids.read_text().split()]
    assert await eventually(lambda: not any(map(alive, left)))


DOWN = {
    "exits at start": "exited with status 4: missing ${env.THE_KEY}",
    "never answers": "did not get ready within 1 s",
    "no list": "does not speak MCP",
}


@pytest.mark.parametrize("fault", DOWN)
async def test_a_server_that_does_not_come_up(fault: str) -> None:
    env = (("THE_KEY", Template((Ref("env", "THE_KEY"),))),)
    wanted = server("hostile.py", fault, env=env)
    began = time.monotonic()
    # A busy machine may be long about the start of a process that does say something.
    patience = 1.0 if fault == "never answers" else 20.0
    async with opened(wanted, connect_timeout=patience) as connection:
        assert time.monotonic() - began < patience + 10
        assert connection.state == "down"
        assert DOWN[fault] in (connection.problem or "")
        assert "hunter2" not in (connection.problem or "")
        assert connection.tools == ()
        assert "is not available" in await failure(connection)


THE_KEY = (("THE_KEY", Template((Ref("env", "THE_KEY"),))),)


async def test_a_server_that_refuses_the_session_is_believed_and_not_quoted_in_full(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "retinue")
    began = time.monotonic()
    async with opened(server("hostile.py", "refuses", env=THE_KEY)) as connection:
        # It isn't asked again as if it were of another era, which takes ten seconds.
        assert time.monotonic() - began < 8
        assert connection.state == "down"
        assert (connection.problem or "").startswith("it refused the session: xxx")
        assert "${e" in (connection.problem or "")
        said = await failure(connection)
    assert "hunt" not in said + caplog.text


async def test_a_servers_secrets_do_not_come_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "retinue")
    async with opened(server("hostile.py", "quotes", env=THE_KEY)) as connection:
        result = await connection.call("good", {})
        assert result.structured == {"said": "x" * 285 + " bad key ${env.THE_KEY}"}
        refused = await failure(connection, "other")
        assert refused.endswith("bad key ${env.THE_KEY}")
        said = result.text + refused + connection.tools[0].description
    assert "hunter2" not in said + caplog.text


async def test_commands_that_can_not_be_started(tmp_path: Path) -> None:
    file = tmp_path / "plain"
    file.write_text("no program")
    for command, problem in (("no-such-command-here", "was not found"), (str(file), "Permission")):
        wanted = ToolServer(name="s", transport=Stdio(command=command))
        async with opened(wanted) as connection:
            assert connection.state == "down"
            assert problem in (connection.problem or "")


async def test_a_missing_reference_and_a_missing_target() -> None:
    missing = Stdio(command="echo", args=(Template((Ref("env", "NOT_SET"),)),))
    async with opened(ToolServer(name="s", transport=missing)) as connection:
        assert "NOT_SET is not set" in (connection.problem or "")
    space = ToolServer(name="s", transport=Databricks(kind="genie_space", target=None))
    async with opened(space) as connection:
        assert connection.state == "down"
        assert "set the bundle variable" in (connection.problem or "")


async def test_a_slow_start_within_the_deadline() -> None:
    async with opened(server("hostile.py", "slow start"), connect_timeout=5) as connection:
        assert connection.state == "up"


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


async def test_a_fault_of_one_server_is_nobody_elses() -> None:
    async with (
        opened(server("hostile.py", "hang", name="waiting")) as waiting,
        opened(server("hostile.py", "processes", name="faulty")) as faulty,
    ):
        call = asyncio.create_task(failure(waiting))
        await asyncio.sleep(0.05)
        assert "exited with status 3" in await failure(faulty, "crash")
        assert not call.done()
        assert (waiting.state, waiting.problem) == ("up", None)
        call.cancel()
        await asyncio.wait({call})
