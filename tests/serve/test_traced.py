"""A trace's id: on the log line, and in answers to callers that ask for it."""

import re

import orjson
import pytest
from mlflow_rules import data_frames
from serving import QUESTION, LoopRuntime, Running, eventually, running

from retinue.agent import Observability
from retinue.errors import ModelError
from retinue.run.events import TextDelta
from retinue.run.runtime import Runtime
from retinue.serve.wire.chat import ChatStream, Head
from retinue.serve.wire.errors import answer
from retinue.serve.wire.invocations_chat import AgentChatStream
from retinue.serve.wire.trace import TracedChunks
from retinue.testing import ScriptedModel, agent, says
from run.tracing.collector import Collector, collector

PARENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
ASKS = {"x-mlflow-return-trace-id": "true"}
HEAD = Head("tester", "d1g3st")
ID = "tr-" + "a" * 32


@pytest.fixture(scope="module")
def seen():
    with collector() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def traced(seen: Collector):
    models = {"scripted": lambda _route, _lookup: ScriptedModel(says("Hi."))}
    observability = Observability(otlp_endpoint=seen.url)
    with running(Runtime([agent(observability=observability)], models=models)) as server:
        yield server


def answered(server: Running, path: str, headers=None, **body) -> bytes:
    headers = {"traceparent": PARENT, **(headers or {})}
    with server.http as http:
        answer = http.post(path, json={"input": QUESTION, **body}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.mark.parametrize("path", ["/invocations", "/responses", "/v1/responses"])
def test_the_id_is_in_the_answer_that_asks_for_it(traced, path):
    whole = orjson.loads(answered(traced, path, ASKS, metadata={"a": "b"}))
    assert whole["metadata"] == {"a": "b", "trace_id": ID}
    *_, told, done, empty = answered(traced, path, ASKS, stream=True).split(b"\n\n")
    assert orjson.loads(told.removeprefix(b"data: ")) == {"trace_id": ID}
    assert (done, empty) == (b"data: [DONE]", b"")


def test_the_id_is_where_databricks_has_it(traced):
    options = {"return_trace": True}
    whole = orjson.loads(answered(traced, "/invocations", databricks_options=options))
    assert whole["databricks_output"] == {"trace": {"info": {"trace_id": ID}}}
    stream = answered(traced, "/invocations", databricks_options=options, stream=True)
    assert ID.encode() in stream


@pytest.mark.parametrize(
    "asked",
    [{"databricks_options": {"return_trace": True}}, {"custom_inputs": {"return_trace": True}}],
)
def test_a_chat_is_told_on_a_chunk_that_every_reader_of_chunks_takes(traced, asked):
    chat = {"input": None, "messages": QUESTION, **asked}
    placed = {"trace": {"info": {"trace_id": ID}}}
    whole = orjson.loads(answered(traced, "/invocations", **chat))
    assert whole["metadata"] == {"trace_id": ID}
    assert whole["databricks_output"] == placed
    options = {"include_usage": True}
    raw = answered(traced, "/invocations", **chat, stream=True, stream_options=options)
    *_, last, usage = chunks = data_frames(raw)
    assert all("choices" in chunk and chunk["delta"] for chunk in chunks)
    assert last["choices"][0]["finish_reason"] == "stop"
    assert (last["trace_id"], last["databricks_output"]) == (ID, placed)
    assert usage["usage"]
    assert raw.count(ID.encode()) == 2


def test_a_chat_that_fails_tells_its_trace_beside_the_error():
    stream = TracedChunks(AgentChatStream(HEAD, ChatStream(HEAD)), lambda: "a" * 32)
    fault = answer(ModelError("truncated", "The model's answer broke off."))
    begun = stream.frames(TextDelta("Well, "))
    *_, last = data_frames(begun + stream.failure(fault))
    assert (last["trace_id"], last["error"]["code"]) == (ID, "model_answer_truncated")


@pytest.mark.parametrize("stream", [True, False])
def test_nobody_else_is_told(traced, stream):
    assert b"tr-" not in answered(traced, "/invocations", stream=stream)


def test_every_path_is_traced_and_the_log_line_says_it(traced, log):
    with traced.http as http:
        asked = {"messages": QUESTION}
        http.post("/v1/chat/completions", json=asked, headers={"x-session-id": "s-1"})
        http.post("/invocations", json=asked)

    def traces() -> list[str]:
        lines = [r.getMessage() for r in log.records if r.name == "retinue.access"]
        return [told for line in lines for told in re.findall(r"trace_id=([0-9a-f]{32}) ", line)]

    # A line is written when its answer is out: another test's may come late.
    eventually(lambda: len(set(traces()) - {"a" * 32}) == 2, 10)


def test_an_answer_without_a_trace_has_no_id(serving):
    server = serving(LoopRuntime(ScriptedModel(says("Hi."))))
    assert "metadata" not in orjson.loads(answered(server, "/invocations", ASKS))
    assert b"trace_id" not in answered(server, "/invocations", ASKS, stream=True)
    chat = {"input": None, "messages": QUESTION}
    assert b"trace_id" not in answered(server, "/invocations", ASKS, **chat, stream=True)


def test_what_was_recorded_is_there_when_the_server_has_stopped(seen):
    models = {"scripted": lambda _route, _lookup: ScriptedModel(says("Hi."))}
    observability = Observability(otlp_endpoint=seen.url)
    before = len(seen.spans)
    with running(Runtime([agent(observability=observability)], models=models)) as server:
        answered(server, "/v1/responses", {"x-session-id": "s-9"})
    root, _ = sorted(seen.spans[before:], key=lambda span: span.start)
    assert root.trace == "a" * 32
    assert root.parent == "b" * 16
    assert root.attributes["gen_ai.conversation.id"] == "s-9"
