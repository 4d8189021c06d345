"""Events of a run become a response's events and objects, in the order its readers insist on."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from response_events import parsed, replayed
from run_events import CALL, RUN, SPENT, THEIRS, runs
from schemas import conforms

from retinue.errors import ModelError
from retinue.run.events import (
    Compacted,
    ModelRetried,
    ReasoningDelta,
    RefusalDelta,
    RunFinished,
    TextDelta,
    ToolFinished,
    ToolResult,
    ToolStarted,
    TurnStarted,
)
from retinue.run.messages import ToolCall
from retinue.serve.wire.errors import ErrorAnswer, answer
from retinue.serve.wire.responses import (
    ResponseAnswer,
    ResponseHead,
    ResponseStream,
    in_responses_terms,
)
from retinue.serve.wire.responses_echo import echo
from retinue.serve.wire.responses_output import style_for
from retinue.serve.wire.responses_request import parse
from retinue.testing import agent, route

REQUEST = {"input": "hi", "metadata": {"region": "EMEA"}, "temperature": 0.5, "user": "u"}
HEAD = ResponseHead(
    "sales", echo(parse(json.dumps(REQUEST).encode()), agent()), "abc", 1_700_000_000
)


def streamed(events, style="openai") -> list[dict]:
    stream = ResponseStream(HEAD, style)
    return parsed(b"".join(stream.frames(event) for event in events))


def whole(events, style="openai") -> dict:
    fold = ResponseAnswer(HEAD, HEAD.output(style))
    for event in events:
        fold.add(event)
    return json.loads(fold.body())


def valid(event: dict) -> None:
    """Against OpenAI's schema, but for `usage: null` before the end, which OpenAI sends too."""
    response = event.get("response")
    if response and response["usage"] is None:
        event = {**event, "response": {k: v for k, v in response.items() if k != "usage"}}
    conforms(event, "ResponseStreamEvent")


def test_the_sequence_of_an_answer():
    kinds = [e["type"] for e in streamed([TurnStarted(1), TextDelta("a"), TextDelta("b"), RUN[-1]])]
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]


def test_the_sequence_of_a_tool_call():
    events = [e for e in streamed(RUN) if e.get("output_index") == 2]
    assert [e["type"] for e in events] == [
        "response.output_item.added",
        "response.mcp_call.in_progress",
        "response.mcp_call_arguments.done",
        "response.mcp_call.completed",
        "response.output_item.done",
    ]
    assert events[-1]["item"] == {
        "id": "mcp_abc02",
        "type": "mcp_call",
        "server_label": "sales",
        "name": "ask",
        "arguments": '{"q": "—"}',
        "status": "completed",
        "output": "2",
    }


def test_a_failed_tool_call_says_so():
    item = streamed(RUN)[-1]["response"]["output"][3]
    assert (item["server_label"], item["name"], item["status"]) == (
        "retinue",
        "load_skill",
        "failed",
    )
    content = [{"type": "text", "text": "no such skill"}]
    assert item["error"] == {"type": "mcp_tool_execution_error", "content": content}


