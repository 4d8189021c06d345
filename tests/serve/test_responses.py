"""Responses through a real server, as the official client and as raw HTTP see them."""

import json
import time

import openai
import pytest
from pydantic import BaseModel
from response_events import parsed, replayed
from schemas import conforms
from serving import LoopRuntime

from retinue.agent import Serving
from retinue.errors import ModelError, RequestError
from retinue.run.events import ReasoningDelta, TextDelta, Usage
from retinue.run.messages import Message, ToolCall
from retinue.run.ports import OutputFormat
from retinue.serve.admission import Access
from retinue.serve.answers import Pace
from retinue.testing import ScriptedModel, agent, calls, says

HELLO = says("Hello to you.", usage=Usage(7, 3))
WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "The weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}


PROXIED = {"DATABRICKS_APP_NAME": "agent-x", "DATABRICKS_APP_PORT": "8000"}


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def ask(client, **options):
    return client.responses.create(**{"model": "tester", "input": "hi", **options})


def test_plain(serving):
    with serving(LoopRuntime(ScriptedModel(HELLO))).client as client:
        response = ask(client, metadata={"region": "EMEA"}, store=True)
    assert response.output_text == "Hello to you."
    assert response.status == "completed"
    assert response.model == "tester"
    assert response.usage.total_tokens == 10
    assert response.metadata == {"region": "EMEA"}
    assert abs(response.created_at - time.time()) < 60
    assert response._request_id.startswith("req_")


def test_streamed(serving):
    with serving(LoopRuntime(ScriptedModel(HELLO))).client as client:
        events = list(ask(client, stream=True))
    deltas = [e.delta for e in events if e.type == "response.output_text.delta"]
    assert deltas == ["Hello ", "to ", "you."]
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == "Hello to you."


