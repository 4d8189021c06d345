"""The runtime: what is shared, what a fault costs, what is closed."""

import asyncio
import shutil
import sys
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from retinue.agent import Http, Stdio, ToolServer
from retinue.errors import NotReadyError
from retinue.run.events import RunFinished, ToolFinished
from retinue.run.messages import Message
from retinue.run.options import RunOptions
from retinue.run.runtime import Runtime
from retinue.run.untrusted import RULE
from retinue.testing import ScriptedModel, agent, calls, route, says

SERVER = Path(__file__).parent / "servers" / "adder.py"
ADDER = ToolServer(name="adder", transport=Stdio(command=sys.executable, args=(str(SERVER),)))
GONE = ToolServer(name="gone", transport=Http(url="http://127.0.0.1:9/mcp"))
HELLO = [Message("user", "hello")]


def scripted(model: ScriptedModel):
    return {"scripted": lambda _route, _lookup: model}


async def test_a_run_goes_through_prompt_model_and_a_real_server():
    model = ScriptedModel(calls(("adder__add", {"a": 20, "b": 22})), says("done"))
    async with Runtime([agent(mcp_servers=(ADDER,))], models=scripted(model)) as runtime:
        async with aclosing(
            runtime.run("tester", HELLO, options=RunOptions(settings={"temperature": 0}))
        ) as run:
            events = [event async for event in run]
    (result,) = [e.result.text for e in events if isinstance(e, ToolFinished)]
    assert result == "42"
    assert isinstance(events[-1], RunFinished)
    first = model.requests[0]
    assert first.messages[0] == Message("system", f"Be brief.\n\n{RULE}")
    assert [tool.name for tool in first.tools] == ["adder__add"]
    assert first.settings == {"temperature": 0}
    assert model.closed


async def test_request_settings_go_over_the_routes_own():
    model = ScriptedModel(says("ok"))
    there = route("scripted/x", settings={"temperature": 1.0, "seed": 3})
    async with Runtime([agent(model=there)], models=scripted(model)) as runtime:
        async with aclosing(
            runtime.run("tester", HELLO, options=RunOptions(settings={"temperature": 0.2}))
        ) as run:
            async for _ in run:
                pass
    assert model.requests[0].settings == {"temperature": 0.2, "seed": 3}


async def test_two_names_for_the_longest_answer_never_meet():
    model = ScriptedModel(says("ok"))
    there = route("scripted/x", settings={"max_tokens": 100})
    settings = {"max_completion_tokens": 50}
    async with Runtime([agent(model=there)], models=scripted(model)) as runtime:
        async with aclosing(
            runtime.run("tester", HELLO, options=RunOptions(settings=settings))
        ) as run:
            async for _ in run:
                pass
    assert model.requests[0].settings == settings


async def test_models_are_warmed_in_the_background():
    model = ScriptedModel()
    async with Runtime([agent()], models=scripted(model)) as runtime:
        runtime.warm()
        await asyncio.sleep(0.01)
        assert model.warmed


async def test_equal_servers_are_connected_once():
    agents = [agent(name, mcp_servers=(ADDER,)) for name in ("one", "two")]
    async with Runtime(agents, models=scripted(ScriptedModel())) as runtime:
        health = runtime.health()
        assert health["one"]["adder"]["state"] == health["two"]["adder"]["state"] == "up"
        assert len(runtime._connections) == 1


async def test_a_server_that_is_down_costs_its_own_tools_only():
    model = ScriptedModel(says("ok"))
    both = agent(mcp_servers=(GONE, ADDER))
    async with Runtime([both], models=scripted(model)) as runtime:
        assert [tool.name for tool in runtime.tools("tester")] == ["adder__add"]
        assert "'gone' is not available" in runtime.system_prompt("tester")
        assert runtime.health()["tester"]["gone"]["state"] == "down"
        async with aclosing(runtime.run("tester", HELLO)) as run:
            assert isinstance([e async for e in run][-1], RunFinished)


async def test_an_agent_does_not_run_without_a_server_it_requires():
    needy = agent(mcp_servers=(replace(GONE, required=True), ADDER))
    async with Runtime([needy, agent("free")], models=scripted(ScriptedModel())) as runtime:
        with pytest.raises(NotReadyError, match="'gone'"):
            await anext(runtime.run("tester", HELLO))
        async with aclosing(runtime.run("free", HELLO)) as run:
            assert isinstance([e async for e in run][-1], RunFinished)


async def test_a_required_server_that_was_lost_is_missed_as_much(tmp_path):
    gone = tmp_path / SERVER.name
    for name in (SERVER.name, "plain.py"):
        shutil.copy(SERVER.with_name(name), tmp_path)
    once = ToolServer(
        name="once",
        transport=Stdio(command=sys.executable, args=(str(gone),)),
        required=True,
    )
    async with Runtime([agent(mcp_servers=(once,))], models=scripted(ScriptedModel())) as runtime:
        async with aclosing(runtime.run("tester", HELLO)) as run:
            assert isinstance([e async for e in run][-1], RunFinished)
        gone.unlink()
        connection = runtime._connections[once]
        connection._session.end("it was stopped")
        for _ in range(600):
            if connection.state == "down":
                break
            await asyncio.sleep(0.05)
        assert (connection.state, bool(connection.tools)) == ("down", True)
        with pytest.raises(NotReadyError, match="'once'"):
            await anext(runtime.run("tester", HELLO))

        # A run that began before may call it: who asks whether its tools only read is told no.
        assert runtime.tools("tester") == ()
        assert not runtime.only_reads("tester")
        shutil.copy(SERVER, tmp_path)
        result = await connection.call("add", {"a": 1, "b": 2})
        assert result.text == "3"


SLEEPER = ToolServer(
    name="sleeper",
    transport=Stdio(command=sys.executable, args=("-c", "import time; time.sleep(60)")),
)


async def test_a_slow_server_does_not_hold_up_the_others():
    both = agent(mcp_servers=(SLEEPER, ADDER))
    models = scripted(ScriptedModel())
    async with Runtime([both], models=models, patience=0.1) as runtime:
        async with asyncio.timeout(25):
            while not runtime.tools("tester"):  # noqa: ASYNC110 - none to wait for
                await asyncio.sleep(0.02)
        assert [tool.name for tool in runtime.tools("tester")] == ["adder__add"]
        assert "'sleeper' is not available: it is still starting" in runtime.system_prompt("tester")


async def test_stopping_while_it_opens_leaves_no_process():
    runtime = Runtime([agent(mcp_servers=(SLEEPER,))], models=scripted(ScriptedModel()))
    opening = asyncio.create_task(runtime.__aenter__())
    await asyncio.sleep(1)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert runtime.health()["tester"]["sleeper"]["state"] == "closed"


async def test_an_unknown_agent_is_a_key_error():
    async with Runtime([agent()], models=scripted(ScriptedModel())) as runtime:
        with pytest.raises(KeyError):
            await anext(runtime.run("nobody", HELLO))
