"""`auth: user`: each call with its caller's own token, whoever else calls, and never as the app."""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from retinue.agent import Databricks, DatabricksKind, ToolServer
from retinue.errors import RequestError, ToolError
from retinue.run.caller import Caller
from retinue.run.mcp import UserConnection
from retinue.run.messages import ToolCall
from retinue.run.references import environment
from retinue.run.toolbox import AgentToolbox
from retinue.testing import run_context
from run.fake_workspace import FakeWorkspace, opened
from run.launching import free_port, launch
from run.managed_servers import ManagedServers

pytestmark = pytest.mark.usefixtures("in_an_app")

APP = "Bearer token-1"
SERVER = ToolServer(name="s", transport=Databricks(kind="sql", target=""), auth="user", timeout=30)
ADA, BOB = Caller(user_id="ada", token="the-token-of-ada"), Caller(token="the-token-of-bob")
NOBODY = Caller()


def a_person(in_an_app: pytest.MonkeyPatch) -> None:
    in_an_app.delenv("DATABRICKS_CLIENT_ID")
    in_an_app.delenv("DATABRICKS_CLIENT_SECRET")
    in_an_app.setenv("DATABRICKS_TOKEN", "dapi-of-a-person")


@asynccontextmanager
async def connected(
    fake: FakeWorkspace, *, app: bool = True, server: ToolServer = SERVER, **options: Any
) -> AsyncIterator[UserConnection]:
    env = {"DATABRICKS_HOST": fake.url} | ({"DATABRICKS_APP_NAME": "agent"} if app else {})
    connection = UserConnection(server, environment(env), **options)
    try:
        await connection.start()
        yield connection
    finally:
        await connection.aclose()


async def who(connection: UserConnection, caller: Caller) -> str:
    """The token that the call came with; the server says it backwards, as no one redacts that."""
    return (await connection.call("who", {}, caller)).text.removeprefix("you are ")[::-1]


async def refusal(connection: UserConnection, caller: Caller) -> str:
    with pytest.raises(ToolError) as caught:
        await connection.call("who", {}, caller)
    return str(caught.value)


async def test_users_at_the_same_time_are_never_mixed_up() -> None:
    users = [Caller(token=f"the-token-of-user-{n}") for n in range(30)] * 3
    async with opened(ManagedServers()) as fake, connected(fake) as connection:
        assert connection.state == "up"
        assert [tool.name for tool in connection.tools] == ["who"]
        said = await asyncio.gather(*(who(connection, user) for user in users))
        assert said == [user.token for user in users]
        # The app lists, and each user has one session.
        assert fake.open_sessions == 31
    assert fake.open_sessions == 0
    assert APP not in fake.calls()
    assert {w for _, w, _ in fake.seen} == {APP, *(f"Bearer {user.token}" for user in users)}


async def test_the_newer_protocol_knows_no_sessions_and_mixes_nobody_up() -> None:
    port = free_port()
    process = await launch(port)
    try:
        async with opened(FakeWorkspace()) as fake:
            fake.mcp_url = f"http://127.0.0.1:{port}/mcp"
            async with connected(fake) as connection:
                before = len(fake.signed)
                adding = [
                    connection.call("add", {"a": 1, "b": n}, (ADA, BOB)[n % 2]) for n in range(6)
                ]
                said = [result.text for result in await asyncio.gather(*adding)]
                assert said == ["1", "2", "3", "4", "5", "6"]
                asked = Counter(token for _, token in fake.signed[before:])
                assert all(asked.pop(f"Bearer {user.token}") >= 3 for user in (ADA, BOB))
                # The app listens for changes of the tools, and lists them once it does.
                assert asked.keys() <= {APP}
                assert asked[APP] <= 2
    finally:
        process.kill()
        await process.wait()


async def test_a_renewed_token_is_the_one_that_goes_out() -> None:
    async with opened(ManagedServers()) as fake, connected(fake) as connection:
        assert await who(connection, ADA) == "the-token-of-ada"
        renewed = Caller(user_id="ada", token="another-token-of-ada")
        assert await who(connection, renewed) == "another-token-of-ada"


