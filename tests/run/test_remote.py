"""Agents elsewhere: asked as a tool, for whom they are meant to be, and never in a circle."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from retinue.agent import Databricks, Http, Limits, RemoteAgent
from retinue.errors import MissingReferenceError
from retinue.route import Price
from retinue.run.caller import Caller
from retinue.run.events import Event, RunFinished, ToolFinished, ToolProgressed, ToolResult, Usage
from retinue.run.messages import Message
from retinue.run.references import environment
from retinue.run.remote import MAX_DEPTH
from retinue.run.runtime import Runtime
from retinue.testing import ScriptedModel, agent, calls, route, says
from retinue.values import Ref, Template
from run.fake_workspace import FakeWorkspace, opened
from run.models.fake_upstream import (
    STREAM,
    Play,
    Upstream,
    chunk,
    event,
    plays,
    refuses,
    sends,
    then_reset,
    upstream,
)
from serve.serving import LoopRuntime, Slow, eventually, running

USED = {"prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42}
SEVEN = (chunk({"content": "7 "}), chunk({"content": "loaves"}), chunk({}, "stop", usage=USED))
BILLING = RemoteAgent(name="billing", agent="billing", transport=Http(url=""), description="Bills.")
ADA = Caller(user_id="ada", token="the-token-of-ada")


def at(url: str, **changes: Any) -> RemoteAgent:
    return replace(BILLING, transport=Http(url=url), **changes)


async def asked(
    remote: RemoteAgent,
    *,
    caller: Caller | None = None,
    env: Mapping[str, str] | None = None,
    **limits: Any,
) -> tuple[ToolResult, RunFinished, ScriptedModel]:
    """What a run that asks the agent elsewhere had from it."""
    name = f"ask_{remote.name}"
    model = ScriptedModel(calls((name, {"question": "How much?"})), says("It was 7."))
    free = route("scripted/model", price=Price(input=0.0, output=0.0))
    lead = agent("lead", model=free, remote_agents=(remote,), limits=Limits(**limits))
    lookup = environment(env or {})
    async with Runtime([lead], models={"scripted": lambda _d, _l: model}, lookup=lookup) as runtime:
        async with aclosing(runtime.run("lead", [Message("user", "?")], caller=caller)) as events:
            heard: list[Event] = [event async for event in events]
    (done,) = [event for event in heard if isinstance(event, ToolFinished)]
    assert isinstance(heard[-1], RunFinished)
    return done.result, heard[-1], model


def headers(request: tuple[str, Any]) -> dict[str, str]:
    lines = request[0].split("\r\n")[1:-2]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


async def test_an_agent_elsewhere_is_asked_and_what_it_spends_counts() -> None:
    async with upstream(plays(*SEVEN)) as there:
        key = Template((Ref("secret", "agents/billing"),))
        team = Http(url=there.url, headers=(("X-Team", "a"),))
        remote = replace(BILLING, agent="org/billing", transport=team, api_key=key)
        env = {"RETINUE_SECRET_AGENTS_BILLING": "key-of-billing"}
        result, end, model = await asked(remote, env=env, caller=Caller(session="s"))
    assert (result.text, result.is_error) == ("7 loaves", False)
    assert (end.usage.input_tokens, end.usage.output_tokens) == (10 + 30 + 10, 5 + 12 + 3)
    assert end.usage.cost_usd == 0.0
    (tool,) = model.requests[0].tools
    assert (tool.name, tool.description) == ("ask_billing", "Ask the agent billing. Bills.")
    (request,) = there.requests
    assert request[0].startswith("POST /v1/chat/completions ")
    assert request[1]["model"] == "org/billing"
    assert request[1]["messages"] == [{"role": "user", "content": "How much?"}]
    sent = headers(request)
    assert sent["authorization"] == "Bearer key-of-billing"
    assert (sent["x-team"], sent["x-retinue-depth"], sent["x-session-id"]) == ("a", "1", "s")


async def test_what_a_retinue_spends_there_costs_the_run_here() -> None:
    turn = says("7 loaves", usage=Usage(30, 12, cost_usd=0.25))
    with running(LoopRuntime(ScriptedModel(turn))) as there:
        remote = replace(at(f"{there.url}/v1"), agent="tester")
        result, end, _ = await asked(remote)
        assert result.text == "7 loaves"
        assert end.usage.cost_usd == pytest.approx(0.25)
        # Nobody else is told.
        async with there.async_http as http:
            body = {"model": "tester", "messages": [{"role": "user", "content": "?"}]}
            answer = await http.post("/v1/chat/completions", json={**body, "stream": True})
    assert answer.status_code == 200
    assert "cost" not in answer.text


@pytest.mark.parametrize("told", [-1.0, True, "a lot", None])
async def test_a_cost_that_is_none_is_not_counted(told: Any) -> None:
    final = {**chunk({}, "stop", usage=USED), "x_retinue": {"cost_usd": told}}
    async with upstream(plays(chunk({"content": "7"}), final)) as there:
        _, end, _ = await asked(at(there.url))
    assert end.usage.cost_usd == 0.0
    assert end.usage.output_tokens == 5 + 12 + 3


async def test_under_a_limit_agents_elsewhere_are_asked_one_at_a_time() -> None:
    asking = calls(*[("ask_billing", {"question": "?"})] * 3, usage=Usage(10, 5))
    async with upstream(plays(*SEVEN)) as there:
        lead = agent("lead", remote_agents=(at(there.url),), limits=Limits(max_tokens=50))
        model = ScriptedModel(asking, says("ok"))
        async with Runtime([lead], models={"scripted": lambda _d, _l: model}) as runtime:
            async with aclosing(runtime.run("lead", [Message("user", "?")])) as events:
                heard = [event async for event in events]
    texts = [event.result.text for event in heard if isinstance(event, ToolFinished)]
    assert len(there.requests) == 1
    assert texts.count("7 loaves") == 1
    assert sum("has met its max_tokens" in text for text in texts) == 2


async def test_its_steps_are_structured_content() -> None:
    steps = chunk({"reasoning_content": "Calling sql: q=1\n"})
    async with upstream(plays(steps, *SEVEN)) as there:
        result, _, _ = await asked(at(there.url))
    assert result.structured == {"steps": "Calling sql: q=1\n"}


async def test_its_steps_are_told_as_they_come() -> None:
    heard_one = asyncio.Event()

    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM + event(chunk({"reasoning_content": "Calling sql: q=1\nCall"})))
        # It goes on only once the first is heard.
        await asyncio.wait_for(heard_one.wait(), 10)
        rest = (chunk({"reasoning_content": "ing sql: q=2\n\n"}), *SEVEN)
        writer.write(b"".join(map(event, rest)) + event(b"[DONE]"))

    asking = calls(("ask_billing", {"question": "?"}))
    lines: list[tuple[str, str]] = []
    async with upstream(play) as there:
        lead = agent("lead", remote_agents=(at(there.url),))
        model = ScriptedModel(asking, says("ok"))
        async with Runtime([lead], models={"scripted": lambda _d, _l: model}) as runtime:
            async with aclosing(runtime.run("lead", [Message("user", "?")])) as events:
                async for one in events:
                    if isinstance(one, ToolProgressed):
                        heard_one.set()
                        lines.append((one.call.name, one.line))
                    elif isinstance(one, ToolFinished):
                        lines.append((one.call.name, one.result.text))
    told = ["Calling sql: q=1", "Calling sql: q=2", "7 loaves"]
    assert lines == [("ask_billing", line) for line in told]


MOVED = b"HTTP/1.1 302 X\r\nlocation: http://evil\r\ncontent-length: 0\r\n\r\n"
FAULTS: dict[str, tuple[Play, str]] = {
    "refused": (refuses(401), "did not accept the credentials"),
    "busy": (refuses(503), "is not available"),
    "no such agent": (refuses(404), "is not known"),
    "elsewhere": (sends(MOVED), "a redirect"),
    "broken off": (then_reset(chunk({"content": "7"})), "cut off"),
    "no end": (plays(chunk({"content": "7"}), done=False), "cut off"),
    "no HTTP": (sends(b"garbage\r\n\r\n"), ""),
    "too long": (plays(chunk({"content": "x" * 300_000}), *SEVEN), "longer than"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_there_costs_its_own_answer(fault: str) -> None:
    play, words = FAULTS[fault]
    async with upstream(play) as there:
        result, end, _ = await asked(at(there.url))
    assert result.is_error
    assert result.text.startswith("billing could not answer: ")
    assert words in result.text
    assert "sk-secret" not in result.text
    assert end.messages[-1].content == "It was 7."
    # It may have done something: it isn't asked again.
    assert len(there.requests) == 1


async def test_an_answer_that_was_cut_there_says_so() -> None:
    async with upstream(plays(chunk({"content": "7"}), chunk({}, "length"))) as there:
        result, _, _ = await asked(at(there.url))
    assert "was stopped before it was done: length" in result.text


@pytest.mark.parametrize("limits", [{}, {"timeout": 1.5}])
async def test_it_is_waited_for_no_longer_than_its_own_time_and_the_runs(limits: Any) -> None:
    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await there.until_left(reader)

    async with upstream(hang) as there:
        asking = asked(at(there.url, timeout=60.0 if limits else 0.3), **limits)
        if limits:
            with pytest.raises(Exception, match="did not finish within"):
                await asking
        else:
            assert "in time" in (await asking)[0].text
        await asyncio.wait_for(there.left.wait(), 10)


async def test_what_is_not_set_is_told() -> None:
    nowhere = RemoteAgent(name="b", agent="b", transport=Http(url=Template((Ref("env", "URL"),))))
    result, _, _ = await asked(nowhere)
    assert "URL is not set" in result.text
    for url, env in (("http://[", {}), ("", {}), ("http://127.0.0.1:1/v1", {"K": "a\nb"})):
        key = Template((Ref("env", "K", default=""),))
        result, _, _ = await asked(at(url, api_key=key), env=env)
        assert result.is_error


async def test_agents_that_ask_each_other_come_to_an_end() -> None:
    urls: dict[str, str] = {}

    def lookup(ref: Ref) -> str:
        found = urls.get(ref.name, ref.default)
        if found is None:
            raise MissingReferenceError(ref.name)
        return found

    def asks(name: str, other: str) -> tuple[Runtime, ScriptedModel]:
        model = ScriptedModel(calls((f"ask_{other}", {"question": "?"})))
        remote = RemoteAgent(
            name=other, agent=other, transport=Http(url=Template((Ref("env", other),)))
        )
        asking = agent(name, remote_agents=(remote,), limits=Limits(max_turns=1))
        return Runtime([asking], models={"scripted": lambda _d, _l: model}, lookup=lookup), model

    (one, ones), (two, twos) = asks("one", "two"), asks("two", "one")
    with running(one) as first, running(two) as second:
        urls |= {"one": f"{first.url}/v1", "two": f"{second.url}/v1"}
        async with first.async_http as http:
            body = {"model": "one", "messages": [{"role": "user", "content": "?"}]}
            answer = await http.post("/v1/chat/completions", json=body, timeout=60)
            assert answer.status_code == 200
            assert len(ones.requests) + len(twos.requests) == 1 + MAX_DEPTH
            depth = {"x-retinue-depth": "none"}
            refused = await http.post("/v1/chat/completions", json=body, headers=depth)
            assert (refused.status_code, refused.json()["error"]["param"]) == (
                400,
                "x-retinue-depth",
            )
    result, _, _ = await asked(at("http://127.0.0.1:1/v1"), caller=Caller(depth=MAX_DEPTH))
    assert f"{MAX_DEPTH} agents have asked one another" in result.text


async def test_a_run_that_is_given_up_is_given_up_there_too() -> None:
    slow = Slow()
    model = ScriptedModel(calls(("ask_tester", {"question": "?"})))
    with running(LoopRuntime(ScriptedModel(calls(("wait", {}))), [slow.function])) as there:
        remote = RemoteAgent(name="tester", agent="tester", transport=Http(url=f"{there.url}/v1"))
        lead = agent("lead", remote_agents=(remote,))
        async with Runtime([lead], models={"scripted": lambda _d, _l: model}) as runtime:

            async def run() -> None:
                async with aclosing(runtime.run("lead", [Message("user", "?")])) as events:
                    async for _ in events:
                        pass

            task = asyncio.create_task(run())
            await asyncio.to_thread(eventually, lambda: slow.started == 1, 10)
            task.cancel()
            await asyncio.wait({task})
            await asyncio.to_thread(eventually, lambda: slow.cancelled == 1, 10)


@asynccontextmanager
async def deployed(url: str | None = None) -> AsyncIterator[tuple[FakeWorkspace, Upstream]]:
    """A workspace and the app in it, whose address the workspace says is `url`."""
    async with upstream(plays(*SEVEN)) as there, opened(FakeWorkspace()) as fake:
        told = {"url": url or there.url.removesuffix("/v1")}
        fake.answers["/api/2.0/apps/bills"] = (200, told)
        yield fake, there


def app(auth: Any, target: str | None = "bills") -> RemoteAgent:
    return replace(BILLING, transport=Databricks(kind="app", target=target), auth=auth)


@pytest.mark.usefixtures("in_an_app")
@pytest.mark.parametrize(("auth", "token"), [("app", "token-1"), ("user", ADA.token)])
async def test_an_app_is_asked_as_whom_it_is_meant_to_be(auth: str, token: str) -> None:
    async with deployed() as (fake, there):
        env = {"DATABRICKS_HOST": fake.url, "DATABRICKS_APP_NAME": "agent"}
        result, _, _ = await asked(app(auth), caller=ADA, env=env)
        assert result.text == "7 loaves"
        assert fake.signed == [("/api/2.0/apps/bills", f"Bearer {token}")]
        (request,) = there.requests
        assert request[0].startswith("POST /api/v1/chat/completions ")
        assert headers(request)["authorization"] == f"Bearer {token}"


@pytest.mark.usefixtures("in_an_app")
async def test_an_app_that_cannot_be_asked() -> None:
    async with deployed("https://evil.example.com") as (fake, there):
        env = {"DATABRICKS_HOST": fake.url, "DATABRICKS_APP_NAME": "agent"}
        no_token = await asked(app("user"), env=env)
        assert "no Databricks token of a user's" in no_token[0].text
        assert fake.signed == []
        for remote, words in (
            (app("app"), "no address of Databricks' own"),
            (app("app", "gone"), "answered 404"),
            (app("app", None), "has no value here"),
        ):
            result, _, _ = await asked(remote, env=env)
            assert result.is_error
            assert words in result.text
        assert there.requests == []


@pytest.mark.usefixtures("in_an_app")
async def test_users_at_the_same_time_are_never_mixed_up() -> None:
    async with deployed() as (fake, there):
        env = {"DATABRICKS_HOST": fake.url, "DATABRICKS_APP_NAME": "agent"}
        users = [
            Caller(user_id=f"u{n}", token=f"the-token-of-{n}", session=f"s{n}") for n in range(30)
        ]
        lead = agent("lead", remote_agents=(app("user"),))

        class Busy(ScriptedModel):
            """Asks once, whoever else is being served."""

            async def stream(self, request: Any) -> Any:
                done = any(message.role == "tool" for message in request.messages)
                for step in says("ok") if done else calls(("ask_billing", {"question": "?"})):
                    yield step

        lookup = environment(env)
        async with Runtime(
            [lead], models={"scripted": lambda _d, _l: Busy()}, lookup=lookup
        ) as runtime:

            async def run(caller: Caller) -> None:
                events = runtime.run("lead", [Message("user", "?")], caller=caller)
                async with aclosing(events):
                    async for _ in events:
                        pass

            await asyncio.gather(*map(run, users))
    sent = {(h["authorization"], h["x-session-id"]) for h in map(headers, there.requests)}
    assert sent == {(f"Bearer {user.token}", user.session) for user in users}
    assert len(there.requests) == 30
