"""The direct adapter against a real upstream on loopback."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from retinue.errors import ModelError
from retinue.route import Deployment
from retinue.run.events import (
    ModelEvent,
    ModelFinished,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from retinue.run.messages import Message, Thought, ToolCall
from retinue.run.models.direct import DirectModel
from retinue.run.ports import ModelRequest, OutputFormat, Tool
from retinue.run.references import environment
from retinue.values import Ref, Template
from run.models.fake_upstream import (
    STREAM,
    Play,
    call_piece,
    chunk,
    event,
    plays,
    refuses,
    upstream,
)
from run.models.upstream_plays import GOOD, STOP, slowly

KEY = "sk-secret"
HELLO = ModelRequest(messages=(Message("user", "hi"),))
ADD = Tool("add", "Add.", {"type": "object"})
CLAUDE = "databricks/databricks-claude-sonnet-4-5"


@asynccontextmanager
async def opened(
    deployment: Deployment, env: dict[str, str] | None = None
) -> AsyncIterator[DirectModel]:
    model = DirectModel(deployment, environment(env or {}))
    try:
        yield model
    finally:
        await model.aclose()


async def events(
    play: Play, request: ModelRequest = HELLO, model: str = "openai/m"
) -> list[ModelEvent]:
    async with upstream(play) as fake:
        async with opened(Deployment(model=model, api_base=fake.url, api_key=KEY)) as direct:
            return [found async for found in direct.stream(request)]


async def error_of(play: Play) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await events(play)
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None
    return caught.value


async def body_of(request: ModelRequest, model: str) -> dict[str, Any]:
    async with upstream(plays(*GOOD)) as fake:
        async with opened(Deployment(model=model, api_base=fake.url, api_key=KEY)) as direct:
            _ = [found async for found in direct.stream(request)]
        return fake.requests[0][1]


async def test_text_reasoning_refusal_and_usage() -> None:
    usage = {
        "prompt_tokens": 5,
        "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    play = plays(
        chunk({"reasoning_content": "hm"}),
        chunk({"content": "Hel"}),
        chunk({"content": "lo"}),
        chunk({"refusal": "No."}),
        STOP,
        chunk(usage=usage),
    )
    assert await events(play) == [
        ReasoningDelta("hm"),
        TextDelta("Hello"),
        RefusalDelta("No."),
        ModelFinished("stop", Usage(5, 4, 3, 2)),
    ]


async def test_text_leaves_as_it_comes() -> None:
    play = slowly(STREAM, *map(event, GOOD), pause=0.05)
    found = await events(play)
    assert found[:2] == [TextDelta("Hello, "), TextDelta("wörld")]


async def test_tool_calls_are_put_together() -> None:
    play = plays(
        chunk({"content": "Let me see."}),
        chunk(call_piece(0, "", id="a", name="add")),
        chunk(call_piece(0, '{"x":')),
        chunk(call_piece(0, "1}")),
        chunk(call_piece(3, "{}", name="sub")),
        chunk(call_piece(3, '{"y":2}', id="d", name="div")),
        chunk(call_piece(None, "{}", name="one")),
        chunk(call_piece(None, "{}", name="two")),
        STOP,
    )
    found = await events(play)
    assert found[0] == TextDelta("Let me see.")
    assert ToolCallDelta() in found
    assert [one for one in found if isinstance(one, ToolCall)] == [
        ToolCall("a", "add", '{"x":1}'),
        ToolCall("d", "subdiv", '{}{"y":2}'),
        ToolCall("", "one", "{}"),
        ToolCall("", "two", "{}"),
    ]
    assert found[-1] == ModelFinished("tool_calls")


async def test_claudes_thoughts_come_and_go_back() -> None:
    def summary(**item: Any) -> dict[str, Any]:
        return chunk({"content": [{"type": "reasoning", "summary": [item]}]})

    usage = {
        "prompt_tokens": 5,
        "completion_tokens": 4,
        "cache_read_input_tokens": 90,
        "cache_creation_input_tokens": 10,
    }
    play = plays(
        summary(type="summary_text", text="I "),
        summary(type="summary_text", text="think", signature="s1"),
        summary(type="summary_encrypted_text", data="xyz"),
        chunk({"content": [{"type": "text", "text": "Well."}]}),
        chunk(call_piece(0, "{}", id="a", name="add")),
        chunk({}, "tool_calls", usage=usage),
    )
    found = await events(play, model=CLAUDE)
    thoughts = tuple(one for one in found if isinstance(one, Thought))
    assert thoughts == (Thought("I think", "s1"), Thought(data="xyz"))
    assert found[:2] == [ReasoningDelta("I "), ReasoningDelta("think")]
    assert found[-1] == ModelFinished("tool_calls", Usage(105, 4, 90, 0, 10))

    call = ToolCall("a", "add", "{}")
    request = ModelRequest(
        messages=(
            Message("system", "Be brief."),
            Message("user", "q"),
            Message("assistant", "Well.", tool_calls=(call,), thoughts=thoughts),
            Message("tool", "2", tool_call_id="a"),
        ),
        prompt_caching=True,
    )
    sent = (await body_of(request, CLAUDE))["messages"]
    cached = {"cache_control": {"type": "ephemeral"}}
    assert sent[0]["content"] == [{"type": "text", "text": "Be brief.", **cached}]
    assert sent[1] == {"role": "user", "content": "q"}
    assert sent[2]["content"] == [
        {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "I think", "signature": "s1"}],
        },
        {"type": "reasoning", "summary": [{"type": "summary_encrypted_text", "data": "xyz"}]},
        {"type": "text", "text": "Well."},
    ]
    assert sent[3]["content"] == [{"type": "text", "text": "2", **cached}]
    others = (await body_of(request, "openai/m"))["messages"]
    assert others[2]["content"] == "Well."
    assert "cache_control" not in str(others)


async def test_the_form_of_an_answer_is_asked_for() -> None:
    form = OutputFormat(schema={"type": "object"}, name="reply", strict=True)
    body = await body_of(ModelRequest(messages=HELLO.messages, output=form), "openai/m")
    wanted = {"name": "reply", "schema": {"type": "object"}, "strict": True}
    assert body["response_format"] == {"type": "json_schema", "json_schema": wanted}
    anything = ModelRequest(messages=HELLO.messages, output=OutputFormat())
    assert (await body_of(anything, "openai/m"))["response_format"] == {"type": "json_object"}
    assert "response_format" not in await body_of(anything, CLAUDE)


async def test_settings_that_are_not_the_providers_stay_here() -> None:
    settings = {"temperature": 0.5, "mock_response": "no", "base_url": "http://x", "n": 3}
    request = ModelRequest(messages=HELLO.messages, tools=(ADD,), settings=settings)
    assert (await body_of(request, "openai/m")).keys() == {
        "model", "messages", "stream", "stream_options", "temperature", "tools"
    }  # fmt: skip


async def test_what_json_can_hardly_carry() -> None:
    request = ModelRequest(
        messages=(Message("user", "\ud800 \x00"),), settings={"seed": 2**70, "x": (1,)}
    )
    body = await body_of(request, "openai/m")
    assert body["messages"][0]["content"] == "\ud800 \x00"
    assert body["seed"] == 2**70


REFUSALS: list[tuple[int, dict[str, Any], str, bool]] = [
    (400, {"code": "context_length_exceeded"}, "context_window", False),
    (400, {"message": "prompt is too long: 9 tokens"}, "context_window", False),
    (400, {"code": "content_filter", "innererror": {"code": "x"}}, "content_filter", False),
    (400, {"innererror": {"code": "ResponsibleAIPolicyViolation"}}, "content_filter", False),
    (400, {"code": "unsupported_parameter"}, "not_supported", False),
    (400, {"type": "invalid_request_error"}, "bad_request", False),
    (402, {}, "rate_limit", True),
    (403, {"error_code": "PERMISSION_DENIED"}, "auth", False),
    (404, {"error_code": "RESOURCE_DOES_NOT_EXIST"}, "not_found", False),
    (408, {}, "timeout", False),
    (409, {}, "unavailable", False),
    (413, {}, "context_window", False),
    (422, {}, "bad_request", False),
    (429, {"error_code": "REQUEST_LIMIT_EXCEEDED"}, "rate_limit", False),
    (429, {"code": "insufficient_quota"}, "rate_limit", True),
    (429, {"type": "billing_hard_limit_reached"}, "rate_limit", True),
    (503, {"error_code": "TEMPORARILY_UNAVAILABLE"}, "unavailable", False),
    (529, {"type": "overloaded_error"}, "unavailable", False),
]


@pytest.mark.parametrize(("status", "told", "kind", "permanent"), REFUSALS)
async def test_refusals(status: int, told: dict[str, Any], kind: str, permanent: bool) -> None:
    error = await error_of(refuses(status, {"message": "sk-secret", **told}))
    assert (error.kind, error.permanent) == (kind, permanent)
    assert f"status {status}" in str(error)


async def test_how_long_to_wait() -> None:
    assert (await error_of(refuses(429, retry_after="7"))).retry_after == 7.0
    assert (await error_of(refuses(429, retry_after_ms="1500"))).retry_after == 1.5
    assert (await error_of(refuses(429, retry_after="nan"))).retry_after is None
    assert (await error_of(refuses(429, retry_after="soon"))).retry_after is None
    past = await error_of(refuses(503, retry_after="Wed, 21 Oct 2015 07:28:00 GMT"))
    assert past.retry_after == 0.0


async def test_a_login_page_is_no_answer() -> None:
    error = await error_of(refuses(302, location="https://login.example.com"))
    assert error.kind == "auth"
    assert "redirect" in str(error)


async def test_nobody_listens() -> None:
    nowhere = Deployment(model="openai/m", api_base="http://127.0.0.1:9/v1", api_key=KEY)
    async with opened(nowhere) as model:
        with pytest.raises(ModelError, match="no connection to its address") as caught:
            _ = [found async for found in model.stream(HELLO)]
    assert caught.value.kind == "unavailable"


@pytest.mark.parametrize(
    ("deployment", "words"),
    [
        (Deployment(model="openai/m"), "OPENAI_API_KEY"),
        (Deployment(model="azure/m", api_key="k"), "AZURE_API_BASE"),
        (Deployment(model="hosted_vllm/m"), "HOSTED_VLLM_API_BASE"),
        (Deployment(model="my/m", adapter="direct"), "api_base"),
        (Deployment(model="openai/m", api_base="ftp://x", api_key="k"), "http or https"),
        (Deployment(model="openai/m", api_base="http://:x", api_key="k"), "http or https"),
        (Deployment(model="openai/m", api_base="http://127.0.0.1:9", api_key="a\nb"), "line break"),
        (
            Deployment(model="openai/m", api_key=Template((Ref("secret", "scope/key"),))),
            "RETINUE_SECRET_SCOPE_KEY",
        ),
    ],
    ids=str,
)
async def test_what_is_missing_is_named(deployment: Deployment, words: str) -> None:
    async with opened(deployment) as model:
        with pytest.raises(ModelError, match=words):
            _ = [found async for found in model.stream(HELLO)]


async def test_headers_of_the_route() -> None:
    async with upstream(plays(*GOOD)) as fake:
        own = (("x-team", Template((Ref("env", "TEAM"),))),)
        deployment = Deployment(model="openai/m", api_base=fake.url, api_key=KEY, headers=own)
        async with opened(deployment, {"TEAM": "blue"}) as model:
            _ = [found async for found in model.stream(HELLO)]
        head = fake.requests[0][0].lower()
    assert "x-team: blue" in head
    assert "accept-encoding: identity" in head


async def test_connections_are_used_again_and_closed_at_the_end() -> None:
    """Two models, ten calls, one connection."""
    connections = 0
    content = b"".join(map(event, GOOD)) + event(b"[DONE]")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content))
        except asyncio.IncompleteReadError:
            closed.set()
        finally:
            writer.close()

    closed = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    deployment = Deployment(model="openai/m", api_base=url, api_key=KEY)
    async with opened(deployment) as one:
        async with opened(deployment) as two:
            await one.warm()
            for model in (one, two) * 5:
                assert len([found async for found in model.stream(HELLO)]) == 2
        assert not closed.is_set()
    await asyncio.wait_for(closed.wait(), 5)
    assert connections == 1
    await one.aclose()
    server.close()


async def test_a_connection_that_the_provider_closed_meanwhile() -> None:
    """It says nothing of closing, and does so as the next request comes: that one is sent again."""
    asked: list[int] = []
    content = b"".join(map(event, GOOD))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = len(asked)
        asked.append(0)
        for _ in range(2):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            asked[connection] += 1
            if asked[connection] == 1:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(content))
                writer.write(content)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with opened(Deployment(model="openai/m", api_base=url, api_key=KEY)) as model:
        for _ in range(2):
            assert len([found async for found in model.stream(HELLO)]) == 2
    assert asked == [2, 1]
    server.close()


async def test_proxies_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with upstream(plays(*GOOD)) as fake:
        host = fake.url.removeprefix("http://").removesuffix("/v1")
        monkeypatch.setenv("http_proxy", f"http://ann:word@{host}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        for base in ("http://models.invalid/v1", fake.url):
            async with opened(Deployment(model="openai/m", api_base=base, api_key=KEY)) as model:
                assert len([found async for found in model.stream(HELLO)]) == 2
        (through, _), (past, _) = fake.requests
    assert through.startswith("POST http://models.invalid/v1/chat/completions ")
    assert "proxy-authorization: basic " in through.lower()
    assert past.startswith("POST /v1/chat/completions ")
    assert "proxy-authorization" not in past.lower()


async def test_text_that_comes_with_an_error_is_given_before_it() -> None:
    failed = {"error": {"message": "sk-secret", "code": 500}}
    together = (chunk({"content": "7 "}), chunk({"content": "loaves"}), failed)
    heard: list[ModelEvent] = []
    async with upstream(plays(*together)) as fake:
        async with opened(Deployment(model="openai/m", api_base=fake.url, api_key=KEY)) as direct:
            with pytest.raises(ModelError) as caught:
                async for found in direct.stream(HELLO):
                    heard.append(found)  # noqa: PERF401 - what came before the error counts
    assert heard == [TextDelta("7 loaves")]
    assert caught.value.kind == "truncated"