@pytest.mark.parametrize("caller", [NOBODY, Caller(user_id="ada"), Caller(token="")])
async def test_a_caller_without_a_token_is_told_what_to_do(caller: Caller) -> None:
    async with opened(ManagedServers()) as fake, connected(fake) as connection:
        assert "user authorization" in await refusal(connection, caller)
        with pytest.raises(RequestError, match="brings no Databricks token") as caught:
            await connection.require(caller)
        assert (caught.value.code, caught.value.status) == ("user_token_missing", 403)
        await connection.require(ADA)
    assert fake.calls() == []


async def test_on_a_laptop_it_is_the_person_who_is_logged_in(
    in_an_app: pytest.MonkeyPatch,
) -> None:
    a_person(in_an_app)
    async with opened(ManagedServers()) as fake, connected(fake, app=False) as connection:
        assert await who(connection, NOBODY) == "dapi-of-a-person"
        await connection.require(NOBODY)
        assert await who(connection, ADA) == "the-token-of-ada"
        assert "can't be called" in await refusal(connection, Caller(user_id="ada"))
    async with opened(ManagedServers()) as fake, connected(fake, app=True) as connection:
        assert "can't be called" in await refusal(connection, NOBODY)
        assert fake.calls() == []


async def test_a_service_principal_is_no_person_anywhere() -> None:
    async with opened(ManagedServers()) as fake, connected(fake, app=False) as connection:
        assert "can't be called" in await refusal(connection, NOBODY)
        assert fake.calls() == []


async def test_nobody_is_logged_in(in_an_app: pytest.MonkeyPatch) -> None:
    in_an_app.delenv("DATABRICKS_CLIENT_ID")
    async with opened(ManagedServers()) as fake, connected(fake, app=False) as connection:
        assert connection.state == "down"
        assert "databricks auth login" in await refusal(connection, NOBODY)
        await connection.require(NOBODY)


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_where_the_app_may_not_list_each_user_does(status: int) -> None:
    async with opened(ManagedServers()) as fake:
        # The second is a renewed one, where the first wasn't taken.
        fake.refusals = {APP: status, "Bearer token-2": status, f"Bearer {BOB.token}": 403}
        fake.own_tools[f"Bearer {ADA.token}"] = [{"name": "hers", "inputSchema": {}}]
        async with connected(fake) as connection:
            # The server isn't down: nobody who may has asked yet.
            assert (connection.state, connection.available) == ("up", True)
            assert f"answered {status}" in (connection.problem or "")
            toolbox = AgentToolbox([connection])
            assert (toolbox.tools, toolbox.notices) == ((), ())
            hers, his, nobodys = await asyncio.gather(*map(toolbox.of, (ADA, BOB, NOBODY)))
            assert [tool.name for tool in hers.tools] == ["s__who", "s__hers"]
            call = ToolCall("c", "s__hers", "{}")
            assert not (await hers.call(call, run_context(caller=ADA))).is_error
            assert (his.tools, nobodys.tools) == ((), ())
            assert "ask for the permission" in his.notices[0]
            assert "brings no Databricks token" in nobodys.notices[0]
    assert fake.calls() == [f"Bearer {ADA.token}"]


@pytest.mark.parametrize("kind", ["functions", "sql"])
async def test_tools_that_hang_on_grants_are_listed_by_each_user(kind: DatabricksKind) -> None:
    server = replace(SERVER, transport=Databricks(kind=kind, target="main.tools"))
    async with opened(ManagedServers()) as fake:
        fake.tools = []
        fake.own_tools[f"Bearer {ADA.token}"] = [{"name": "hers", "inputSchema": {}}]
        if kind == "functions":
            fake.own_tools[APP] = [{"name": "the_apps", "inputSchema": {}}]
        async with connected(fake, server=server) as connection:
            toolbox = AgentToolbox([connection])
            assert [tool.name for tool in (await toolbox.of(ADA)).tools] == ["s__hers"]
            assert (await toolbox.of(BOB)).tools == ()


async def test_a_server_that_is_gone_is_down_for_all() -> None:
    async with opened(ManagedServers()) as fake:
        fake.refusals = {APP: 503}
        async with connected(fake) as connection:
            assert (connection.state, connection.available) == ("down", False)


