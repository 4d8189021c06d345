"""A project's YAML → runs with tools over several providers, each in its own wire format."""

import sys
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from retinue.agent import Agent
from retinue.compile import CompileContext, compile_agents
from retinue.project import Project
from retinue.run.events import Event, ModelFinished, ModelRetried, RunFinished, ToolFinished, Usage
from retinue.run.messages import Message, Thought, ToolCall
from retinue.run.models.litellm import LiteLLMModel
from retinue.run.references import environment
from retinue.run.runtime import Runtime
from run.models.fake_providers import Provider, Said, in_turn, refuses_with
from run.models.fake_providers.anthropic import ANTHROPIC
from run.models.fake_providers.openai import DATABRICKS
from run.models.fake_upstream import Play, Upstream, upstream
from run.models.test_litellm_providers import PROVIDERS

SERVER = Path(__file__).parents[1] / "servers" / "adder.py"
ROUTES = """\
models:
  databricks:
    name: databricks/databricks-claude-sonnet-4-5
    api_base: ${env.DATABRICKS_BASE}
    api_key: ${secret.llm/key}
    retries: 1
    fallbacks: [anthropic, openai, azure, bedrock]
    settings:
      max_tokens: 8000
      thinking: {budget_tokens: 2000}
  anthropic:
    name: anthropic/claude-sonnet-4-5
    api_base: ${env.ANTHROPIC_BASE}
    api_key: ${secret.llm/key}
    retries: 0
    settings:
      thinking: {budget_tokens: 2000}
  openai:
    name: openai/gpt-4o
    api_base: ${env.OPENAI_BASE}
    api_key: ${secret.llm/key}
    retries: 0
  azure:
    name: azure/chat
    api_base: ${env.AZURE_BASE}
    api_key: ${secret.llm/key}
    retries: 0
    settings:
      extra: {api_version: 2024-10-21}
  bedrock:
    name: bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0
    api_base: ${env.BEDROCK_BASE}
    api_key: ${secret.llm/key}
    retries: 0
    settings:
      extra: {aws_region_name: eu-west-1}
"""
AGENT = """\
model: databricks
instructions: Add with your tool.
mcp_servers:
  adder: {command: %s, args: [%s]}
"""
ORDER = ["databricks", "anthropic", "openai", "azure", "bedrock"]
BASES = {name: f"{name.upper()}_BASE" for name in ORDER}
SIGNED = Thought("I need the sum.", "c2lnbmF0dXJl")
CALL = ToolCall("toolu_1", "adder__add", '{"a": 20, "b": 22}')
DOWN = refuses_with(503, b"{}")
BUSY = refuses_with(429, b"{}", retry_after="0")


@pytest.fixture
def adder(tmp_path: Path) -> Agent:
    (tmp_path / "agents").mkdir()
    (tmp_path / "retinue.yaml").write_text(ROUTES)
    (tmp_path / "agents" / "adder.yaml").write_text(AGENT % (sys.executable, SERVER))
    # Addresses and keys are looked up when the agent runs; here it only counts that they are set.
    context = CompileContext(env=dict.fromkeys(BASES.values(), "http://127.0.0.1:9"))
    compiled = compile_agents(Project.at(tmp_path), context=context)
    assert not compiled.diagnostics
    (agent,) = compiled.agents
    return agent


class Run:
    """What one run of the agent yields, and what each provider was asked."""

    def __init__(self, events: list[Event], fakes: dict[str, Upstream]) -> None:
        self.events = events
        self.bodies = {name: [body for _, body in one.requests] for name, one in fakes.items()}
        self.hops = [e for e in events if isinstance(e, ModelRetried)]
        self.answered = [e.model for e in events if isinstance(e, ModelFinished)]
        self.results = [e.result.text for e in events if isinstance(e, ToolFinished)]
        finish = events[-1]
        assert isinstance(finish, RunFinished)
        self.finish = finish