def test_items_and_usage_of_a_whole_run():
    final = replayed(streamed(RUN))
    kinds = ["reasoning", "message", "mcp_call", "mcp_call", "message"]
    assert [item["type"] for item in final["output"]] == kinds
    assert final["output"][0]["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert final["output"][-1]["content"][0]["text"] == "It is 2 — “zwei”\u2028."
    assert final["usage"] == {
        "input_tokens": 20,
        "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 2},
        "output_tokens": 10,
        "output_tokens_details": {"reasoning_tokens": 4},
        "total_tokens": 30,
    }


def test_calls_of_the_callers_tools_end_the_response():
    end = RunFinished("tool_calls", SPENT, 1, (), calls=(THEIRS,))
    final = replayed(streamed([TurnStarted(1), TextDelta("Hm."), end]))
    assert final["status"] == "completed"
    call = final["output"][1]
    assert (call["type"], call["call_id"], call["name"]) == ("function_call", "c3", "weather")
    assert call["arguments"] == THEIRS.arguments


def test_mlflows_style_has_function_calls_and_their_outputs():
    final = replayed(streamed(RUN, "mlflow"))
    calls = [i for i in final["output"] if i["type"].startswith("function")]
    assert [(i["type"], i["call_id"]) for i in calls] == [
        ("function_call", "c1"),
        ("function_call", "c2"),
        ("function_call_output", "c2"),
        ("function_call_output", "c1"),
    ]
    assert calls[0]["name"] == "sales__ask"
    assert [i["output"] for i in calls[2:]] == ["no such skill", "2"]


def test_open_webui_finds_the_outputs_in_parts():
    told = [i for i in whole(RUN, "openwebui")["output"] if i["type"] == "function_call_output"]
    parts = [{"type": "input_text", "text": text} for text in ("no such skill", "2")]
    assert [item["output"] for item in told] == [[part] for part in parts]
    # But where MLflow's clients ask, which know texts alone.
    assert style_for("openwebui", "openai") == "openwebui"
    assert style_for("openwebui", "mlflow") == "mlflow"


def test_a_refusal_is_a_part_of_its_own():
    events = [TextDelta("Well, "), RefusalDelta("I "), RefusalDelta("won't."), RUN[-1]]
    final = replayed(streamed(events))
    assert [part["type"] for part in final["output"][0]["content"]] == ["output_text", "refusal"]
    assert final["output"][0]["content"][1]["refusal"] == "I won't."


@pytest.mark.parametrize(
    ("reason", "cause", "told"),
    [
        ("length", None, "max_output_tokens"),
        ("length", "max_turns", "max_output_tokens"),
        ("content_filter", None, "content_filter"),
    ],
)
def test_an_answer_that_was_cut_is_incomplete(reason, cause, told):
    events = [TextDelta("Once upon"), RunFinished(reason, SPENT, 1, (), cause)]
    final = replayed(streamed(events))
    assert final["status"] == "incomplete"
    assert final["incomplete_details"] == {"reason": told}
    assert final.get("x_retinue") == ({"stopped_by": cause} if cause else None)
    assert final["completed_at"] is None
    assert final["output"][0]["status"] == "incomplete"
    assert final == whole(events)


def test_tools_that_never_answer_are_closed():
    events = [TextDelta("a"), ToolStarted(CALL), RunFinished("length", SPENT, 1, (), "timeout")]
    final = replayed(streamed(events))
    assert final["output"][1]["status"] == "failed"


def test_a_shortened_conversation_counts_as_reasoning():
    events = [TurnStarted(1), Compacted(9_000, 900, 4), TextDelta("a"), RUN[-1]]
    for style in ("openai", "mlflow"):
        final = replayed(streamed(events, style))
        assert "Shortened 4 earlier messages" in json.dumps(final["output"][0])
        assert whole(events, style)["output"] == final["output"]
    assert "Shortened" not in json.dumps(whole(events, "hidden"))


def test_nothing_goes_out_before_there_is_something_to_say():
    stream = ResponseStream(HEAD)
    assert stream.frames(TurnStarted(1)) == b""
    assert stream.frames(ModelRetried("a", "timeout", "b")) == b""
    assert stream.frames(TextDelta("")) == b""
    assert b"response.created" in stream.frames(ToolStarted(CALL))


@pytest.mark.parametrize("before", [[], [TextDelta("Well, ")], [ToolStarted(CALL)]])
def test_a_failure_is_told_twice_and_leaves_nothing_open(before):
    stream = ResponseStream(HEAD)
    frames = [stream.frames(event) for event in before]
    error = answer(ModelError("rate_limit", "The model's provider limits the rate."))
    events = parsed(b"".join([*frames, stream.failure(error)]))
    final = replayed(events)
    assert final["error"] == {"code": "server_error", "message": error.message}
    assert final["status"] == "failed"
    told = {"message": error.message, "param": None, "code": "rate_limit_exceeded"}
    assert {k: v for k, v in events[-2].items() if k != "sequence_number"} == {
        "type": "error",
        **told,
        "error": {"type": "rate_limit_error", **told},
    }
    for event in events:
        valid(event)


def test_whole_and_streamed_say_the_same():
    final = streamed(RUN)[-1]["response"]
    answered = whole(RUN)
    assert final.pop("completed_at") <= answered.pop("completed_at")
    assert final == answered


def test_a_run_that_has_not_finished_has_no_response():
    with pytest.raises(ValueError, match="not finished"):
        whole(RUN[:-1])


def test_parameters_are_echoed_and_nothing_is_stored():
    body = {
        **REQUEST,
        "store": True,
        "truncation": "auto",
        "instructions": "Be kind.",
        "tools": [{"type": "function", "name": "weather"}],
        "tool_choice": {"type": "function", "name": "weather"},
        "text": {
            "format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}},
            "verbosity": "low",
        },
        "reasoning": {"effort": "low"},
    }
    head = ResponseHead("sales", echo(parse(json.dumps(body).encode()), agent()))
    begun = head.begun()
    assert begun["store"] is False
    assert begun["truncation"] == "disabled"
    for name in ("metadata", "temperature", "user", "instructions", "tool_choice", "text"):
        assert begun[name] == body[name]
    nothing = {"description": None, "parameters": None, "strict": None}
    assert begun["tools"] == [{"type": "function", "name": "weather", **nothing}]
    conforms({k: v for k, v in begun.items() if k != "usage"}, "Response")


def test_the_agents_own_temperature_is_told_where_the_caller_gives_none():
    plain = parse(b'{"input": "hi"}')
    own = agent(model=route("scripted/model", settings={"temperature": 0.1}))
    assert echo(plain, own)["temperature"] == 0.1
    assert echo(plain, agent())["temperature"] == 1.0


def test_errors_name_parameters_as_this_api_does():
    def told(param: str) -> ErrorAnswer:
        error = ErrorAnswer(status=400, type="t", message=f"'{param}' is bad", param=param)
        return in_responses_terms(error)

    assert told("max_tokens").param == "max_output_tokens"
    assert told("max_tokens").message == "'max_output_tokens' is bad"
    assert told("tools[2].function.name").param == "tools[2].name"
    assert told("metadata").param == "metadata"
    assert told("messages[3].content[0]").param == "input"
    assert told("messages[3].content[0]").message == "'input' is bad"


def test_answers_validate_against_openais_schema():
    end = RunFinished("tool_calls", SPENT, 1, (), calls=(THEIRS,))
    for style in ("openai", "mlflow", "openwebui"):
        for run in (RUN, [*RUN[:-1], RefusalDelta("no"), end]):
            for event in streamed(run, style):
                valid(event)
            conforms(whole(run, style), "Response")


@given(runs(), st.sampled_from(["openai", "mlflow", "openwebui", "hidden"]), st.integers(0, 30))
def test_any_run_makes_a_legal_stream(events, style, cut):
    final = replayed(streamed(events, style))
    answered = whole(events, style)
    assert final["output"] == answered["output"]
    said = "".join(e.text for e in events if isinstance(e, TextDelta))
    parts = [p for i in final["output"] if i["type"] == "message" for p in i["content"]]
    assert "".join(p.get("text", "") for p in parts) == said
    assert all(i["content"] for i in final["output"] if i["type"] == "message")
    stream = ResponseStream(HEAD, style)
    begun = b"".join(stream.frames(event) for event in events[: min(cut, len(events) - 1)])
    replayed(parsed(begun + stream.failure(answer(KeyError("secret")))))


def test_half_a_surrogate_pair_does_not_break_the_answer():
    events = [
        ReasoningDelta("\udc00"),
        TextDelta("a\ud83d"),
        TextDelta("b\ud83d"),
        ToolStarted(ToolCall("c\ud83d", "t\ud83d", "{\ud83d}")),
        ToolFinished(ToolCall("c\ud83d", "t\ud83d", "{\ud83d}"), ToolResult("\ud83d"), 0.1),
        RUN[-1],
    ]
    for style in ("openai", "mlflow", "openwebui"):
        final = replayed(streamed(events, style))
        assert final["output"][1]["content"][0]["text"] == "a?b?"
        assert whole(events, style)["output"] == final["output"]
