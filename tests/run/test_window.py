"""Estimates of length, and cuts that part no call from its result."""

from hypothesis import given
from hypothesis import strategies as st

from retinue.run.messages import FilePart, ImagePart, Message, TextPart, ToolCall
from retinue.run.window import (
    beginning,
    last_question,
    last_start,
    pieces,
    tokens,
    transcript,
    with_short_result,
)

CALL = ToolCall("c1", "look", '{"at": "the sky"}')


def result(text: str, name: str | None = "look") -> Message:
    return Message("tool", text, tool_call_id="c1", name=name)


def test_lengths():
    assert tokens([]) == 0
    assert tokens([Message("user", "word " * 400)]) == 504
    # Chinese takes more tokens for each character.
    assert tokens([Message("user", "漢" * 400)]) == 304
    assert tokens([Message("assistant", "", tool_calls=(CALL,))]) == 9
    seen = Message("user", "", parts=(TextPart("x"), ImagePart("data:image/png;base64,AAAA")))
    assert tokens([seen]) == 1504
    read = Message("user", "", parts=(FilePart("x" * 40_000),))
    assert tokens([read]) == 1004


def test_a_lone_surrogate_has_a_length_too():
    assert tokens([Message("user", "\ud800" * 8)]) == 6


messages = st.lists(st.sampled_from(["user", "assistant", "call", "tool"]), max_size=30).map(
    lambda kinds: [Message("system", "s"), *(map(one, kinds))]
)


def one(kind: str) -> Message:
    if kind == "call":
        return Message("assistant", "", tool_calls=(CALL,))
    return result("r") if kind == "tool" else Message(kind, kind)


@given(messages, st.integers(0, 40))
def test_the_last_ones_never_start_with_a_result(conversation, keep):
    start = last_start(conversation, keep)
    assert len(conversation) - start >= min(keep, len(conversation))
    assert start == len(conversation) or conversation[start].role != "tool"


def test_places():
    conversation = [Message("system", "a"), Message("developer", "b"), Message("user", "c")]
    assert beginning(conversation) == 2
    assert beginning(conversation[:2]) == 2
    assert last_question(conversation) == 2
    assert last_question(conversation[:2]) is None


def test_long_results_are_cut_and_nothing_else():
    short = with_short_result(result("x" * 5_000)).content
    assert short.startswith("x" * 400 + "\n[4,600 more characters were left out")
    for kept in (
        result("x" * 500),
        result("x" * 5_000, "load_skill"),
        Message("user", "x" * 5_000),
    ):
        assert with_short_result(kept) is kept


def test_a_transcript_tells_who_said_what():
    told = transcript(
        [
            Message("user", "What is there?", parts=(TextPart("What is there?"), ImagePart("x"))),
            Message("assistant", "", tool_calls=(CALL,)),
            result("x" * 5_000),
        ],
        10_000,
    )
    assert told.startswith(
        '[user]\nWhat is there?\n(image)\n\n[assistant]\n(calls look with {"at": "the sky"})\n\n'
        "[result of look]\nxxx"
    )
    assert len(told) < 700


@given(messages, st.integers(1, 60), st.integers(1, 5))
def test_pieces_are_the_whole_in_order_and_none_starts_with_a_result(conversation, most, count):
    ends = pieces(conversation, most, count)
    assert ends == sorted(set(ends))
    assert ends[-1] == len(conversation)
    assert len(ends) <= count
    assert all(conversation[end].role != "tool" for end in ends[:-1])


def test_of_a_transcript_that_is_too_long_the_middle_is_left_out():
    told = transcript([Message("user", f"{n:04} " * 1000) for n in range(40)], 5_000)
    assert len(told) < 21_000
    assert "0000" in told
    assert "0039" in told
    assert "0020" not in told
