"""Tool servers at a URL: a real one in its own process, and one that plays HTTP's faults."""

import asyncio
import time

import pytest

from retinue.agent import Databricks, ToolServer
from retinue.run.mcp import Connection
from retinue.run.references import environment
from retinue.run.toolbox import AgentToolbox
from retinue.values import Ref, Template
from run.connecting import FINE, KEY, at, failure, opened
from run.launching import free_port, launch
from run.played_server import Played, played

# A real server -------------------------------------------------------------------------------


TRANSPORTS = {"streamable-http": "mcp", "sse": "sse"}


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_real_server_through_its_life(transport: str) -> None:
    """Calls, twenty at once, cancellation, death, return; one test, as starting costs a second."""
    port = free_port()
    process = await launch(port, transport)
    url = f"http://127.0.0.1:{port}/{TRANSPORTS[transport]}"
    try:
        async with opened(at(url)) as connection:
            assert (connection.state, connection.problem) == ("up", None)
            assert (await connection.call("add", {"a": 1, "b": 2})).text == "3"
            began = time.monotonic()
            # One by one: 20 s.
            calls = (connection.call("slow", {"seconds": 1}) for _ in range(20))
            assert {r.text for r in await asyncio.gather(*calls)} == {"done"}
            assert time.monotonic() - began < 18
            assert "left out" in (await connection.call("huge", {"size": 3_000_000})).text

            call = asyncio.create_task(connection.call("slow", {"seconds": 30}))
            await asyncio.sleep(0.2)
            call.cancel()
            await asyncio.wait({call})
            assert (await connection.call("times_cancelled", {})).text == "1"

            slow = asyncio.create_task(failure(connection, "slow", seconds=30))
            await asyncio.sleep(0.1)
            assert "connection broke" in await failure(connection, "crash")
            assert "connection broke" in await slow
            await process.wait()
            problem = await failure(connection, "add", a=1, b=1)
            assert f"can't connect to {url}" in problem
            assert connection.state == "down"
            assert "add" in [tool.name for tool in connection.tools]
            process = await launch(port, transport)
            assert (await connection.call("add", {"a": 1, "b": 1})).text == "2"
            assert connection.state == "up"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


# One that plays faults -----------------------------------------------------------------------


async def test_the_older_protocol_and_headers() -> None:
    header = ("Authorization", Template(("Bearer ", Ref("env", "THE_KEY"))))
    async with played("", headers=(header,)) as (fake, connection):
        assert connection.state == "up"
        assert await connection.call("good", {}) == FINE
        assert all(f"authorization: bearer {KEY}" in head for head in fake.heads)
    assert fake.heads[-1].startswith("delete")


async def test_a_server_that_quotes_our_token_is_not_quoted() -> None:
    header = ("Authorization", Template(("Bearer ", Ref("env", "THE_KEY"))))
    async with played("", headers=(header,)) as (fake, connection):
        fake.fault = "echo"
        assert "no access for bearer ${env.THE_KEY}" in await failure(connection)
    async with played("echo", headers=(header,)) as (_, connection):
        assert "no access for bearer ${env.THE_KEY}" in (connection.problem or "")


REFUSED = {
    "302": "answered 302 (a redirect",
    "401": "answered 401 (not authorised",
    "403": "answered 403 (forbidden",
    "429": "answered 429 (too many requests; retry after 9)",
    "500": "answered 500 (an error",
    "503": "answered 503 (an error",
}


@pytest.mark.parametrize("status", REFUSED)
async def test_a_refused_call_says_how(status: str) -> None:
    async with played(status) as (fake, connection):
        assert REFUSED[status] in await failure(connection)
        assert connection.state == "up"
        # Only 401 is tried once more, over a new session.
        assert fake.calls == (2 if status == "401" else 1)
        fake.fault = ""
        assert await connection.call("good", {}) == FINE


@pytest.mark.parametrize("status", REFUSED)
async def test_a_refused_session_says_how(status: str) -> None:
    async with played(f"connect {status}") as (fake, connection):
        assert connection.state == "down"
        assert REFUSED[status] in (connection.problem or "")
        assert "secret" not in (connection.problem or "")
        fake.fault = ""
        assert await connection.call("good", {}) == FINE


@pytest.mark.parametrize("fault", ["forgets", "401 once"])
async def test_a_forgotten_session_is_opened_anew(fault: str) -> None:
    async with played(fault) as (fake, connection):
        assert await connection.call("good", {}) == FINE
        assert fake.calls == 2


BROKEN = {
    "hang": "did not answer within 0.5 s",
    "reset": "connection broke",
    "half json": "connection broke",
    "half event": "connection broke",
    "html": "Unexpected content type",
    "endless": "its answer is too large",
    "garbled": "its answer is compressed",
}


