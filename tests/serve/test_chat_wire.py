"""Events become frames and objects, by OpenAI's schema and the rules of its strictest clients."""

import json
import re
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schemas import conforms

from retinue.run.events import (
    Compacted,
    ModelFinished,
    ModelRetried,
    ReasoningDelta,
    RefusalDelta,
    RunFinished,
    TextDelta,
    ToolFinished,
    ToolProgressed,
    ToolResult,
    ToolStarted,
    TurnStarted,
    Usage,
)
from retinue.run.messages import ToolCall
from retinue.serve.wire.chat import ChatAnswer, ChatStream, Head
from retinue.serve.wire.errors import answer
from retinue.serve.wire.steps import StepsMode

SPENT = Usage(10, 5, cached_tokens=4, reasoning_tokens=2)
HEAD = Head("sales", "d1g3st", "chatcmpl-1", 1_700_000_000)
CALL = ToolCall("c1", "add", '{"a": 1}')
MODES = get_args(StepsMode)
RUN = [
    TurnStarted(1),
    ReasoningDelta("hm"),
    TextDelta("Let me look."),
    ModelFinished("tool_calls", SPENT),
    ToolStarted(CALL),
    ToolFinished(CALL, ToolResult("no", is_error=True), 0.1),
    TurnStarted(2),
    TextDelta("It is "),
    TextDelta(""),
    TextDelta("2 — “zwei”\u2028."),
    ModelFinished("stop", SPENT),
    RunFinished("stop", SPENT + SPENT, 2, ()),
]
TEXT = "Let me look.\n\nIt is 2 — “zwei”\u2028."


def frames(events, **options) -> list[dict]:
    stream = ChatStream(HEAD, **options)
    return parsed(b"".join(stream.frames(event) for event in events))


def parsed(raw: bytes) -> list[dict]:
    events = raw.decode().split("\n\n")
    assert events.pop() == ""
    assert events.pop() == "data: [DONE]"
    assert all(re.fullmatch(r"data: \{.*\}", event) for event in events)
    return [json.loads(event.removeprefix("data: ")) for event in events]


def whole(events, steps="reasoning", **metadata) -> dict:
    fold = ChatAnswer(HEAD, metadata, steps=steps)
    for event in events:
        fold.add(event)
    return json.loads(fold.body())


def deltas(chunks: list[dict], key: str) -> list[str]:
    return [
        c["choices"][0]["delta"][key]
        for c in chunks
        if c["choices"] and key in c["choices"][0]["delta"]
    ]


def test_role_once_and_first():
    chunks = frames(RUN)
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert deltas(chunks, "role") == ["assistant"]


def test_every_frame_has_the_same_head():
    for chunk in frames(RUN, include_usage=True):
        head = {k: v for k, v in chunk.items() if k not in ("choices", "usage")}
        assert head == {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1_700_000_000,
            "model": "sales",
            "system_fingerprint": "d1g3st",
        }


def test_finish_reason_once_and_then_nothing_but_usage():
    chunks = frames(RUN, include_usage=True)
    reasons = [c["choices"][0]["finish_reason"] for c in chunks if c["choices"]]
    assert reasons == [None] * (len(reasons) - 1) + ["stop"]
    assert chunks[-1]["choices"] == []
    assert [i for i, c in enumerate(chunks) if "usage" in c] == [len(chunks) - 1]


def test_usage_only_when_asked_for():
    assert all(c["choices"] and "usage" not in c for c in frames(RUN))


