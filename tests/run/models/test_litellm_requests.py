"""What reaches each provider of a request, through LiteLLM's own code for it."""

import logging
from collections.abc import Mapping
from typing import Any

import pytest

from retinue.errors import ModelError
from retinue.route import Deployment
from retinue.run.events import ToolCallDelta
from retinue.run.messages import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    TextPart,
    Thought,
)
from retinue.run.models.litellm import LiteLLMModel
from retinue.run.ports import ModelRequest, NamedTool, OutputFormat, Tool
from retinue.run.references import environment
from retinue.values import JsonValue
from run.models.fake_providers import Provider, Said
from run.models.fake_providers.anthropic import ANTHROPIC
from run.models.fake_providers.bedrock import BEDROCK
from run.models.fake_providers.openai import OPENAI
from run.models.test_litellm_providers import CALL, CLAUDES, HELLO, KEY, PROVIDERS, all_of, asked

ADD = Tool("add", "Add.", {"type": "object", "properties": {"a": {"type": "integer"}}})
SCHEMA: dict[str, JsonValue] = {"type": "object", "properties": {"sum": {"type": "integer"}}}
SIGNED = Thought("Let me see.", "c2lnbmF0dXJl")


async def sent(provider: Provider, request: ModelRequest, **fields: Any) -> tuple[str, Any]:
    """The head, in lower case, and the body of the request that the provider gets."""
    async with asked(provider, provider.plays(Said("2")), **fields) as (model, fake):
        await all_of(model, request)
        assert len(fake.requests) == 1
        head, body = fake.requests[0]
    return head.lower(), body


def asking(**changes: Any) -> ModelRequest:
    return ModelRequest(**{"messages": HELLO.messages, **changes})


KEYS = {
    "anthropic": f"x-api-key: {KEY}",
    "bedrock": f"authorization: bearer {KEY}",
    "azure": f"api-key: {KEY}",
    "databricks": f"authorization: bearer {KEY}",
    "openai": f"authorization: bearer {KEY}",
}


@pytest.mark.parametrize("name", PROVIDERS)
async def test_key_headers_and_settings(name: str) -> None:
    settings: Mapping[str, JsonValue] = {"temperature": 0.5, "max_tokens": 77}
    head, body = await sent(
        PROVIDERS[name], asking(settings=settings), headers=(("X-Team", "blue"),)
    )
    assert KEYS[name] in head
    assert "x-team: blue" in head
    found = body.get("inferenceConfig", body)
    assert found["temperature"] == 0.5
    assert 77 in (found.get("max_tokens"), found.get("maxTokens"))


async def test_bedrocks_region_is_signed() -> None:
    keys = {"aws_access_key_id": "AKIA", "aws_secret_access_key": "secret"}
    head, _ = await sent(BEDROCK, asking(settings=keys), api_key=None)
    assert "/eu-west-1/bedrock/aws4_request" in head


async def test_a_region_where_there_is_none() -> None:
    with pytest.raises(ModelError, match="no regions") as caught:
        await sent(OPENAI, HELLO, region="eu")
    assert caught.value.kind == "not_supported"


@pytest.mark.parametrize("name", CLAUDES)
async def test_prompt_caching(name: str) -> None:
    messages = (
        *HELLO.messages,
        Message("assistant", "", (CALL,)),
        Message("tool", "2", tool_call_id="toolu_1"),
    )
    request = asking(messages=messages, tools=(ADD,))
    _, plain = await sent(PROVIDERS[name], request)
    assert "cache" not in str(plain)
    _, body = await sent(PROVIDERS[name], request, prompt_caching=True)
    if name == "bedrock":
        assert body["system"][-1] == {"cachePoint": {"type": "default"}}
        assert body["messages"][-1]["content"][-1] == {"cachePoint": {"type": "default"}}
        return
    mark = {"type": "ephemeral"}
    system = body["system"] if name == "anthropic" else body["messages"][0]["content"]
    assert system == [{"type": "text", "text": "Be brief.", "cache_control": mark}]
    assert body["messages"][-1]["content"][-1]["cache_control"] == mark


