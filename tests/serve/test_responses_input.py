"""What the items of a response request's input become."""

import json

import pytest

from retinue.run.events import (
    ReasoningDelta,
    RunFinished,
    TextDelta,
    ToolFinished,
    ToolResult,
    ToolStarted,
    TurnStarted,
    Usage,
)
from retinue.run.messages import AudioPart, FilePart, ImagePart, Message, TextPart, ToolCall
from retinue.serve.wire.responses import ResponseAnswer, ResponseHead
from retinue.serve.wire.responses_input import conversation

USER = {"role": "user", "content": "hi"}
PNG = "data:image/png;base64,aGk="


def heard(*items) -> list[Message]:
    messages, _ = conversation(items)
    return list(messages)


def function_call(call_id: str, name: str = "weather") -> dict:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": "{}"}


def answer(call_id: str, output="sunny") -> dict:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def calls(text: str, *ids: str) -> Message:
    return Message("assistant", text, tuple(ToolCall(i, "weather", "{}") for i in ids))


def result(call_id: str, text: str = "sunny") -> Message:
    return Message("tool", text, tool_call_id=call_id, name="weather")


def test_messages_with_and_without_a_type():
    parts = [{"type": "input_text", "text": "a"}, {"type": "text", "text": "b"}]
    assert heard(
        {"role": "system", "content": "s"},
        {"type": "message", "role": "user", "content": parts},
        {"role": "assistant", "content": [{"type": "output_text", "text": "c", "annotations": []}]},
        {"type": None, "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        USER,
    ) == [
        Message("system", "s"),
        Message("user", "a\nb"),
        Message("assistant", "c"),
        Message("assistant", "no"),
        Message("user", "hi"),
    ]


def test_images_sound_and_files_are_kept_in_order():
    pdf = "data:application/pdf;base64,aGk="
    parts = [
        {"type": "input_text", "text": "look"},
        {"type": "input_image", "image_url": PNG, "detail": "low"},
        {
            "type": "input_file",
            "file_data": pdf,
            "filename": "a.pdf",
        },
        {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
    ]
    (message,) = heard({"role": "user", "content": parts})
    assert message.content == "look"
    assert message.parts == (
        TextPart("look"),
        ImagePart(PNG, "low"),
        FilePart(pdf, "a.pdf"),
        AudioPart("aGk=", "wav"),
    )


def test_a_call_and_its_answer():
    assert heard(USER, function_call("c1"), answer("c1"), USER) == [
        Message("user", "hi"),
        calls("", "c1"),
        result("c1"),
        Message("user", "hi"),
    ]


def test_calls_of_one_turn_are_one_message_with_what_was_said():
    said = {"role": "assistant", "content": "One moment."}
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}
    items = [
        said,
        thought,
        function_call("c1"),
        function_call("c2"),
        answer("c2", "wet"),
        answer("c1"),
    ]
    assert heard(USER, *items)[1:] == [
        calls("One moment.", "c1", "c2"),
        result("c1"),
        result("c2", "wet"),
    ]


def test_a_call_after_an_answer_is_of_another_turn():
    items = [function_call("c1"), answer("c1"), function_call("c2"), answer("c2")]
    assert heard(*items) == [calls("", "c1"), result("c1"), calls("", "c2"), result("c2")]


def test_an_id_that_comes_again_is_another_call():
    items = [function_call("c1"), answer("c1", "a"), USER, function_call("c1"), answer("c1", "b")]
    assert heard(*items)[1].content == "a"
    assert heard(*items)[-1].content == "b"


def test_an_answer_may_come_later_and_goes_to_its_call():
    assert heard(function_call("c1"), USER, answer("c1")) == [
        calls("", "c1"),
        result("c1"),
        Message("user", "hi"),
    ]


def test_an_answer_of_several_parts():
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": PNG}]
    *_, told = heard(function_call("c1"), answer("c1", parts))
    assert told.content == "a"
    assert told.parts == (TextPart("a"), ImagePart(PNG))
    assert told.tool_call_id == "c1"


@pytest.mark.parametrize(
    ("told", "text"),
    [
        ({"output": "42"}, "42"),
        ({"output": ""}, ""),
        ({"error": "broken"}, "broken"),
        ({"error": {"type": "http_error", "code": 500, "message": "broken"}}, "broken"),
        ({"error": {"content": [{"type": "text", "text": "broken"}, 7]}}, "broken"),
        ({"error": {"content": "broken"}}, "broken"),
        ({"output": None, "error": None}, "The call has no answer."),
    ],
)
def test_a_call_of_an_agents_own_tool(told, text):
    item = {
        "type": "mcp_call",
        "id": "mcp_1",
        "server_label": "sales",
        "name": "ask",
        "arguments": "{}",
    }
    said, answered = heard({**item, **told})
    assert said.tool_calls == (ToolCall("mcp_1", "sales__ask", "{}"),)
    assert answered == Message("tool", text, tool_call_id="mcp_1", name="sales__ask")


@pytest.mark.parametrize(
    "item",
    [
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "mcp_list_tools", "id": "x", "server_label": "s", "tools": []},
        {"type": "web_search_call", "id": "x", "status": "completed"},
        {"type": "acme:anything", "content": {"x": 1}},
        {"type": "open_webui:code_interpreter", "role": 7},
    ],
)
def test_foreign_items_are_passed_over(item):
    assert heard(item, USER, item) == [Message("user", "hi")]


def test_where_the_first_instructions_stand():
    assert conversation("hi")[1] is None
    assert conversation([USER])[1] is None
    assert conversation([USER, {"role": "developer", "content": "x"}])[1] == "input[1].role"


@pytest.mark.parametrize("style", ["openai", "mlflow", "openwebui"])
def test_an_answers_output_can_be_sent_back(style):
    asked = ToolCall("c1", "sales__ask", '{"q": 1}')
    loaded = ToolCall("c2", "load_skill", "{}")
    head = ResponseHead("m", token="t")
    fold = ResponseAnswer(head, head.output(style))
    for event in [
        TurnStarted(1),
        ReasoningDelta("hm"),
        TextDelta("Let me look."),
        ToolStarted(asked),
        ToolStarted(loaded),
        ToolFinished(loaded, ToolResult("no such skill", is_error=True), 0.1),
        ToolFinished(asked, ToolResult("2"), 0.1),
        TurnStarted(2),
        TextDelta("It is 2."),
        RunFinished("stop", Usage(), 2, ()),
    ]:
        fold.add(event)
    output = json.loads(fold.body())["output"]
    user, said, first, second, last, again = heard(USER, *output, USER)
    assert (user.content, again.content, last.content) == ("hi", "hi", "It is 2.")
    assert said.content == "Let me look."
    assert [(c.name, c.arguments) for c in said.tool_calls] == [
        ("sales__ask", '{"q": 1}'),
        ("load_skill", "{}"),
    ]
    assert [m.content for m in (first, second)] == ["2", "no such skill"]
    assert [m.tool_call_id for m in (first, second)] == [c.id for c in said.tool_calls]