@pytest.mark.parametrize("fault", BROKEN)
async def test_a_broken_answer_costs_its_call(fault: str) -> None:
    timeout = 0.5 if fault == "hang" else 5.0
    async with played(fault, timeout=timeout) as (fake, connection):
        problem = await failure(connection)
        assert BROKEN[fault] in problem
        # It may have had its effect: it is not sent again.
        assert fake.calls == 1
        fake.fault = ""
        assert await connection.call("good", {}) == FINE
        assert connection.state == "up"


@pytest.mark.parametrize("tool", ["good", "safe", "odd"])
@pytest.mark.parametrize("trusted", [True, False])
async def test_only_what_changes_nothing_on_a_trusted_server_is_called_again(
    tool: str, trusted: bool
) -> None:
    async with played("reset once", trusted=trusted) as (fake, connection):
        if trusted and tool == "safe":
            assert await connection.call(tool, {}) == FINE
            assert fake.calls == 2
        else:
            assert "may have taken effect" in await failure(connection, tool)
            assert fake.calls == 1
    async with played("reset", trusted=True) as (fake, connection):
        assert "may have taken effect" in await failure(connection, "safe")
        assert fake.calls == 2


@pytest.mark.parametrize("trusted", [True, False])
async def test_which_tools_only_read_is_for_a_trusted_server_to_say(trusted: bool) -> None:
    async with played("", trusted=trusted) as (_, connection):
        tools = AgentToolbox([connection]).tools
        assert [tool.reads for tool in tools] == [False, trusted, False]


async def test_a_call_that_came_too_soon_is_made_again_when_the_server_says() -> None:
    async with played("busy once") as (fake, connection):
        assert await connection.call("good", {}) == FINE
        assert fake.calls == 2


async def test_a_broken_call_does_not_touch_the_others() -> None:
    async with played("hang") as (fake, connection):
        first = asyncio.create_task(connection.call("good", {}))
        await asyncio.sleep(0.1)
        fake.fault = "reset"
        assert "connection broke" in await failure(connection)
        fake.fault = ""
        assert await connection.call("good", {}) == FINE
        assert not first.done()
        first.cancel()
        await asyncio.wait({first})
        assert first.cancelled()


async def test_nobody_answers() -> None:
    silent = await asyncio.start_server(lambda *_: asyncio.sleep(9), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    began = time.monotonic()
    async with opened(at(f"http://127.0.0.1:{port}/mcp"), connect_timeout=0.5) as connection:
        assert connection.problem == "it did not get ready within 0.5 s"
    assert time.monotonic() - began < 8
    silent.close()


ADDRESSES = {
    "http://127.0.0.1:9/mcp?key=secret": "can't connect to http://127.0.0.1:9/mcp:",
    "http://user:secret@127.0.0.1:9/mcp": "can't connect to http://127.0.0.1:9/mcp:",
    "http://nowhere.invalid/mcp": "can't connect to http://nowhere.invalid/mcp:",
    "ftp://127.0.0.1/mcp": "'ftp://127.0.0.1/mcp' is not an http or https URL",
    "127.0.0.1:9": "is not an http or https URL",
}


@pytest.mark.parametrize("url", ADDRESSES)
async def test_addresses_that_lead_nowhere(url: str) -> None:
    async with opened(at(url)) as connection:
        assert connection.state == "down"
        assert ADDRESSES[url] in (connection.problem or "")
        assert "secret" not in (connection.problem or "")


async def test_a_header_that_can_not_be_sent_is_not_quoted() -> None:
    header = ("Authorization", Template((Ref("env", "THE_KEY"), "\nX: y")))
    async with played("", headers=(header,)) as (_, connection):
        assert connection.state == "down"
        assert KEY not in (connection.problem or "")


# Databricks ----------------------------------------------------------------------------------

SPACE = ToolServer(name="s", transport=Databricks(kind="genie_space", target="01f0/x"), timeout=5)


@pytest.mark.usefixtures("no_databricks")
async def test_a_workspace_server_without_credentials_says_how_to_log_in() -> None:
    async with opened(SPACE) as connection:
        assert connection.state == "down"
        assert "databricks auth login" in (connection.problem or "")
        assert "--offline" in (connection.problem or "")


async def test_a_workspace_server_by_host_and_token(no_databricks: pytest.MonkeyPatch) -> None:
    fake = Played("")
    listener = await asyncio.start_server(fake.answer, "127.0.0.1", 0)
    host = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    no_databricks.setenv("DATABRICKS_HOST", host)
    no_databricks.setenv("DATABRICKS_TOKEN", "dapi-token")
    connection = Connection(SPACE, environment())
    try:
        await connection.start()
        assert connection.problem is None
        assert await connection.call("good", {}) == FINE
        fake.fault = "echo"
        refused = await failure(connection)
    finally:
        await connection.aclose()
        listener.close()
    posts = [head for head in fake.heads if head.startswith("post /api/2.0/mcp/genie/01f0%2fx ")]
    assert posts
    assert all("authorization: bearer dapi-token" in head for head in posts)
    assert "no access for bearer ${workspace.token}" in refused