async def test_a_toolbox_is_shared_where_the_app_lists() -> None:
    async with opened(ManagedServers()) as fake, connected(fake) as connection:
        toolbox = AgentToolbox([connection])
        assert await toolbox.of(ADA) is toolbox
        call = ToolCall("c", "s__who", "{}")
        result = await toolbox.call(call, run_context(caller=ADA))
        assert result.text == f"you are {'the-token-of-ada'[::-1]}"
        assert (await toolbox.call(call, run_context())).is_error


WORDS = {401: "sign in again", 403: "ask for the permission", 429: "retry after 7"}


@pytest.mark.parametrize("status", WORDS)
async def test_a_refused_call_says_what_to_do(status: int) -> None:
    async with opened(ManagedServers()) as fake, connected(fake) as connection:
        assert await who(connection, BOB)
        fake.call_refusals[f"Bearer {ADA.token}"] = status
        said = await refusal(connection, ADA)
        assert f"answered {status}" in said
        assert WORDS[status] in said
        # Not again with the same token, nor with any other.
        assert fake.calls().count(f"Bearer {ADA.token}") == 1
        assert await who(connection, BOB) == BOB.token
    assert APP not in fake.calls()


async def test_sessions_are_bounded_and_closed_when_idle() -> None:
    async with opened(ManagedServers()) as fake:
        async with connected(fake, most_users=2, idle=0.3) as connection:
            for n in range(5):
                await who(connection, Caller(token=f"the-token-of-user-{n}"))
                assert fake.open_sessions <= 1 + 3  # one may still be closing
            for _ in range(200):
                if fake.open_sessions == 1:
                    break
                await asyncio.sleep(0.05)
            assert fake.open_sessions == 1
            assert await who(connection, ADA) == ADA.token


async def test_nobody_is_thrown_out_of_a_call() -> None:
    async with opened(ManagedServers()) as fake:
        async with connected(fake, most_users=1) as connection:
            first = asyncio.create_task(who(connection, ADA))
            await asyncio.sleep(0)
            assert "too many users" in await refusal(connection, BOB)
            assert await first == ADA.token
            assert await who(connection, BOB) == BOB.token


async def test_a_closed_server_opens_no_session() -> None:
    async with opened(ManagedServers()) as fake:
        async with connected(fake) as connection:
            pass
        assert "is closed" in await refusal(connection, ADA)
        assert fake.open_sessions == 0


@pytest.mark.parametrize("token", ["a\r\nx-evil: 1", "snow☃man-token", "x" * 100_000])
async def test_a_strange_token_costs_its_own_call(token: str) -> None:
    async with opened(ManagedServers()) as fake, connected(fake) as connection:
        strange = await refusal(connection, Caller(token=token))
        assert token not in strange
        assert await who(connection, ADA) == ADA.token


@pytest.mark.parametrize("path", ["/api/2.0/mcp/sql", "/mcp", "/"])
async def test_a_token_follows_no_redirect_to_another_host(path: str) -> None:
    async with opened(ManagedServers()) as fake, opened(ManagedServers()) as elsewhere:
        async with connected(fake) as connection:
            fake.moved = elsewhere.url + path
            assert "redirect" in await refusal(connection, ADA)
            fake.moved = ""
            assert await who(connection, ADA) == ADA.token
    assert elsewhere.seen == elsewhere.signed == []


async def test_tokens_are_told_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with opened(ManagedServers()) as fake:
        echo = {"content": [{"type": "text", "text": f"hello {ADA.token}"}], "isError": True}
        fake.plays["who"] = [echo, {"content": f"not valid {ADA.token}"}]
        async with connected(fake) as connection:
            toolbox = AgentToolbox([connection])
            call = ToolCall("c", "s__who", "{}")
            said = [await toolbox.call(call, run_context(caller=ADA)) for _ in range(3)]
            fake.refusals[f"Bearer {ADA.token}"] = 401
            said.append(await toolbox.call(call, run_context(caller=ADA)))
            shown = (*said, connection.problem, connection.tools, vars(connection), ADA)
        said[0].text.index("${user.token}")
        assert ADA.token not in repr(shown)
    assert ADA.token not in caplog.text
    assert json.dumps(caplog.text).count("token-of") == 0