def test_the_clients_streaming_helper(serving):
    model = ScriptedModel([ReasoningDelta("hm"), *calls(("add", {"a": 1, "b": 2}))], HELLO)
    with (
        serving(LoopRuntime(model, [add])).client as client,
        client.responses.stream(model="tester", input="hi") as stream,
    ):
        snapshots = [e.snapshot for e in stream if e.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert snapshots == ["Hello ", "Hello to ", "Hello to you."]
    assert [item.type for item in final.output] == ["reasoning", "mcp_call", "message"]
    assert final.output[1].output == "3"
    assert final.usage.total_tokens == 25


async def test_the_async_client(serving):
    async with serving(LoopRuntime(ScriptedModel(HELLO))).async_client as client:
        response = await ask(client)
        async with client.responses.stream(model="tester", input="hi") as stream:
            final = await stream.get_final_response()
    assert response.output_text == final.output_text == "Hello to you."


class Capital(BaseModel):
    city: str


def test_an_answer_of_a_form(serving):
    model = ScriptedModel(says('{"city": "Ulm"}'))
    with serving(LoopRuntime(model)).client as client:
        answer = client.responses.parse(model="tester", input="hi", text_format=Capital)
        with client.responses.stream(model="tester", input="hi", text_format=Capital) as stream:
            streamed = stream.get_final_response()
    assert answer.output_parsed == streamed.output_parsed == Capital(city="Ulm")
    form = model.requests[0].output
    assert (form.name, form.strict) == ("Capital", True)
    assert form.schema["required"] == ["city"]


def test_any_json_object(serving):
    model = ScriptedModel(says('{"a": 1}'))
    with serving(LoopRuntime(model)).client as client:
        response = ask(client, text={"format": {"type": "json_object"}})
    assert response.output_text == '{"a": 1}'
    assert model.requests[0].output == OutputFormat()


@pytest.mark.parametrize("stream", [False, True])
def test_the_callers_own_tools(serving, stream):
    model = ScriptedModel(calls(("weather", {"city": "Ulm"})), says("It rains."))
    history = [{"role": "user", "content": "The weather in Ulm?"}]
    with serving(LoopRuntime(model)).client as client:
        if stream:
            with client.responses.stream(model="tester", input=history, tools=[WEATHER]) as events:
                first = events.get_final_response()
        else:
            first = ask(client, input=history, tools=[WEATHER])
        (call,) = first.output
        assert (call.type, call.name) == ("function_call", "weather")
        assert json.loads(call.arguments) == {"city": "Ulm"}
        answer = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
        second = ask(client, input=[*history, call.to_dict(), answer], tools=[WEATHER])
    assert second.output_text == "It rains."
    assert [tool.name for tool in model.requests[0].tools] == ["weather"]
    assert model.requests[1].messages[1:] == (
        Message("assistant", "", (ToolCall("call_1", "weather", '{"city": "Ulm"}'),)),
        Message("tool", "rain", tool_call_id="call_1", name="weather"),
    )


def test_output_can_be_put_before_the_next_question(serving):
    model = ScriptedModel(calls(("add", {"a": 1, "b": 2})), says("It is 3."))
    history = [{"role": "user", "content": "1 + 2?"}]
    with serving(LoopRuntime(model, [add])).client as client:
        history += [item.to_dict() for item in ask(client, input=history).output]
        ask(client, input=[*history, {"role": "user", "content": "Sure?"}])
    said = [(m.role, m.content) for m in model.requests[-1].messages]
    assert said == [
        ("user", "1 + 2?"),
        ("assistant", ""),
        ("tool", "3"),
        ("assistant", "It is 3."),
        ("user", "Sure?"),
    ]


@pytest.mark.parametrize("prefix", ["/v1", "/api/v1", ""])
def test_the_same_under_every_prefix(serving, prefix):
    model = ScriptedModel(calls(("add", {"a": 1, "b": 2})), HELLO)
    with serving(LoopRuntime(model, [add])).http as http:
        answer = http.post(f"{prefix}/responses", json={"input": "hi"}).json()
    assert [item["type"] for item in answer["output"]] == ["mcp_call", "message"]


@pytest.mark.parametrize(("prefix", "own"), [("/v1", "mcp_call"), ("", "function_call")])
def test_databricks_finds_its_own_style_at_the_root(serving, prefix, own):
    model = ScriptedModel(calls(("add", {"a": 1, "b": 2})), HELLO)
    server = serving(LoopRuntime(model, [add]), access=Access([agent()], PROXIED))
    with server.http as http:
        raw = http.post(f"{prefix}/responses", json={"input": "hi", "stream": True})
    kinds = [item["type"] for item in replayed(parsed(raw.content))["output"]]
    assert kinds[0] == own
    assert ("function_call_output" in kinds) == (own == "function_call")


@pytest.mark.parametrize(
    ("steps", "kinds"),
    [
        ("reasoning", ["mcp_call", "message"]),
        ("openwebui", ["function_call", "function_call_output", "message"]),
        ("off", ["message"]),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_tool_calls_are_shown_as_the_agent_or_the_caller_wants(serving, steps, kinds, stream):
    def runtime(own):
        model = ScriptedModel(calls(("add", {"a": 1, "b": 2})), HELLO)
        serve = Serving(steps=own)
        return LoopRuntime(model, [add], [agent(serving=serve)])

    body = {"input": "hi", "stream": stream}
    with serving(runtime(steps)).http as http:
        by_agent = http.post("/v1/responses", json=body)
    with serving(runtime("reasoning")).http as http:
        by_caller = http.post("/v1/responses", json=body, headers={"x-retinue-steps": steps})
    for answer in (by_agent, by_caller):
        final = replayed(parsed(answer.content)) if stream else answer.json()
        assert [item["type"] for item in final["output"]] == kinds


def test_the_wire_of_a_stream(serving):
    model = ScriptedModel([TextDelta("a\u2028b\n"), *calls(("add", {"a": 1, "b": 2}))], HELLO)
    with serving(LoopRuntime(model, [add])).http as http:
        response = http.post("/v1/responses", json={"input": "hi", "stream": True})
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-request-id"]
    conforms(replayed(parsed(response.content)), "Response")


def test_words_leave_as_they_come(serving):
    steps = [step for n in range(10) for step in (TextDelta(f"{n} "), 0.04)]
    running = serving(LoopRuntime(ScriptedModel([*steps, *HELLO])))
    with running.client as client:
        events = ((time.monotonic(), e) for e in ask(client, stream=True))
        times = [at for at, e in events if e.type == "response.output_text.delta"]
    assert times[9] - times[0] > 0.25


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_error_before_the_first_word_is_a_status(serving, stream):
    fault = ModelError("context_window", "The conversation is too long for the model.")
    running = serving(LoopRuntime(ScriptedModel([0.05, fault])))
    with running.client as client, pytest.raises(openai.BadRequestError) as caught:
        ask(client, stream=stream)
    assert caught.value.code == "context_length_exceeded"
    assert caught.value.param == "input"
    conforms(caught.value.response.json(), "ErrorResponse")


def test_a_model_error_after_the_first_word_ends_the_stream_with_both_events(serving):
    fault = ModelError("truncated", "The model's answer broke off.")
    running = serving(LoopRuntime(ScriptedModel([TextDelta("Well, "), fault])))
    with running.client as client, running.http as http:
        with pytest.raises(openai.APIError, match="broke off") as caught:
            list(ask(client, stream=True))
        raw = http.post("/v1/responses", json={"input": "hi", "stream": True})
    assert caught.value.code == "model_answer_truncated"
    assert [event["type"] for event in parsed(raw.content)[-2:]] == ["error", "response.failed"]
    final = replayed(parsed(raw.content))
    assert final["status"] == "failed"
    assert final["output"][0]["status"] == "incomplete"


def test_an_error_after_the_head_was_sent_is_told_in_order(serving):
    model = ScriptedModel([0.3, ModelError("timeout", "Too slow.")])
    running = serving(LoopRuntime(model), pace=Pace(hold=0.05, heartbeat=0.05))
    with running.http as http:
        raw = http.post("/v1/responses", json={"input": "hi", "stream": True})
    assert raw.status_code == 200
    assert raw.content.startswith(b": keep-alive\n\n")
    told = raw.content.replace(b": keep-alive\n\n", b"")
    assert replayed(parsed(told))["error"]["message"] == "Too slow."


def test_a_bug_is_opaque(serving):
    running = serving(LoopRuntime(ScriptedModel([TextDelta("x"), ZeroDivisionError("s3cret")])))
    with running.http as http:
        raw = http.post("/v1/responses", json={"input": "hi", "stream": True})
        whole = http.post("/v1/responses", json={"input": "hi"})
    assert b"s3cret" not in raw.content + whole.content
    assert whole.status_code == 500
    assert replayed(parsed(raw.content))["status"] == "failed"


def test_a_parameter_that_the_run_refuses_has_this_apis_name(serving):
    error = RequestError("'max_tokens' must be at most 5", param="max_tokens")
    with serving(LoopRuntime(ScriptedModel([error]))).http as http:
        answer = http.post("/v1/responses", json={"input": "hi", "max_output_tokens": 9})
    told = answer.json()["error"]
    assert (answer.status_code, told["param"]) == (400, "max_output_tokens")
    assert told["message"] == "'max_output_tokens' must be at most 5"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/responses/resp_1", 404, "response_not_found"),
        ("DELETE", "/v1/responses/resp_1", 404, "response_not_found"),
        ("GET", "/v1/responses/resp_1/input_items", 404, "response_not_found"),
        ("POST", "/v1/responses/resp_1/cancel", 404, "response_not_found"),
        ("POST", "/v1/responses/compact", 404, "unknown_path"),
        ("GET", "/v1/responses", 405, "method_not_allowed"),
        ("POST", "/v1/responses/resp_1", 405, "method_not_allowed"),
    ],
)
def test_nothing_is_stored(serving, method, path, status, code):
    with serving(LoopRuntime(ScriptedModel())).http as http:
        answer = http.request(method, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    conforms(answer.json(), "ErrorResponse")


def test_an_unknown_model(serving):
    with serving(LoopRuntime(ScriptedModel())).client as client:
        with pytest.raises(openai.NotFoundError) as caught:
            ask(client, model="gpt-4")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"input": [{}]}', "application/json", 400),
        (b'{"input": "hi"}', "text/plain", 415),
    ],
)
def test_a_request_that_cant_be_read(serving, content, media_type, status):
    with serving(LoopRuntime(ScriptedModel())).http as http:
        headers = {"content-type": media_type}
        answer = http.post("/v1/responses", content=content, headers=headers)
    assert answer.status_code == status
    conforms(answer.json(), "ErrorResponse")
