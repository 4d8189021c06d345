"""What a run's spans say, as a real OTLP receiver gets them."""

import json
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest

from retinue.agent import Agent, Limits, Observability, SubAgent
from retinue.errors import ModelError
from retinue.route import Price
from retinue.run.caller import Caller
from retinue.run.events import Compacted, ModelRetried, TextDelta, Usage
from retinue.run.messages import ImagePart, Message, TextPart
from retinue.run.runtime import Runtime
from retinue.testing import ScriptedModel, agent, calls, route, says
from run.tracing.collector import Collector, collector

HELLO = [Message("user", "hello there")]


@dataclass
class Asked:
    """The request that a run answers."""

    id: str = "req_1"
    session: str = "s-1"
    trace_id: str = ""
    headers: Mapping[bytes, str] = field(default_factory=dict)

    def header(self, name: bytes) -> str | None:
        return self.headers.get(name)


def observed(seen: Collector, **fields) -> Observability:
    return Observability(otlp_endpoint=f"{seen.url}/v1/traces", **fields)


async def play(
    asked: Agent,
    model: ScriptedModel,
    *,
    others: Mapping[str, ScriptedModel] | None = None,
    request: Asked | None = None,
    stop: Callable[[object], bool] | None = None,
    said=HELLO,
) -> list:
    """The events of a run, up to the one that is to `stop` it; then the traces are all sent."""
    models = {"scripted": model, **(others or {})}
    factories = {name: lambda _route, _lookup, m=m: m for name, m in models.items()}
    caller = Caller(user_id="u-7", user_name="Ann", user_email="ann@x.org", token="tok-secret")
    events = []
    async with Runtime([asked], models=factories) as runtime:
        run = runtime.run(asked.name, said, caller=caller, request=request or Asked())
        async with aclosing(run):
            async for event in run:
                events.append(event)
                if stop and stop(event):
                    break
    return events


def first_cost(seen: Collector) -> float:
    return next(s for s in seen.spans if s.name == "chat model").attributes["retinue.cost_usd"]


async def test_a_run_is_a_trace_with_a_span_for_each_call() -> None:
    usage = Usage(10, 5, cached_tokens=4, reasoning_tokens=2)
    price = Price(input=1, output=2)
    digger = SubAgent(agent=agent("digger", model=route("digger/m", price=price)), mode="tool")
    own = route("scripted/model", price=price)
    model = ScriptedModel(calls(("ask_digger", {"question": "deep?"}), usage=usage), says("Done."))
    request = Asked()
    with collector() as seen:
        tester = agent(model=own, sub_agents=(digger,), observability=observed(seen))
        others = {"digger": ScriptedModel(says("Deep down."))}
        await play(tester, model, others=others, request=request)
    root = seen.span("invoke_agent tester")
    assert root.parent == ""
    assert {span.trace for span in seen.spans} == {request.trace_id}
    told = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.version": "0" * 16,
        "gen_ai.conversation.id": "s-1",
        "mlflow.trace.session": "s-1",
        "user.id": "u-7",
        "retinue.request_id": "req_1",
        "retinue.turns": 3,
    }
    assert {name: root.attributes.get(name) for name in told} == told
    assert root.attributes["retinue.cost_usd"] > first_cost(seen) > 0
    assert root.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert root.attributes["gen_ai.usage.input_tokens"] == 30
    first, second = [s for s in seen.spans if s.name == "chat model" and s.parent == root.id]
    assert first.attributes["gen_ai.usage.cache_read.input_tokens"] == 4
    assert first.attributes["gen_ai.response.finish_reasons"] == ["tool_calls"]
    assert first.attributes["gen_ai.provider.name"] == "scripted"
    assert second.attributes["retinue.first_token_seconds"] >= 0
    tool = seen.span("execute_tool ask_digger")
    assert (tool.parent, tool.failed) == (root.id, False)
    inner = seen.span("invoke_agent digger")
    assert inner.parent in (tool.id, root.id)
    assert seen.span("chat m").parent == inner.id
    assert all(span.end >= span.start > 0 for span in seen.spans)


async def test_what_was_said_stays_here_unless_it_is_wanted() -> None:
    model = ScriptedModel(calls(("nothing__there", {"city": "Atlantis"})), says("It rains."))
    with collector() as seen:
        await play(agent(observability=observed(seen)), model)
    for word in (b"hello there", b"Atlantis", b"rains", b"Ann", b"ann@x.org", b"tok-secret"):
        assert word not in seen.raw
    assert seen.span("execute_tool nothing__there").failed


