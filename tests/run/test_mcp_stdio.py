"""Tool servers as processes: well-behaved, faulty, dying; and nothing of them left behind."""

import asyncio
import logging
import os
import time
from pathlib import Path

import pytest

from retinue.agent import Databricks, Stdio, ToolServer
from retinue.run.mcp import Connection
from retinue.run.messages import ImagePart
from retinue.run.references import environment
from retinue.values import Ref, Template
from run.connecting import FINE, eventually, failure, names, opened
from run.launching import server


def alive(pid: int) -> bool:
    """Whether it runs; a zombie, which nobody may have reaped yet, does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return not Path("/proc/self").exists()


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
        # One by one: 20 s.
        calls = (connection.call("slow", {"seconds": 1}) for _ in range(20))
        assert {r.text for r in await asyncio.gather(*calls)} == {"done"}
        assert time.monotonic() - began < 18
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
    await asyncio.wait_for(starting, 10)
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
