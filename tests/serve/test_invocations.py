"""`/invocations` through a real server, in each of the forms that MLflow's callers use."""

import json

import openai
import pytest
from mlflow_rules import agent_response, agent_stream, chat_agent_message, data_frames
from schemas import conforms
from serving import LoopRuntime

from retinue.errors import ModelError
from retinue.run.events import ReasoningDelta, TextDelta
from retinue.run.messages import Message
from retinue.testing import ScriptedModel, calls, says

QUESTION = [{"role": "user", "content": "1 + 2?"}]


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def thinker() -> ScriptedModel:
    asked = [ReasoningDelta("hm"), TextDelta("Well."), *calls(("add", {"a": 1, "b": 2}))]
    return ScriptedModel(asked, says("It is 3."))


def test_a_responses_agent(serving):
    runtime = LoopRuntime(thinker(), [add])
    with serving(runtime).http as http:
        answer = http.post("/invocations", json={"input": QUESTION})
    body = agent_response(answer.json())
    assert answer.status_code == 200
    assert [item["type"] for item in body["output"]] == [
        "reasoning",
        "message",
        "function_call",
        "function_call_output",
        "message",
    ]
    assert body["output"][3]["output"] == "3"
    assert body["model"] == "tester"


def test_a_responses_agent_streamed(serving):
    with serving(LoopRuntime(thinker(), [add])).http as http:
        answer = http.post("/invocations", json={"input": QUESTION, "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert b"event:" not in answer.content
    body = agent_stream(answer.content)
    assert body["output"][-1]["content"][0]["text"] == "It is 3."


def test_tool_calls_can_be_left_out(serving):
    with serving(LoopRuntime(thinker(), [add])).http as http:
        headers = {"x-retinue-steps": "off"}
        answer = http.post("/invocations", json={"input": QUESTION}, headers=headers)
    kinds = [item["type"] for item in agent_response(answer.json())["output"]]
    assert kinds == ["reasoning", "message", "message"]


def test_output_can_be_put_before_the_next_question(serving):
    model = thinker()
    with serving(LoopRuntime(model, [add])).http as http:
        output = http.post("/invocations", json={"input": QUESTION}).json()["output"]
        again = [*QUESTION, *output, {"role": "user", "content": "Sure?"}]
        assert http.post("/invocations", json={"input": again}).status_code == 200
    said = [(m.role, m.content) for m in model.requests[-1].messages]
    assert said == [
        ("user", "1 + 2?"),
        ("assistant", "Well."),
        ("tool", "3"),
        ("assistant", "It is 3."),
        ("user", "Sure?"),
    ]


def test_a_call_that_was_given_up_does_not_end_the_conversation(serving):
    model = ScriptedModel()
    call = {"type": "function_call", "call_id": "c1", "name": "sales__ask", "arguments": "{}"}
    with serving(LoopRuntime(model)).http as http:
        answer = http.post("/invocations", json={"input": [*QUESTION, call, *QUESTION]})
    assert answer.status_code == 200
    assert model.requests[0].messages[2].content == "The call has no answer."


def test_what_databricks_chat_template_sends(serving):
    runtime = LoopRuntime({"sales": ScriptedModel(says("Hi.")), "other": ScriptedModel()})
    body = {
        "model": "chat-model",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
        "stream": True,
        "context": {"conversation_id": "c-1", "user_id": "u@example.com"},
        "databricks_options": {"return_trace": True},
        "custom_inputs": {"region": "EMEA", "deep": {"a": 1}, "long": "x" * 600},
        "metadata": {"region": "APAC"},
    }
    headers = {"x-forwarded-access-token": "t", "x-mlflow-return-trace-id": "true"}
    with serving(runtime).http as http:
        answer = http.post("/invocations", json=body, headers=headers)
    assert agent_stream(answer.content)["model"] == "sales"
    assert runtime.callers[0].metadata == {"region": "APAC", "session_id": "c-1"}


@pytest.mark.parametrize(
    ("model", "answers"), [("support", "support"), ("apps/support", "support"), (None, "sales")]
)
def test_an_agents_name_is_taken_where_it_is_one(serving, model, answers):
    runtime = LoopRuntime({name: ScriptedModel(says("Hi.")) for name in ("sales", "support")})
    with serving(runtime).http as http:
        answer = http.post("/invocations", json={"input": "hi", "model": model})
    assert answer.json()["model"] == answers


def test_chat_messages(serving):
    model = thinker()
    with serving(LoopRuntime(model, [add])).http as http:
        body = {"messages": QUESTION, "temperature": 0.5}
        answer = http.post("/invocations", json=body).json()
    conforms(answer, "CreateChatCompletionResponse")
    assert answer["choices"][0]["message"]["content"] == "Well.\n\nIt is 3."
    chat_agent_message(answer["messages"][0])
    assert model.requests[0].messages == (Message("user", "1 + 2?"),)
    assert model.requests[0].settings == {"temperature": 0.5}


def test_chat_messages_streamed(serving):
    with serving(LoopRuntime(thinker(), [add])).http as http:
        asked = [{**QUESTION[0], "id": "user-0"}]
        answer = http.post("/invocations", json={"messages": asked, "stream": True})
    chunks = data_frames(answer.content)
    for chunk in chunks:
        conforms(chunk, "CreateChatCompletionStreamResponse")
        chat_agent_message(chunk["delta"])
    assert "".join(chunk["delta"]["content"] for chunk in chunks) == "Well.\n\nIt is 3."


def test_the_official_client_at_this_path(serving):
    running = serving(LoopRuntime(ScriptedModel(says("Hi."))))
    client = openai.OpenAI(base_url=running.url, api_key="none", max_retries=0)
    with client:
        answer = client.post("/invocations", body={"input": QUESTION}, cast_to=object)
    assert agent_response(answer)["output"][0]["content"][0]["text"] == "Hi."


@pytest.mark.parametrize("stream", [False, True])
def test_an_error_before_the_first_word_is_a_status(serving, stream):
    fault = ModelError("unavailable", "The model can't be reached.")
    with serving(LoopRuntime(ScriptedModel([fault]))).http as http:
        answer = http.post("/invocations", json={"input": QUESTION, "stream": stream})
    assert answer.status_code == 503
    assert answer.json()["error"]["message"] == "The model can't be reached."


def test_an_error_after_the_first_word_is_a_frame(serving):
    fault = ModelError("truncated", "The model's answer broke off.")
    with serving(LoopRuntime(ScriptedModel([TextDelta("Well, "), fault]))).http as http:
        answer = http.post("/invocations", json={"input": QUESTION, "stream": True})
    told = agent_stream(answer.content)
    assert told["error"]["message"] == "The model's answer broke off."
    assert told["output"][0]["status"] == "incomplete"


def message(**fields) -> dict:
    return {"input": [{"role": "user", "content": "hi", **fields}]}


MALFORMED = [
    ({}, "input"),
    ({"input": None}, "input"),
    ({"input": []}, "input"),
    ({"input": 7}, "input"),
    ({"input": {}}, "input"),
    ({"input": ["hi"]}, "input[0]"),
    ({"input": [{}]}, "input[0].type"),
    (message(role="wizard"), "input[0].role"),
    (message(role=None), "input[0].role"),
    (message(content=None), "input[0].content"),
    (message(content=[]), "input[0].content"),
    (message(content=[7]), "input[0].content[0]"),
    (message(content=[{"type": "smell"}]), "input[0].content[0].type"),
    (message(content=[{"type": "input_text"}]), "input[0].content[0].text"),
    ({"input": [{"type": "function_call", "call_id": "c"}]}, "input[0].name"),
    (
        {"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]},
        "input[0].call_id",
    ),
    ({"input": "hi", "model": 7}, "model"),
    ({"input": "hi", "stream": 1}, "stream"),
    ({"input": "hi", "temperature": 3}, "temperature"),
    ({"input": "hi", "top_p": "x"}, "top_p"),
    ({"input": "hi", "max_output_tokens": -1}, "max_output_tokens"),
    ({"input": "hi", "metadata": []}, "metadata"),
    ({"input": "hi", "metadata": {"a": 1}}, "metadata"),
    ({"input": "hi", "tools": [{"type": "web_search"}]}, "tools[0].type"),
    ({"input": "hi", "tool_choice": "perhaps"}, "tool_choice"),
    ({"input": "hi", "text": {"format": {"type": "xml"}}}, "text.format.type"),
    ({"input": "hi", "reasoning": {"effort": 1}}, "reasoning.effort"),
    ({"input": "hi", "previous_response_id": "r"}, "previous_response_id"),
    ({"input": "hi", "background": True}, "background"),
    ({"input": "hi", "custom_inputs": "x"}, "custom_inputs"),
    ({"input": "hi", "custom_inputs": []}, "custom_inputs"),
    ({"input": "hi", "context": "x"}, "context"),
    ({"input": "hi", "context": {"conversation_id": 7}}, "context.conversation_id"),
    ({"input": "hi", "context": {"user_id": []}}, "context.user_id"),
    ({"input": "hi", "context": {"user_id": "x" * 600}}, "context.user_id"),
    ({"messages": []}, "messages"),
    ({"messages": {}}, "messages"),
    ({"messages": "hi"}, "messages"),
    ({"messages": [7]}, "messages[0]"),
    ({"messages": [{}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
    ({"messages": QUESTION, "temperature": "hot"}, "temperature"),
    ({"messages": QUESTION, "stream": "yes"}, "stream"),
    ({"messages": QUESTION, "n": 2}, "n"),
    ({"messages": QUESTION, "custom_inputs": 7}, "custom_inputs"),
    ({"messages": QUESTION, "context": 7}, "context"),
]


def test_every_wrong_field_is_named(serving):
    with serving(LoopRuntime(ScriptedModel())).http as http:
        answers = [(http.post("/invocations", json=body), param) for body, param in MALFORMED]
    assert len(MALFORMED) >= 48
    for answer, param in answers:
        conforms(answer.json(), "ErrorResponse")
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"hi"', b"\xff", b'{"input": "hi", "x": NaN}'])
def test_a_body_that_is_no_request(serving, raw):
    with serving(LoopRuntime(ScriptedModel())).http as http:
        headers = {"content-type": "application/json"}
        answer = http.post("/invocations", content=raw, headers=headers)
    assert answer.status_code == 400
    assert json.loads(answer.content)["error"]["type"] == "invalid_request_error"
