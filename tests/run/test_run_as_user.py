"""Whole runs with `auth: user`: the caller goes with every tool call, and with no other request."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from retinue.agent import Agent, Databricks, Http, SubAgent, ToolServer
from retinue.errors import NotReadyError, RequestError
from retinue.run.caller import Caller
from retinue.run.events import ToolFinished
from retinue.run.messages import Message
from retinue.run.references import environment
from retinue.run.runtime import Runtime
from retinue.testing import ScriptedModel, agent, calls, route, says
from run.fake_workspace import opened
from run.managed_servers import ManagedServers

pytestmark = pytest.mark.usefixtures("in_an_app")

SQL = ToolServer(name="sql", transport=Databricks(kind="sql", target=""), auth="user", timeout=5)
SHARED = replace(SQL, name="shared", auth="app")
ADA, BOB = Caller(user_id="ada", token="the-token-of-ada"), Caller(token="the-token-of-bob")
HELLO = [Message("user", "hello")]


@asynccontextmanager
async def running(
    fake: ManagedServers, asked: Agent, *turns: Any, **others: Any
) -> AsyncIterator[tuple[Runtime, Mapping[str, ScriptedModel]]]:
    """A runtime and its models; a new one, with the same turns, for each run that opens one."""
    models = {"scripted": ScriptedModel(*turns), **others}
    factories = {name: lambda _d, _l, m=m: m for name, m in models.items()}
    lookup = environment({"DATABRICKS_HOST": fake.url, "DATABRICKS_APP_NAME": "agent"})
    async with Runtime([asked], models=factories, lookup=lookup) as runtime:
        yield runtime, models


async def told(runtime: Runtime, name: str, caller: Caller | None) -> list[str]:
    """What the tools answered."""
    async with aclosing(runtime.run(name, HELLO, caller=caller)) as events:
        return [e.result.text async for e in events if isinstance(e, ToolFinished)]


def you_are(caller: Caller) -> str:
    return f"you are {(caller.token or '')[::-1]}"


async def test_each_server_gets_the_identity_it_is_for() -> None:
    wanted = calls(("sql__who", {}), ("shared__who", {}), ("outside__who", {}))
    async with opened(ManagedServers()) as fake, opened(ManagedServers()) as outside:
        elsewhere = ToolServer(name="outside", transport=Http(url=f"{outside.url}/mcp"))
        asked = agent(mcp_servers=(SQL, SHARED, elsewhere))
        async with running(fake, asked, wanted, says("ok")) as (runtime, models):
            heard = await told(runtime, "tester", ADA)
            app = Caller(token="token-1")
            assert sorted(heard) == sorted([you_are(ADA), you_are(app), "you are "])
            assert {server["state"] for server in runtime.health()["tester"].values()} == {"up"}
            assert "token-of" not in repr(
                (runtime.health(), models["scripted"].requests[1].messages)
            )
    assert {who for _, who, _ in outside.seen} == {""}
    # As many calls as identities, each to the server that it is for.
    assert sorted(fake.calls()) == sorted([f"Bearer {ADA.token}", "Bearer token-1"])


async def test_two_callers_runs_at_once() -> None:
    class Busy(ScriptedModel):
        """Calls the tool until it has its answer, whoever else is being served."""

        async def stream(self, request: Any) -> Any:
            done = any(message.role == "tool" for message in request.messages)
            for step in says("ok") if done else calls(("sql__who", {})):
                await asyncio.sleep(0)
                yield step

    async with opened(ManagedServers()) as fake:
        model = Busy()
        async with running(fake, agent(mcp_servers=(SQL,)), scripted=model) as (runtime, _):
            who = [ADA, BOB] * 10
            heard = await asyncio.gather(*(told(runtime, "tester", caller) for caller in who))
    assert heard == [[you_are(caller)] for caller in who]
    assert len(fake.calls()) == 20


@pytest.mark.parametrize("mode", ["tool", "handoff"])
async def test_sub_agents_act_for_the_same_caller(mode: Any) -> None:
    digger = agent("digger", "Dig.", model=route("digger/m"), mcp_servers=(SQL,))
    lead = agent("lead", model=route("lead/m"), sub_agents=(SubAgent(agent=digger, mode=mode),))
    ask = ("ask_digger", {"question": "?"}) if mode == "tool" else None
    asking = calls(ask or ("hand_over_to_digger", {"reason": "?"}))
    models = {
        "lead": ScriptedModel(asking, says("ok")),
        "digger": ScriptedModel(calls(("sql__who", {})), says("dug")),
    }
    async with opened(ManagedServers()) as fake, running(fake, lead, **models) as (runtime, _):
        await told(runtime, "lead", ADA)
        assert fake.calls() == [f"Bearer {ADA.token}"]


async def test_a_caller_without_a_token() -> None:
    required = agent("strict", mcp_servers=(replace(SQL, required=True),))
    async with opened(ManagedServers()) as fake:
        turns = calls(("sql__who", {})), says("ok")
        async with running(fake, agent(mcp_servers=(SQL,)), *turns) as (runtime, _):
            (heard,) = await told(runtime, "tester", None)
            assert "user authorization" in heard
        async with running(fake, required, says("ok")) as (runtime, _):
            with pytest.raises(RequestError, match="user authorization"):
                await told(runtime, "strict", None)
            assert await told(runtime, "strict", ADA) == []
    assert fake.calls() == []


async def test_a_required_server_that_nobody_but_users_may_list() -> None:
    strict = agent("strict", mcp_servers=(replace(SQL, required=True),))
    async with opened(ManagedServers()) as fake:
        fake.refusals = {"Bearer token-1": 403, f"Bearer {BOB.token}": 403}
        turns = calls(("sql__who", {})), says("ok")
        async with running(fake, strict, *turns) as (runtime, models):
            assert await told(runtime, "strict", ADA) == [you_are(ADA)]
            assert [tool.name for tool in models["scripted"].requests[0].tools] == ["sql__who"]
            with pytest.raises(NotReadyError, match="ask for the permission"):
                await told(runtime, "strict", BOB)
