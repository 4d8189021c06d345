"""Events become frames and objects, by OpenAI's schema and the rules of its strictest clients."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from schemas import conforms

from retinue.run.events import (
    ModelFinished,
    ReasoningDelta,
    RunFinished,
    TextDelta,
    ToolFinished,
    ToolResult,
    ToolStarted,
    TurnStarted,
    Usage,
)
from retinue.run.messages import ToolCall
from retinue.serve.wire.chat import ChatAnswer, ChatStream, Head, failure
from retinue.serve.wire.errors import answer

SPENT = Usage(10, 5, cached_tokens=4, reasoning_tokens=2)
HEAD = Head("sales", "d1g3st", "chatcmpl-1", 1_700_000_000)
CALL = ToolCall("c1", "add", "{}")
RUN = [
    TurnStarted(1),
    ReasoningDelta("hm"),
    TextDelta("Let me look."),
    ModelFinished("tool_calls", SPENT),
    ToolStarted(CALL),
    ToolFinished(CALL, ToolResult("2"), 0.1),
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


def whole(events, **metadata) -> dict:
    fold = ChatAnswer()
    for event in events:
        fold.add(event)
    return json.loads(fold.completion(HEAD, metadata))


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
        "prompt_tokens_details": {"cached_tokens": 8},
        "completion_tokens_details": {"reasoning_tokens": 4},
    }
    assert frames(RUN, include_usage=True)[-1]["usage"] == expected
    assert whole(RUN)["usage"] == expected


def test_tools_leave_no_trace_for_clients_to_trip_over():
    assert b"tool" not in b"".join(ChatStream(HEAD).frames(event) for event in RUN)
    assert b"tool" not in json.dumps(whole(RUN)).encode()


def test_streamed_and_whole_say_the_same():
    assert "".join(deltas(frames(RUN), "content")) == TEXT
    message = whole(RUN)["choices"][0]["message"]
    assert message["content"] == TEXT
    assert message["reasoning_content"] == "".join(deltas(frames(RUN), "reasoning_content")) == "hm"


def test_a_tool_call_opens_the_stream_before_there_is_text():
    stream = ChatStream(HEAD)
    assert stream.frames(TurnStarted(1)) == b""
    assert stream.frames(ModelFinished("tool_calls")) == b""
    assert b'"role":"assistant"' in stream.frames(ToolStarted(CALL))
    assert stream.frames(ToolStarted(CALL)) == b""
    assert stream.finish is None


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
    (error,) = parsed(failure(answer(KeyError("secret")).object))
    assert set(error["error"]) == {"message", "type", "param", "code"}
    assert "secret" not in json.dumps(error)


def test_answers_validate_against_openais_schema():
    conforms(whole(RUN, region="EMEA"), "CreateChatCompletionResponse")
    for chunk in frames(RUN, include_usage=True):
        conforms(chunk, "CreateChatCompletionStreamResponse")
    conforms(answer(KeyError()).object, "ErrorResponse")


@given(st.lists(st.text(), max_size=6))
def test_any_text_comes_out_as_it_went_in(texts):
    events = [TurnStarted(1), *map(TextDelta, texts), RunFinished("stop", SPENT, 1, ())]
    assert "".join(deltas(frames(events), "content")) == "".join(texts)
    assert whole(events)["choices"][0]["message"]["content"] == "".join(texts)