async def run(agent: Agent, plays: dict[str, Play]) -> Run:
    async with AsyncExitStack() as stack:
        fakes = {
            name: await stack.enter_async_context(upstream(plays.get(name, DOWN))) for name in ORDER
        }
        variables = {"RETINUE_SECRET_LLM_KEY": "sk-secret"}
        for name, fake in fakes.items():
            base = fake.url.removesuffix("/v1") + PROVIDERS[name].base
            variables[BASES[name]] = base
        lookup = environment(variables)
        async with Runtime([agent], models={"": LiteLLMModel}, lookup=lookup) as runtime:
            asked = [Message("user", "20+22?")]
            async with aclosing(runtime.run("adder", asked)) as events:
                return Run([event async for event in events], fakes)


def tool_round(provider: Provider, **usage: int) -> list[Play]:
    thoughts = (SIGNED,) if provider.thinks else ()
    return [
        provider.plays(Said("", thoughts, (CALL,), **usage)),
        provider.plays(Said("It is 42.", **usage)),
    ]


@pytest.mark.parametrize("name", ORDER)
async def test_a_tool_round_at_each_provider_of_a_route(adder: Agent, name: str) -> None:
    """All before it are down; the answer, both ways of the tool's use, comes from this one."""
    done = await run(adder, {name: in_turn(tool_round(PROVIDERS[name]))})
    assert done.results == ["42"]
    assert done.finish.messages[-1].content == "It is 42."
    assert done.finish.usage.total_tokens == 240
    assert set(done.answered) == {PROVIDERS[name].model}
    assert "42" in str(done.bodies[name][1]["messages"][-1])
    assert "adder__add" in str(done.bodies[name][1]["messages"])


async def test_databricks_claude_with_everything(adder: Agent) -> None:
    """Busy at first; thinks, calls a tool, reads its result; counted, and cached as asked."""
    adder = replace(adder, model=replace(adder.model, prompt_caching=True))
    turns = tool_round(DATABRICKS, cached=50, written=10, thinking=7)
    done = await run(adder, {"databricks": in_turn([BUSY, *turns])})
    assert [(hop.fault, hop.next) for hop in done.hops] == [("rate_limit", DATABRICKS.model)]
    assert done.results == ["42"]
    expected = Usage(200, 40, 100, 14, 20, None)
    assert replace(done.finish.usage, cost_usd=None) == expected
    first, last = done.bodies["databricks"][1:]
    assert first["thinking"] == {"type": "enabled", "budget_tokens": 2000}
    assert first["tools"][0]["function"]["name"] == "adder__add"
    system, _, call, result = last["messages"]
    assert "cache_control" in system["content"][-1]
    assert "cache_control" in result["content"][-1]
    assert call["content"][0]["summary"][0]["signature"] == SIGNED.signature
    assert call["tool_calls"][0]["id"] == result["tool_call_id"] == "toolu_1"
    assert last["thinking"] == first["thinking"]


async def test_from_databricks_to_anthropic_within_a_run(adder: Agent) -> None:
    """The first turn's thoughts, signed by the same model, go along."""
    called = DATABRICKS.plays(Said("", (SIGNED,), (CALL,)))
    plays = {
        "databricks": in_turn([called, DOWN]),
        "anthropic": ANTHROPIC.plays(Said("It is 42.")),
    }
    done = await run(adder, plays)
    assert done.answered == [DATABRICKS.model, ANTHROPIC.model]
    assert done.hops[-1].next == ANTHROPIC.model
    (body,) = done.bodies["anthropic"]
    content: list[dict[str, Any]] = body["messages"][1]["content"]
    assert [block["type"] for block in content] == ["thinking", "tool_use"]
    assert content[0]["signature"] == SIGNED.signature
    assert body["messages"][2]["content"][0]["type"] == "tool_result"
    assert done.finish.messages[-1].content == "It is 42."