@pytest.mark.parametrize("name", ["azure", "openai"])
async def test_no_marks_for_those_that_cache_by_themselves(name: str) -> None:
    _, body = await sent(PROVIDERS[name], asking(tools=(ADD,)), prompt_caching=True)
    assert "cache" not in str(body)


THINKING: Mapping[str, JsonValue] = {"thinking": {"type": "enabled", "budget_tokens": 2000}}


def thinking_of(body: Any) -> Any:
    return body.get("thinking") or body.get("additionalModelRequestFields", {}).get("thinking")


@pytest.mark.parametrize("name", CLAUDES)
async def test_thinking_is_asked(name: str) -> None:
    provider = PROVIDERS[name]
    _, body = await sent(provider, asking(settings=THINKING))
    assert thinking_of(body) == THINKING["thinking"]
    _, body = await sent(provider, asking(settings={"reasoning_effort": "low"}))
    assert thinking_of(body)["type"] == "enabled"
    _, body = await sent(provider, asking(settings={**THINKING, "max_tokens": 1500}))
    assert thinking_of(body)["budget_tokens"] == 1499
    _, body = await sent(provider, asking(settings={**THINKING, "max_tokens": 500}))
    assert thinking_of(body) is None


def after_a_tool(*thoughts: Thought) -> ModelRequest:
    call = Message("assistant", "I'll add.", tool_calls=(CALL,), thoughts=thoughts)
    result = Message("tool", "2", tool_call_id="toolu_1", name="add")
    return asking(messages=(*HELLO.messages, call, result), tools=(ADD,), settings=THINKING)


@pytest.mark.parametrize("name", CLAUDES)
async def test_thoughts_go_back(name: str) -> None:
    _, body = await sent(PROVIDERS[name], after_a_tool(SIGNED))
    assert thinking_of(body) == THINKING["thinking"]
    content = next(m for m in body["messages"] if m["role"] == "assistant")["content"]
    first = {
        "anthropic": {"type": "thinking", "thinking": SIGNED.text, "signature": SIGNED.signature},
        "bedrock": {
            "reasoningContent": {
                "reasoningText": {"text": SIGNED.text, "signature": SIGNED.signature}
            }
        },
        "databricks": {
            "type": "reasoning",
            "summary": [
                {"type": "summary_text", "text": SIGNED.text, "signature": SIGNED.signature}
            ],
        },
    }
    assert content[0] == first[name]
    assert "I'll add." in str(content[1])


@pytest.mark.parametrize("name", CLAUDES)
async def test_no_thinking_where_claude_would_refuse(name: str) -> None:
    _, body = await sent(PROVIDERS[name], after_a_tool())
    assert thinking_of(body) is None
    forced = asking(tools=(ADD,), tool_choice=NamedTool("add"), settings=THINKING)
    _, body = await sent(PROVIDERS[name], forced)
    assert thinking_of(body) is None


@pytest.mark.parametrize("name", ["azure", "openai"])
async def test_thoughts_stay_with_those_who_had_them(name: str) -> None:
    request = after_a_tool(SIGNED)
    _, body = await sent(PROVIDERS[name], ModelRequest(messages=request.messages, tools=(ADD,)))
    assert "signature" not in str(body)


CHOICES = {
    "anthropic": {"type": "tool", "name": "add"},
    "azure": {"type": "function", "function": {"name": "add"}},
    "databricks": {"type": "function", "function": {"name": "add"}},
    "openai": {"type": "function", "function": {"name": "add"}},
}


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_tool_and_its_choice(name: str) -> None:
    _, body = await sent(PROVIDERS[name], asking(tools=(ADD,), tool_choice=NamedTool("add")))
    if name == "bedrock":
        spec = body["toolConfig"]["tools"][0]["toolSpec"]
        assert (spec["name"], spec["description"]) == ("add", "Add.")
        assert body["toolConfig"]["toolChoice"] == {"tool": {"name": "add"}}
        return
    assert "add" in str(body["tools"][0])
    assert body["tool_choice"].items() >= CHOICES[name].items()
    _, body = await sent(PROVIDERS[name], asking(tools=(ADD,)))
    assert "tool_choice" not in body


