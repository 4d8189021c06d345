"""Events of a run become what MLflow's readers take."""

import json

import pytest
from hypothesis import given
from mlflow_rules import agent_response, agent_stream, chat_agent_message, data_frames
from run_events import RUN, SPENT, THEIRS, runs
from schemas import conforms

from retinue.errors import ModelError
from retinue.run.events import RefusalDelta, RunFinished, TextDelta, ToolStarted, TurnStarted
from retinue.run.messages import ToolCall
from retinue.serve.wire.chat import ChatAnswer, ChatStream, Head
from retinue.serve.wire.errors import answer
from retinue.serve.wire.invocations import AgentHead, AgentStream
from retinue.serve.wire.invocations_chat import AgentChatAnswer, AgentChatStream
from retinue.serve.wire.responses import ResponseAnswer

HEAD = AgentHead("sales", {"region": "EMEA"}, "abc", 1_700_000_000)
CHAT_HEAD = Head("sales", "d1g3st", "chatcmpl-1", 1_700_000_000)
FAULT = answer(ModelError("truncated", "The model's answer broke off."))


def streamed(events, failure=None) -> bytes:
    stream = AgentStream(HEAD)
    frames = b"".join(stream.frames(event) for event in events)
    return frames + (stream.failure(failure) if failure else b"")


def whole(events, fold=None) -> dict:
    fold = fold or ResponseAnswer(HEAD, HEAD.output())
    for event in events:
        fold.add(event)
    return json.loads(fold.body())


def test_an_answer_has_no_mcp_calls_but_function_calls():
    body = agent_response(whole(RUN))
    assert [item["type"] for item in body["output"]] == [
        "reasoning",
        "message",
        "function_call",
        "function_call",
        "function_call_output",
        "function_call_output",
        "message",
    ]
    assert body["metadata"] == {"region": "EMEA"}
    assert body["usage"]["total_tokens"] == 30


def test_a_stream_has_the_same():
    assert agent_stream(streamed(RUN)) == agent_response(whole(RUN))


def test_frames_are_numbered():
    numbers = [frame["sequence_number"] for frame in data_frames(streamed(RUN))]
    assert numbers == list(range(len(numbers)))


def test_a_refusal_is_text():
    events = [RefusalDelta("I "), RefusalDelta("won't."), RunFinished("stop", SPENT, 1, ())]
    (message,) = agent_stream(streamed(events))["output"]
    assert message["content"][0]["text"] == "I won't."


def test_an_answer_that_was_cut_is_incomplete():
    events = [TextDelta("Once"), RunFinished("length", SPENT, 1, (), "max_tokens")]
    body = agent_stream(streamed(events))
    assert body["status"] == "incomplete"
    assert body["incomplete_details"] == {"reason": "max_output_tokens"}
    assert body["x_retinue"] == {"stopped_by": "max_tokens"}


@pytest.mark.parametrize(
    "before", [[], [TextDelta("Well, ")], [ToolStarted(ToolCall("c1", "a__b", "{}"))]]
)
def test_a_failure_ends_the_stream(before):
    told = agent_stream(streamed(before, FAULT))
    assert told["error"]["message"] == "The model's answer broke off."


@given(runs())
def test_any_run_makes_a_stream_that_can_be_read(events):
    assert agent_stream(streamed(events)) == agent_response(whole(events))
    agent_stream(streamed(events[:-1], FAULT))


def chat_frames(events, **options) -> list[dict]:
    stream = AgentChatStream(CHAT_HEAD, ChatStream(CHAT_HEAD, **options))
    raw = b"".join(stream.frames(event) for event in events)
    assert stream.finish is events[-1]
    return data_frames(raw)


def test_chunks_are_a_chat_completions_and_a_chat_agents():
    chunks = chat_frames(RUN, include_usage=True)
    for chunk in chunks:
        conforms(chunk, "CreateChatCompletionStreamResponse")
        chat_agent_message(chunk["delta"])
    assert {chunk["delta"]["id"] for chunk in chunks} == {"chatcmpl-1"}
    text = "".join(chunk["delta"]["content"] for chunk in chunks)
    assert text == "Let me look.\n\nIt is 2 — “zwei”\u2028."
    assert [chunk.get("finish_reason") for chunk in chunks][-2:] == ["stop", None]


def test_calls_of_the_callers_tools_are_whole_in_a_chat_agents_chunk():
    theirs = RunFinished("tool_calls", SPENT, 1, (), calls=(THEIRS,))
    (*_, last) = chunks = chat_frames([TurnStarted(1), TextDelta("Well."), theirs])
    assert [chunk for chunk in chunks if "tool_calls" in chunk["delta"]] == [last]
    (call,) = last["delta"]["tool_calls"]
    function = {"name": "weather", "arguments": '{"city": "Ulm"}'}
    assert call == {"id": "c3", "type": "function", "function": function}
    chat_agent_message(last["delta"])


def test_a_whole_answer_is_a_chat_completion_and_a_chat_agents():
    body = whole(RUN, AgentChatAnswer(CHAT_HEAD, ChatAnswer(CHAT_HEAD)))
    conforms(body, "CreateChatCompletionResponse")
    (message,) = body["messages"]
    chat_agent_message(message)
    assert message["content"] == body["choices"][0]["message"]["content"]
    assert body["finish_reason"] == "stop"


def test_a_chat_that_fails_says_so():
    stream = AgentChatStream(CHAT_HEAD, ChatStream(CHAT_HEAD))
    begun = stream.frames(TurnStarted(1)) + stream.frames(TextDelta("Well, "))
    *_, last = data_frames(begun + stream.failure(FAULT))
    assert last["error"]["code"] == "model_answer_truncated"
