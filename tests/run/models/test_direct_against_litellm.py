"""The direct adapter's table and requests against what LiteLLM itself sends, over a real wire."""

import json
from dataclasses import replace
from typing import Any

import pytest

from retinue.errors import ModelError
from retinue.route import Deployment
from retinue.run.messages import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    TextPart,
    ToolCall,
)
from retinue.run.models import LiteLLMModel, open_deployment
from retinue.run.models.direct import DirectModel
from retinue.run.models.direct.providers import PROVIDERS
from retinue.run.ports import ModelRequest, NamedTool, Tool
from retinue.run.references import environment
from run.models.fake_upstream import plays, upstream
from run.models.upstream_plays import GOOD


@pytest.fixture(scope="module", autouse=True)
def litellm() -> Any:
    """Imported for these tests alone: at the top, each process that collects would take seconds."""
    return pytest.importorskip("litellm")


ADD = Tool("add", "Add.", {"type": "object", "properties": {"a": {"type": "integer"}}})
USER = (Message("user", "q"),)
TWO_CALLS = (ToolCall("1", "add", '{"a":1}'), ToolCall("2", "add", "{}"))
ROUND = (
    Message("system", "Be brief."),
    Message("user", "1+1?"),
    Message("assistant", "", tool_calls=(ToolCall("c1", "add", '{"a":1}'),)),
    Message("tool", "2", tool_call_id="c1"),
    Message("assistant", "2"),
    Message("user", "and?"),
)
PARALLEL = (
    Message("developer", "One."),
    Message("system", "Two."),
    Message("user", "q"),
    Message("assistant", "Let me see.", tool_calls=TWO_CALLS),
    Message("tool", "r1", tool_call_id="1"),
    Message("tool", "", tool_call_id="2"),
)
SAMPLING = {"temperature": 0.5, "top_p": 0.9, "max_tokens": 7, "stop": ["x"], "seed": 1}


async def sent(kind: Any, request: ModelRequest, **fields: Any) -> tuple[str, str | None, Any]:
    """The path, the credentials and the body that an adapter sends."""
    async with upstream(plays(*GOOD)) as fake:
        model = kind(Deployment(api_base=fake.url, api_key="sk-x", **fields), environment({}))
        _ = [event async for event in model.stream(request)]
        await model.aclose()
        head, body = fake.requests[0]
    return head.split(" ")[1], credentials(head), body


def credentials(head: str) -> str | None:
    lines = [line.lower() for line in head.split("\r\n")]
    return next((line for line in lines if line.startswith(("authorization:", "api-key:"))), None)


REQUESTS = {
    "a round of tools": ModelRequest(
        messages=ROUND, tools=(ADD,), settings=SAMPLING, optional=frozenset(SAMPLING)
    ),
    "parallel calls": ModelRequest(messages=PARALLEL, tools=(ADD,), tool_choice="required"),
    "a named tool": ModelRequest(messages=USER, tools=(ADD,), tool_choice=NamedTool("add")),
    "a newer limit": ModelRequest(messages=USER, settings={"max_completion_tokens": 5}),
    "an extra": ModelRequest(messages=USER, settings={"top_k": 5}),
}


def comparable(body: dict[str, Any]) -> dict[str, Any]:
    """Without what both may write either way."""
    text = json.loads(json.dumps(body))
    for message in text["messages"]:
        if message["role"] == "tool":
            message.pop("name", None)
    return text


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_both_adapters_send_the_same(provider: str, request_: str) -> None:
    if (provider, request_) == ("custom_openai", "an extra"):
        pytest.skip("LiteLLM sends no extra to custom_openai")
    request = REQUESTS[request_]
    ours = await sent(DirectModel, request, model=f"{provider}/m")
    theirs = await sent(LiteLLMModel, request, model=f"{provider}/m")
    assert ours[:2] == theirs[:2]
    assert comparable(ours[2]) == comparable(theirs[2])


EFFORTS = [
    "openai/gpt-5", "openai/gpt-5-mini", "openai/gpt-5.2", "openai/gpt-5-chat-latest",
    "openai/gpt-4o", "openai/o3", "azure/o3", "azure/gpt-5", "openai/gpt-6", "databricks/gpt-oss",
    "databricks/databricks-claude-sonnet-4-5", "databricks/databricks-claude-3-7-sonnet",
    "databricks/databricks-claude-opus-4-6", "databricks/databricks-claude-opus-4-7",
    "databricks/databricks-claude-sonnet-5", "databricks/system.ai.claude-haiku-4-5",
]  # fmt: skip
THINKING = {
    "effort": {"reasoning_effort": "medium"},
    "effort and a limit": {"reasoning_effort": "low", "max_tokens": 9000},
    "sampling": {"temperature": 0.5, "max_tokens": 9},
    "sampling and effort": {"temperature": 1, "reasoning_effort": "high"},
    "a budget": {"thinking": {"type": "enabled", "budget_tokens": 2000}},
}


@pytest.mark.parametrize("settings", THINKING)
@pytest.mark.parametrize("model", EFFORTS)
async def test_both_tell_models_to_think_alike(model: str, settings: str) -> None:
    if settings == "a budget" and "claude" not in model:
        pytest.skip("a budget is Claude's")
    given = THINKING[settings]
    messages = (Message("developer", "d"), *USER)
    request = ModelRequest(messages=messages, settings=given, optional=frozenset(given))
    ours = await sent(DirectModel, request, model=model)
    theirs = await sent(LiteLLMModel, request, model=model)
    assert ours == theirs