def test_usage_is_summed_with_its_details():
    expected = {
        "prompt_tokens": 20,
        "completion_tokens": 10,
        "total_tokens": 30,
        "prompt_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 4,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    assert frames(RUN, include_usage=True)[-1]["usage"] == expected
    assert whole(RUN)["usage"] == expected


def test_without_steps_tools_leave_no_trace_for_clients_to_trip_over():
    stream = ChatStream(HEAD, steps="off")
    assert b"tool" not in b"".join(stream.frames(event) for event in RUN)
    assert b"tool" not in json.dumps(whole(RUN, "off")["choices"]).encode()


@pytest.mark.parametrize("mode", MODES)
def test_own_calls_never_look_like_the_callers(mode):
    chunks = frames(RUN, steps=mode)
    assert not deltas(chunks, "tool_calls")
    assert "".join(deltas(chunks, "content")) == TEXT
    message = whole(RUN, mode)["choices"][0]["message"]
    assert "tool_calls" not in message
    assert message["content"] == TEXT


def test_streamed_and_whole_say_the_same():
    assert "".join(deltas(frames(RUN), "content")) == TEXT
    message = whole(RUN)["choices"][0]["message"]
    assert message["content"] == TEXT
    thoughts = "".join(deltas(frames(RUN), "reasoning_content"))
    assert message["reasoning_content"] == thoughts == "hm\nCalling add: a=1\nadd failed.\n"


def test_steps_as_an_extension():
    chunks = [c for c in frames(RUN, steps="extension") if "x_retinue" in c]
    assert [c["choices"][0]["delta"] for c in chunks] == [{}, {}]
    started, failed = (c["x_retinue"]["step"] for c in chunks)
    assert started == {"id": "c1", "tool": "add", "status": "started", "arguments": "a=1"}
    assert failed == {**started, "status": "failed", "seconds": 0.1, "result": "no"}
    assert whole(RUN, "extension")["x_retinue"] == {"steps": [failed]}


def test_a_shortened_conversation_is_a_step():
    done = Compacted(81_000, 12_400, 34)
    line = "Shortened 34 earlier messages: 81,000 → 12,400 tokens."
    assert done.summary == line
    assert Compacted(81_000, 12_400, 0).summary.startswith("Shortened earlier results of tools: ")
    events = [TurnStarted(1), done, TextDelta("fine"), RUN[-1]]
    assert deltas(frames(events), "reasoning_content") == [f"{line}\n"]
    assert whole(events)["choices"][0]["message"]["reasoning_content"] == f"{line}\n"
    told = {"compaction": {"before": 81_000, "after": 12_400, "messages": 34}}
    steps = [c["x_retinue"]["step"] for c in frames(events, steps="extension") if "x_retinue" in c]
    assert steps == [told]
    assert whole(events, "extension")["x_retinue"] == {"steps": [told]}
    (drawn,) = [c["event"] for c in frames(events, steps="openwebui") if "event" in c]
    assert drawn["data"] == {"description": line, "done": True}


def test_what_a_tool_under_way_tells_is_a_step():
    line = "add: half done"
    events = [*RUN[:-1], ToolProgressed(CALL, "half done"), RUN[-1]]
    assert f"{line}\n" in deltas(frames(events), "reasoning_content")
    assert f"{line}\n" in whole(events)["choices"][0]["message"]["reasoning_content"]
    steps = [c["x_retinue"]["step"] for c in frames(events, steps="extension") if "x_retinue" in c]
    told = {"id": "c1", "tool": "add", "status": "in_progress", "text": "half done"}
    assert told in steps
    assert told not in whole(events, "extension")["x_retinue"]["steps"]
    drawn = [c["event"]["data"] for c in frames(events, steps="openwebui") if "event" in c]
    assert {"description": line, "done": False} in drawn
    assert "half done" not in json.dumps(frames(events, steps="off"))


def test_steps_as_open_webui_draws_them():
    told = [c["event"] for c in frames(RUN, steps="openwebui") if "event" in c]
    assert told == [
        {"type": "status", "data": {"description": "Calling add: a=1", "done": False}},
        {"type": "status", "data": {"description": "add failed.", "done": True}},
    ]


@pytest.mark.parametrize("mode", MODES)
def test_a_tool_call_opens_the_stream_before_there_is_text(mode):
    stream = ChatStream(HEAD, steps=mode)
    assert stream.frames(TurnStarted(1)) == b""
    assert stream.frames(ModelFinished("tool_calls")) == b""
    assert b'"role":"assistant"' in stream.frames(ToolStarted(CALL))
    assert b'"role":"assistant"' not in stream.frames(ToolStarted(CALL))
    assert stream.finish is None


def test_calls_of_the_callers_tools_come_back():
    calls = (ToolCall("c1", "weather", '{"city": "Bern"}'), ToolCall("c2", "time", ""))
    events = [TurnStarted(1), RunFinished("tool_calls", SPENT, 1, (), calls=calls)]
    expected = [
        {
            "id": "c1",
            "type": "function",
            "function": {"name": "weather", "arguments": '{"city": "Bern"}'},
        },
        {"id": "c2", "type": "function", "function": {"name": "time", "arguments": ""}},
    ]
    choice = whole(events)["choices"][0]
    assert choice["message"]["tool_calls"] == expected
    assert choice["message"]["content"] is None
    assert choice["finish_reason"] == "tool_calls"
    parts = [part for delta in deltas(frames(events), "tool_calls") for part in delta]
    for index, call in enumerate(expected):
        first, *more = [part for part in parts if part["index"] == index]
        assert (first["id"], first["type"], first["function"]["name"]) == (
            call["id"],
            "function",
            call["function"]["name"],
        )
        assert all(set(part) == {"index", "function"} for part in more)
        given = "".join(part["function"]["arguments"] for part in [first, *more])
        assert given == call["function"]["arguments"]
    assert frames(events)[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_refusal_is_no_text():
    events = [RefusalDelta("I "), RefusalDelta("won't."), RunFinished("stop", SPENT, 1, ())]
    message = whole(events)["choices"][0]["message"]
    assert (message["content"], message["refusal"]) == (None, "I won't.")
    assert deltas(frames(events), "refusal") == ["I ", "won't."]


def test_the_limit_that_stopped_a_run_is_named():
    events = [TextDelta("Well"), RunFinished("length", SPENT, 1, (), "max_turns")]
    assert whole(events)["x_retinue"] == {"stopped_by": "max_turns"}
    last = frames(events)[-1]
    assert last["x_retinue"] == {"stopped_by": "max_turns"}
    assert last["choices"][0]["finish_reason"] == "length"


def test_a_run_that_says_nothing_still_has_role_and_finish():
    chunks = frames([TurnStarted(1), RunFinished("length", SPENT, 1, (), "max_tokens")])
    assert deltas(chunks, "role") == ["assistant"]
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"


def test_optional_keys_are_left_out():
    plain = whole([TurnStarted(1), TextDelta("x"), RunFinished("stop", SPENT, 1, ())])
    message = plain["choices"][0]["message"]
    assert set(message) == {"role", "content", "refusal", "annotations"}
    assert "metadata" not in plain
    assert plain["choices"][0]["logprobs"] is None
    assert "system_fingerprint" not in Head("m", "").fields("chat.completion")


def test_metadata_is_echoed():
    assert whole(RUN, region="EMEA")["metadata"] == {"region": "EMEA"}


def test_a_run_that_has_not_finished_has_no_completion():
    with pytest.raises(ValueError, match="not finished"):
        whole(RUN[:-1])


def test_half_a_surrogate_pair_does_not_break_the_answer():
    events = [
        TextDelta("a\ud83d"),
        ReasoningDelta("\udc00"),
        TextDelta("b"),
        RunFinished("stop", SPENT, 1, ()),
    ]
    assert "".join(deltas(frames(events), "content")) == "a?b"
    assert whole(events)["choices"][0]["message"]["content"] == "a?b"


def test_a_failure_is_an_object_and_ends_the_stream():
    (error,) = parsed(ChatStream(HEAD).failure(answer(KeyError("secret"))))
    assert set(error["error"]) == {"message", "type", "param", "code"}
    assert "secret" not in json.dumps(error)


@pytest.mark.parametrize("mode", MODES)
def test_answers_validate_against_openais_schema(mode):
    calls = [*RUN[:-1], RunFinished("tool_calls", SPENT, 1, (), "max_turns", (CALL,))]
    for events in (RUN, calls):
        conforms(whole(events, mode, region="EMEA"), "CreateChatCompletionResponse")
        for chunk in frames(events, include_usage=True, steps=mode):
            conforms(chunk, "CreateChatCompletionStreamResponse")
    conforms(answer(KeyError()).object, "ErrorResponse")


@given(st.lists(st.text(), max_size=6))
def test_any_text_comes_out_as_it_went_in(texts):
    events = [TurnStarted(1), *map(TextDelta, texts), RunFinished("stop", SPENT, 1, ())]
    assert "".join(deltas(frames(events), "content")) == "".join(texts)
    assert whole(events)["choices"][0]["message"]["content"] == "".join(texts)


texts = st.text(max_size=8)
calls_made = st.builds(ToolCall, texts, texts, texts | st.just('{"a": {"b": [1]}}'))
results = st.builds(ToolResult, texts, st.booleans())
happenings = st.one_of(
    st.builds(TurnStarted, st.integers(1, 9)),
    st.builds(TextDelta, texts),
    st.builds(ReasoningDelta, texts),
    st.builds(RefusalDelta, texts),
    st.builds(Compacted, st.just(9000), st.just(900), st.integers(0, 9)),
    st.builds(ModelRetried, texts, st.just("timeout"), texts),
    st.builds(ModelFinished, st.just("stop")),
    st.builds(ToolStarted, calls_made),
    st.builds(ToolFinished, calls_made, results, st.floats(0, 9)),
)
endings = st.builds(
    RunFinished,
    st.sampled_from(["stop", "length", "tool_calls", "content_filter"]),
    st.just(SPENT),
    st.just(1),
    st.just(()),
    st.none() | st.just("max_turns"),
    st.lists(calls_made, max_size=3).map(tuple),
)


@settings(deadline=None)
@given(st.lists(happenings, max_size=12), endings, st.sampled_from(MODES), st.booleans())
def test_any_run_is_a_valid_stream(events, ending, mode, include_usage):
    chunks = frames([*events, ending], include_usage=include_usage, steps=mode)
    usages = [i for i, chunk in enumerate(chunks) if "usage" in chunk]
    assert usages == ([len(chunks) - 1] if include_usage else [])
    choices = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
    assert len(choices) == len(chunks) - include_usage
    assert [c["delta"].get("role") for c in choices] == ["assistant"] + [None] * (len(choices) - 1)
    reasons = [c["finish_reason"] for c in choices]
    assert reasons == [None] * (len(choices) - 1) + [ending.reason]
    assert len({(c["id"], c["created"], c["model"]) for c in chunks}) == 1
    calls = [part for delta in deltas(chunks, "tool_calls") for part in delta]
    assert [c["index"] for c in calls if "id" in c] == list(range(len(ending.calls)))
    answer = whole([*events, ending], mode)
    message = answer["choices"][0]["message"]
    for key in ("content", "refusal", "reasoning_content"):
        assert (message.get(key) or "") == "".join(deltas(chunks, key))
    for chunk in chunks:
        conforms(chunk, "CreateChatCompletionStreamResponse")
    conforms(answer, "CreateChatCompletionResponse")