async def test_what_was_said_is_recorded_where_it_is_wanted() -> None:
    model = ScriptedModel(calls(("nothing__there", {"city": "Atlantis"})), says("It rains."))
    parts = (TextPart("hello there"), ImagePart("data:image/png;base64,AAAA"))
    said = [Message("user", "hello there", parts=parts), Message("user", "\ud800" + "x" * 20_000)]
    with collector() as seen:
        await play(agent(observability=observed(seen, content=True)), model, said=said)
    root = seen.span("invoke_agent tester").attributes
    first, second = json.loads(root["gen_ai.input.messages"])
    assert first == {"role": "user", "parts": [{"type": "text", "content": "hello there"}]}
    assert len(second["parts"][0]["content"]) == 8192
    *_, answer = json.loads(root["gen_ai.output.messages"])
    assert answer["parts"] == [{"type": "text", "content": "It rains."}]
    tool = seen.span("execute_tool nothing__there").attributes
    assert tool["gen_ai.tool.call.arguments"] == '{"city": "Atlantis"}'
    assert "nothing__there" in tool["gen_ai.tool.call.result"]
    assert b"AAAA" not in seen.raw
    assert b"tok-secret" not in seen.raw


@pytest.mark.parametrize(
    ("parent", "kept"),
    [
        ("00-" + "a" * 32 + "-" + "b" * 16 + "-01", True),
        ("00-" + "0" * 32 + "-" + "b" * 16 + "-01", False),
        ("\udcff nonsense", False),
    ],
)
async def test_a_callers_trace_goes_on(parent: str, kept: bool) -> None:
    request = Asked(headers={b"traceparent": parent})
    with collector() as seen:
        await play(agent(observability=observed(seen)), ScriptedModel(says("ok")), request=request)
    root = seen.span("invoke_agent tester")
    assert (root.trace == "a" * 32) is kept
    assert (root.parent == "b" * 16) is kept
    assert request.trace_id == root.trace


async def test_a_caller_that_records_nothing_is_followed() -> None:
    request = Asked(headers={b"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-00"})
    with collector() as seen:
        await play(agent(observability=observed(seen)), ScriptedModel(says("ok")), request=request)
    assert request.trace_id == "a" * 32
    assert seen.spans == []


async def test_a_models_failures_are_told() -> None:
    retried = ModelRetried("scripted/model", "rate_limit", "other/model", 0.5)
    model = ScriptedModel([retried, ModelError("unavailable", "the provider said: sk-secret")])
    with collector() as seen:
        with pytest.raises(ModelError):
            await play(agent(observability=observed(seen)), model)
    chat, root = seen.span("chat model"), seen.span("invoke_agent tester")
    ((name, told),) = chat.events
    assert name == "retinue.model_retried"
    assert told["error.type"] == "rate_limit"
    assert told["retinue.next"] == "other/model"
    for span in (chat, root):
        assert span.failed
        assert span.attributes["error.type"] == "unavailable"
    assert b"sk-secret" not in seen.raw


async def test_a_shortened_conversation_is_told() -> None:
    model = ScriptedModel([Compacted(9_000, 900, 4), *says("ok")])
    with collector() as seen:
        await play(agent(observability=observed(seen)), model)
    ((name, told),) = seen.span("invoke_agent tester").events
    assert name == "retinue.compacted"
    assert told["retinue.tokens_before"] == 9_000
    assert told["retinue.messages_summed_up"] == 4


async def test_a_run_that_its_caller_leaves_is_recorded_to_there() -> None:
    with collector() as seen:
        stopped = agent(observability=observed(seen))
        await play(stopped, ScriptedModel(says("a b c")), stop=lambda e: isinstance(e, TextDelta))
    assert seen.span("invoke_agent tester").attributes["error.type"] == "cancelled"
    assert seen.span("chat model").attributes["error.type"] == "cancelled"


async def test_the_limit_that_stopped_a_run_is_told() -> None:
    model = ScriptedModel(calls(("nothing__there", {})))
    with collector() as seen:
        await play(agent(limits=Limits(max_turns=1), observability=observed(seen)), model)
    assert seen.span("invoke_agent tester").attributes["retinue.stopped_by"] == "max_turns"
