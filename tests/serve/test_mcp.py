"""`/mcp`: agents as tools for MCP's own client, in both eras, for those who may use them."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

import httpx
import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from serving import LoopRuntime, Running, Slow, eventually, running

from retinue.agent import Auth, Instructions, Limits, Serving, Variable
from retinue.errors import ModelError
from retinue.serve.admission import Access
from retinue.testing import ScriptedModel, agent, calls, says

ERAS = ("legacy", "2026-07-28")
JSON = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
FORM = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@asynccontextmanager
async def client(
    server: Running, era: str, path: str = "/mcp", **headers: str
) -> AsyncIterator[Client]:
    async with httpx2.AsyncClient(headers=headers, timeout=20) as http:
        transport = streamable_http_client(server.url + path, http_client=http)
        async with Client(transport, mode=era, cache=None) as opened:
            yield opened


def served(model: ScriptedModel, functions=(), **options):
    return running(LoopRuntime(model, functions), **options)


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("path", ["/mcp", "/api/mcp"])
async def test_an_agent_is_a_tool(era: str, path: str) -> None:
    sales = agent("sales", description="Knows the sales.")
    model = ScriptedModel(says("42 orders."))
    runtime = LoopRuntime(
        {"sales": model, "support": ScriptedModel()}, agents=(sales, agent("support"))
    )
    with running(runtime) as server:
        async with client(server, era, path) as asking:
            tools = (await asking.list_tools()).tools
            assert [(t.name, t.description) for t in tools] == [
                ("sales", "Knows the sales."), ("support", "Ask the agent support."),
            ]  # fmt: skip
            before = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
            result = await asking.call_tool(
                "sales", {"question": "How many?", "history": before, "metadata": {"a": "b"}}
            )
    assert not result.is_error
    assert [block.text for block in result.content] == ["42 orders."]
    assert result.structured_content == {
        "answer": "42 orders.", "finish_reason": "stop", "stopped_by": None,
    }  # fmt: skip
    assert [m.content for m in model.requests[0].messages] == ["hi", "hello", "How many?"]
    assert runtime.callers[0].metadata == {"a": "b"}


@pytest.mark.parametrize("era", ERAS)
async def test_steps_are_progress(era: str) -> None:
    told = []

    async def progress(done: float, _total: float | None, message: str | None) -> None:
        told.append((done, message))

    model = ScriptedModel(calls(("add", {"a": 1, "b": 2})), says("3"))
    with served(model, [add]) as server:
        async with client(server, era) as asking:
            await asking.call_tool("tester", {"question": "?"}, progress_callback=progress)
    assert told == [(1, "Calling add: a=1, b=2")]


async def test_steps_that_are_off_are_not_told() -> None:
    told = []

    async def progress(*step: object) -> None:
        told.append(step)

    silent = agent(serving=Serving(steps="off"))
    model = ScriptedModel(calls(("add", {"a": 1, "b": 2})), says("3"))
    with running(LoopRuntime({"tester": model}, [add], agents=[silent])) as server:
        async with client(server, ERAS[0]) as asking:
            await asking.call_tool("tester", {"question": "?"}, progress_callback=progress)
    assert told == []


@pytest.mark.parametrize("era", ERAS)
async def test_a_cancelled_call_ends_its_run(era: str) -> None:
    slow = Slow()
    with served(ScriptedModel(calls(("wait", {}))), [slow.function]) as server:
        async with client(server, era) as asking:
            call = asyncio.create_task(asking.call_tool("tester", {"question": "?"}))
            await asyncio.to_thread(eventually, lambda: slow.started == 1, 10)
            call.cancel()
            await asyncio.wait({call})
            await asyncio.to_thread(eventually, lambda: slow.cancelled == 1, 10)
            # And the session goes on.
            assert (await asking.list_tools()).tools
            assert (await asking.list_resources()).resources == []
            assert (await asking.list_resource_templates()).resource_templates == []
            assert (await asking.list_prompts()).prompts == []


async def test_a_caller_of_the_older_era_who_hangs_up_ends_its_run() -> None:
    slow = Slow()
    with served(ScriptedModel(calls(("wait", {}))), [slow.function]) as server:
        async with httpx.AsyncClient(base_url=server.url, headers=JSON, timeout=20) as http:
            opened = await http.post("/mcp", json=INITIALIZE)
            session = {"mcp-session-id": opened.headers["mcp-session-id"]}
            told = {"jsonrpc": "2.0", "method": "notifications/initialized"}
            await http.post("/mcp", json=told, headers=session)
            params = {"name": "tester", "arguments": {"question": "?"}}
            call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
            async with http.stream("POST", "/mcp", json=call, headers=session) as answer:
                assert answer.status_code == 200
                await asyncio.to_thread(eventually, lambda: slow.started == 1, 10)
            await asyncio.to_thread(eventually, lambda: slow.cancelled == 1, 10)


@pytest.mark.parametrize("era", ERAS)
async def test_a_server_that_stops_lets_a_call_finish(era: str) -> None:
    slow = Slow(0.3)
    stopping = ExitStack()
    model = ScriptedModel(calls(("wait", {})), says("done"))
    server = stopping.enter_context(served(model, [slow.function]))
    async with httpx.AsyncClient(base_url=server.url, headers=JSON, timeout=20) as http:
        headers, meta = {}, {}
        if era == "legacy":
            opened = await http.post("/mcp", json=INITIALIZE)
            headers = {"mcp-session-id": opened.headers["mcp-session-id"]}
        else:
            headers = {
                "mcp-protocol-version": era,
                "mcp-method": "tools/call",
                "mcp-name": "tester",
            }
            meta = {"protocolVersion": era, "clientCapabilities": {}}
            meta = {f"io.modelcontextprotocol/{key}": value for key, value in meta.items()}
        params = {"name": "tester", "arguments": {"question": "?"}, "_meta": meta}
        call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
        asked = asyncio.create_task(http.post("/mcp", json=call, headers=headers))
        await asyncio.to_thread(eventually, lambda: slow.started == 1, 10)
        await asyncio.to_thread(stopping.close)
        assert '"answer":"done"' in (await asked).text


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (ScriptedModel([ModelError("rate_limit", "the model is busy")]), "The model is busy."),
        (ScriptedModel([ValueError("secret-of-ours")]), "The server failed"),
    ],
)
async def test_a_run_that_fails_is_the_tools_error(
    era: str, model: ScriptedModel, expected: str
) -> None:
    with served(model) as server:
        async with client(server, era) as asking:
            result = await asking.call_tool("tester", {"question": "?"})
    assert result.is_error
    assert expected in result.content[0].text
    assert "secret-of-ours" not in result.content[0].text


WRONG = [
    {},
    {"question": ""},
    {"question": 1},
    {"question": "?", "x": 1},
    {"question": "?", "history": [{}]},
    {"question": "?", "metadata": {"a": 1}},
]


async def test_wrong_arguments_are_told_to_the_model_that_asks() -> None:
    model = ScriptedModel()
    with served(model) as server:
        async with client(server, ERAS[0]) as asking:
            for arguments in WRONG:
                result = await asking.call_tool("tester", arguments)
                assert result.is_error
                assert "don't fit its schema" in result.content[0].text
            with pytest.raises(MCPError, match="Unknown tool"):
                await asking.call_tool("nobody", {"question": "?"})
    assert model.requests == []


async def test_what_a_prompt_needs_of_a_request_is_in_the_schema() -> None:
    region = Variable(name="region", source="request.metadata.region")
    prompt = Instructions(text="{{ region }}", origin="test", variables=(region,))
    with running(
        LoopRuntime({"tester": ScriptedModel()}, agents=[agent(instructions=prompt)])
    ) as server:
        async with client(server, ERAS[1]) as asking:
            (tool,) = (await asking.list_tools()).tools
            assert tool.input_schema["required"] == ["question", "metadata"]
            assert tool.input_schema["properties"]["metadata"]["required"] == ["region"]
            assert (await asking.call_tool("tester", {"question": "?"})).is_error


@pytest.mark.parametrize("era", ERAS)
async def test_an_answer_of_a_form_is_structured_content(era: str) -> None:
    formed = agent(output_schema=FORM)
    models = {"tester": ScriptedModel(says('{"n":1}'), says("no", reason="length"))}
    with running(LoopRuntime(models, agents=[formed])) as server:
        async with client(server, era) as asking:
            assert (await asking.list_tools()).tools[0].output_schema == FORM
            assert (await asking.call_tool("tester", {"question": "?"})).structured_content == {
                "n": 1
            }
            assert (await asking.call_tool("tester", {"question": "?"})).is_error


async def test_an_answer_that_a_limit_cut_says_so() -> None:
    model = ScriptedModel(calls(("add", {"a": 1, "b": 2})))
    few = agent(limits=Limits(max_turns=1))
    with running(LoopRuntime({"tester": model}, [add], agents=[few])) as server:
        async with client(server, ERAS[0]) as asking:
            result = await asking.call_tool("tester", {"question": "?"})
    assert result.structured_content["stopped_by"] == "max_turns"
    assert "max_turns" in result.content[0].text


@pytest.mark.parametrize("era", ERAS)
async def test_a_caller_sees_the_agents_of_its_key(era: str) -> None:
    keys = {"RETINUE_API_KEYS": "key-of-ada-0123456789"}
    shut = [agent("a", auth=Auth(mode="api_key")), agent("b", auth=Auth(mode="none"))]
    runtime = LoopRuntime({"a": ScriptedModel(), "b": ScriptedModel()}, agents=shut)
    with running(runtime, access=Access(shut, keys)) as server:
        async with client(server, era) as stranger:
            assert [t.name for t in (await stranger.list_tools()).tools] == ["b"]
            with pytest.raises(MCPError, match="Unknown tool"):
                await stranger.call_tool("a", {"question": "?"})
        async with client(server, era, authorization="Bearer key-of-ada-0123456789") as ada:
            assert [t.name for t in (await ada.list_tools()).tools] == ["a", "b"]
            assert not (await ada.call_tool("a", {"question": "?"})).is_error


@pytest.mark.parametrize("era", ERAS)
async def test_users_at_the_same_time_are_never_mixed_up(era: str) -> None:
    runtime = LoopRuntime(ScriptedModel())
    env = {"DATABRICKS_APP_NAME": "sales", "DATABRICKS_APP_PORT": "8000"}

    async def ask(user: str) -> None:
        headers = {"x-forwarded-user": user, "x-forwarded-access-token": f"the-token-of-{user}"}
        async with client(server, era, **headers) as asking:
            for _ in range(3):
                await asking.call_tool("tester", {"question": "?", "metadata": {"who": user}})

    users = [f"user-{n}" for n in range(30)]
    with running(runtime, access=Access(runtime.agents.values(), env)) as server:
        await asyncio.gather(*map(ask, users))
    seen = {(c.metadata["who"], c.user_id, c.token) for c in runtime.callers}
    assert seen == {(user, user, f"the-token-of-{user}") for user in users}
    assert len(runtime.callers) == 90


def test_nothing_is_open_without_a_key() -> None:
    shut = [agent("a", auth=Auth(mode="api_key"))]
    access = Access(shut, {"RETINUE_API_KEYS": "key-of-ada-0123456789"})
    with running(LoopRuntime({"a": ScriptedModel()}, agents=shut), access=access) as server:
        assert httpx.post(f"{server.url}/mcp", json=INITIALIZE, headers=JSON).status_code == 401


def test_a_session_is_its_openers_alone() -> None:
    shut = [agent("a", auth=Auth(mode="api_key"))]
    names = ("ada", "bob")
    keys = {"RETINUE_API_KEYS": ",".join(f"key-of-{name}-0123456789" for name in names)}
    with running(
        LoopRuntime({"a": ScriptedModel()}, agents=shut), access=Access(shut, keys)
    ) as server:
        ada, bob = ({**JSON, "x-api-key": f"key-of-{name}-0123456789"} for name in names)
        opened = httpx.post(f"{server.url}/mcp", json=INITIALIZE, headers=ada)
        session = {"mcp-session-id": opened.headers["mcp-session-id"]}
        listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        assert (
            httpx.post(f"{server.url}/mcp", json=listing, headers=bob | session).status_code == 404
        )
        assert (
            httpx.post(f"{server.url}/mcp", json=listing, headers=ada | session).status_code == 200
        )
        assert httpx.delete(f"{server.url}/mcp", headers=bob | session).status_code == 404
        assert httpx.delete(f"{server.url}/mcp", headers=ada | session).status_code == 200


def test_a_session_of_another_process_goes_on_here() -> None:
    listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
    with served(ScriptedModel()) as one, served(ScriptedModel()) as other:
        opened = httpx.post(f"{one.url}/mcp", json=INITIALIZE, headers=JSON)
        session = {**JSON, "mcp-session-id": opened.headers["mcp-session-id"]}
        told = httpx.post(f"{other.url}/mcp", json=listing, headers=session)
        assert "tester" in told.text
        assert httpx.delete(f"{one.url}/mcp", headers=session).status_code == 200
        # Ended is ended, where it is known.
        assert httpx.post(f"{one.url}/mcp", json=listing, headers=session).status_code == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://127.0.0.1:6274"}, 200),
        ({"origin": "https://evil.example.com"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://[", "host": "localhost"}, 403),
        ({"origin": "https://evil.example.com", "host": "evil.example.com"}, 403),
        ({"host": "evil.example.com"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/json", "content-encoding": "gzip"}, 415),
    ],
)
def test_pages_of_other_sites_are_refused(headers: dict[str, str], status: int) -> None:
    with running(LoopRuntime(ScriptedModel()), reach="local") as server:
        answer = httpx.post(f"{server.url}/mcp", json=INITIALIZE, headers=JSON | headers)
        assert answer.status_code == status
        # There is no stream of a server's own messages.
        assert httpx.get(f"{server.url}/mcp", headers=JSON).status_code == 405


def test_too_much_is_refused() -> None:
    with served(ScriptedModel()) as server:
        body = b" " * (5 * 2**20)
        assert httpx.post(f"{server.url}/mcp", content=body, headers=JSON).status_code == 413


def test_the_protocol_is_imported_with_the_first_request() -> None:
    code = "import sys, retinue.serve.app; sys.exit('mcp.server' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_metrics_count_what_was_asked_here_too() -> None:
    model = ScriptedModel(calls(("add", {"a": 1, "b": 2})), says("3"))
    with served(model, [add]) as server:
        async with client(server, ERAS[0]) as opened:
            await opened.call_tool("tester", {"question": "1 + 2?"})
        async with httpx.AsyncClient(trust_env=False) as http:
            told = (await http.get(server.url + "/metrics")).text.splitlines()
    assert 'retinue_tool_calls_total{agent="tester",tool="add"} 1.0' in told
    assert 'retinue_requests_total{agent="tester",endpoint="/mcp",status="200"} 1.0' in told