@pytest.mark.parametrize("name", PROVIDERS)
async def test_the_answers_form(name: str) -> None:
    """Held by the provider, or else told in the system message; the tools stay callable."""
    output = OutputFormat(schema=SCHEMA, name="sums", strict=True)
    _, body = await sent(PROVIDERS[name], asking(tools=(ADD,), output=output))
    told = "follows this JSON Schema" in str(body)
    held = "sums" in str(body.get("response_format")) or "output_format" in str(body)
    assert told != held
    assert held == (name in ("openai", "azure", "anthropic"))
    assert "json_tool_call" not in str(body)
    _, body = await sent(PROVIDERS[name], asking(output=OutputFormat()))
    assert "Answer with one JSON object" in str(body)


PNG = "data:image/png;base64,iVBORw0KGgo="
PDF = "data:application/pdf;base64,JVBERi0="


@pytest.mark.parametrize("name", PROVIDERS)
async def test_images_and_files(name: str) -> None:
    parts = (TextPart("What's this?"), ImagePart(PNG, "low"), FilePart(PDF, "a.pdf"))
    message = Message("user", "What's this?", parts=parts)
    _, body = await sent(PROVIDERS[name], asking(messages=(message,)))
    assert "iVBORw0KGgo=" in str(body)
    assert "JVBERi0=" in str(body)
    assert "What's this?" in str(body)


async def test_audio() -> None:
    message = Message("user", "", parts=(AudioPart("UklGRg==", "wav"),))
    _, body = await sent(OPENAI, asking(messages=(message,)))
    audio = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    assert body["messages"][0]["content"] == [audio]


@pytest.mark.parametrize("name", ["anthropic", "bedrock", "databricks"])
async def test_a_routes_setting_that_isnt_taken_is_told_once(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    provider = PROVIDERS[name]
    async with asked(
        provider, provider.plays(Said("2")), settings={"seed": 1, "temperature": 0.5}
    ) as (model, fake):
        with caplog.at_level(logging.WARNING, "retinue"):
            await all_of(model)
            await all_of(model)
        bodies = [body for _, body in fake.requests]
    assert [r.getMessage() for r in caplog.records] == [
        f"'{provider.model}' doesn't take seed: asked without"
    ]
    assert all("seed" not in str(body) and "0.5" in str(body) for body in bodies)


@pytest.mark.parametrize("name", ["anthropic", "bedrock", "databricks"])
async def test_a_callers_setting_that_isnt_taken_is_an_error(name: str) -> None:
    provider = PROVIDERS[name]
    async with asked(provider, provider.plays(Said("2")), settings={"seed": 1}) as (model, fake):
        for _ in range(2):
            with pytest.raises(ModelError, match="'seed'") as caught:
                await all_of(model, asking(settings={"seed": 2}))
            assert caught.value.kind == "not_supported"
        assert fake.requests == []
        await all_of(model, asking(settings={"user": "me", "store": False}))
        assert "store" not in fake.requests[0][1]


async def test_more_of_a_call_is_a_sign_of_life() -> None:
    async with asked(ANTHROPIC, ANTHROPIC.plays(Said(calls=(CALL,)))) as (_, fake):
        base = fake.url.removesuffix("/v1")
        model = LiteLLMModel(
            Deployment(model=ANTHROPIC.model, api_base=base, api_key=KEY), environment({})
        )
        events = await all_of(model, asking(tools=(ADD,)))
    assert events.count(ToolCallDelta()) >= 3