NO_THOUGHTS = (
    *USER,
    Message("assistant", "", tool_calls=(ToolCall("1", "add", "{}"),)),
    Message("tool", "2", tool_call_id="1"),
)
MUST_NOT_THINK = {
    "a forced tool": ModelRequest(messages=USER, tools=(ADD,), tool_choice="required"),
    "a call without its thoughts": ModelRequest(messages=NO_THOUGHTS, tools=(ADD,)),
    "no room": ModelRequest(messages=USER, settings={"max_tokens": 500}),
}


@pytest.mark.parametrize("why", MUST_NOT_THINK)
@pytest.mark.parametrize("settings", [THINKING["effort"], THINKING["a budget"]])
@pytest.mark.parametrize("version", ["sonnet-4-5", "opus-4-6"])
@pytest.mark.parametrize("kind", [DirectModel, LiteLLMModel])
async def test_claude_does_not_think_where_it_would_refuse_to(
    kind: Any, version: str, settings: Any, why: str
) -> None:
    request = MUST_NOT_THINK[why]
    given = {**settings, **request.settings}
    request = replace(request, settings=given, optional=frozenset(given))
    _, _, body = await sent(kind, request, model=f"databricks/databricks-claude-{version}")
    assert "thinking" not in body
    assert "reasoning_effort" not in body


@pytest.mark.parametrize("kind", [DirectModel, LiteLLMModel])
async def test_a_budget_for_thinking_leaves_some_for_the_answer(kind: Any) -> None:
    given = {**THINKING["a budget"], "max_tokens": 1500}
    request = ModelRequest(messages=USER, settings=given, optional=frozenset(given))
    _, _, body = await sent(kind, request, model="databricks/databricks-claude-sonnet-4-5")
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 1499}


@pytest.mark.parametrize("model", ["openai/gpt-5", "openai/gpt-4o", "databricks/x", "openai/o3"])
@pytest.mark.parametrize("kind", [DirectModel, LiteLLMModel])
async def test_neither_leaves_out_what_a_caller_asks_for(kind: Any, model: str) -> None:
    given = {"openai/gpt-4o": "reasoning_effort", "databricks/x": "seed"}
    name = given.get(model, "temperature")
    settings = {name: "low" if name == "reasoning_effort" else 0}
    request = ModelRequest(messages=USER, settings={**settings, "user": "ann"})
    with pytest.raises(ModelError, match=f"'{model}' doesn't take '{name}'") as caught:
        await sent(kind, request, model=model)
    assert caught.value.kind == "not_supported"


@pytest.mark.parametrize("provider", [name for name, row in PROVIDERS.items() if row.bases])
async def test_both_read_the_same_variables(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    row = PROVIDERS[provider]
    for name in (*row.bases, *row.keys):
        monkeypatch.delenv(name, raising=False)
    found = []
    async with upstream(plays(*GOOD)) as fake:
        monkeypatch.setenv(row.bases[0], fake.url)
        monkeypatch.setenv(row.keys[0], "sk-of-the-environment")
        for kind in (DirectModel, LiteLLMModel):
            model = kind(Deployment(model=f"{provider}/m"), environment())
            _ = [event async for event in model.stream(ModelRequest(messages=USER))]
            await model.aclose()
            head, _ = fake.requests.pop()
            found.append((head.split(" ")[1], credentials(head)))
    assert found[0] == found[1]
    assert "sk-of-the-environment" in (found[0][1] or "")


@pytest.mark.parametrize("provider", [name for name, row in PROVIDERS.items() if row.base])
def test_both_know_the_same_address(litellm: Any, provider: str) -> None:
    _, found, _, base = litellm.get_llm_provider(f"{provider}/m")
    assert found == provider
    # LiteLLM has OpenAI's own in its client and not in its table.
    assert (base or "https://api.openai.com/v1") == PROVIDERS[provider].base


@pytest.mark.parametrize("provider", PROVIDERS)
def test_litellm_knows_every_row(litellm: Any, provider: str) -> None:
    name, found, *_ = litellm.get_llm_provider(f"{provider}/m")
    assert (name, found) == ("m", provider)


def test_what_goes_to_which_adapter() -> None:
    lookup = environment({"AZURE_API_KEY": ""})
    keyed = environment({"AZURE_API_KEY": "k"})
    direct = ["openai/gpt-5", "databricks/x", "hosted_vllm/a/b"]
    other = [
        "gpt-4o", "anthropic/x", "bedrock/x", "azure/x", "groq/x", "openai/responses/gpt-5",
        "openai/gpt-5-codex", "openai/o3-pro", "openai/gpt-4o-audio-preview",
    ]  # fmt: skip
    for model in direct:
        assert isinstance(open_deployment(Deployment(model=model), lookup), DirectModel)
    for model in other:
        assert isinstance(open_deployment(Deployment(model=model), lookup), LiteLLMModel)
    assert isinstance(open_deployment(Deployment(model="azure/x"), keyed), DirectModel)
    forced = Deployment(model="openai/x", adapter="litellm")
    assert isinstance(open_deployment(forced, lookup), LiteLLMModel)
    forced = Deployment(model="my/x", adapter="direct", api_base="http://x/v1")
    assert isinstance(open_deployment(forced, lookup), DirectModel)


def test_parts_are_written_as_openai_has_them() -> None:
    from retinue.run.models.direct.body import body_of

    parts = (
        TextPart("t"),
        ImagePart("https://x/y.png"),
        AudioPart("AAAA", "wav"),
        FilePart("data:application/pdf;base64,AA", "a.pdf"),
    )
    request = ModelRequest(messages=(Message("user", "t", parts=parts, name="ann"),))
    body = body_of(Deployment(model="openai/m"), request)
    assert body["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "t"},
                {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                {
                    "type": "file",
                    "file": {"file_data": "data:application/pdf;base64,AA", "filename": "a.pdf"},
                },
            ],
            "name": "ann",
        }
    ]
