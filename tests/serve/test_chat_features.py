"""Tools of the caller's, steps, forms and sessions, through a real server."""

import json
from typing import Literal

import openai
import pytest
from chat_bodies import PDF, PIXEL
from pydantic import BaseModel
from schemas import conforms
from serving import QUESTION, LoopRuntime, eventually
from test_chat import add, ask, sse

from retinue.agent import Limits, Serving
from retinue.run.events import ModelRetried, ReasoningDelta, RefusalDelta
from retinue.run.messages import FilePart, ImagePart, Message, TextPart, ToolCall
from retinue.run.ports import NamedTool, OutputFormat
from retinue.testing import ScriptedModel, agent, calls, says

HELLO = says("Hello to you.")
CHAT = "/v1/chat/completions"
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather somewhere.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
ASKS = calls(("weather", {"city": "Bern"}), ("weather", {"city": "Basel"}))


def fail() -> str:
    """Fail."""
    raise ValueError("out of order")


def runtime(model, functions=(), **fields) -> LoopRuntime:
    return LoopRuntime(model, functions, [agent(**fields)])


@pytest.mark.parametrize("stream", [False, True])
def test_the_callers_tools_come_back_to_it_and_go_on(serving, stream):
    model = ScriptedModel(calls(("add", {"a": 1, "b": 2})), ASKS, says("Rain."))
    with serving(LoopRuntime(model, [add])).client as client:
        if stream:
            with client.chat.completions.stream(
                model="tester", messages=QUESTION, tools=[WEATHER]
            ) as events:
                completion = events.get_final_completion()
        else:
            completion = ask(client, tools=[WEATHER])
        (choice,) = completion.choices
        assert choice.finish_reason == "tool_calls"
        assert [c.function.name for c in choice.message.tool_calls] == ["weather"] * 2
        history = [
            *QUESTION,
            choice.message.model_dump(exclude_none=True),
            *(
                {"role": "tool", "tool_call_id": call.id, "content": call.function.arguments}
                for call in choice.message.tool_calls
            ),
        ]
        final = ask(client, tools=[WEATHER], messages=history)
    assert final.choices[0].message.content == "Rain."
    assert [tool.name for tool in model.requests[0].tools] == ["add", "weather"]
    one, two = (call.id for call in choice.message.tool_calls)
    assert model.requests[2].messages == (
        Message("user", "hi"),
        Message(
            "assistant",
            tool_calls=(
                ToolCall(one, "weather", '{"city": "Bern"}'),
                ToolCall(two, "weather", '{"city": "Basel"}'),
            ),
        ),
        Message("tool", '{"city": "Bern"}', tool_call_id=one),
        Message("tool", '{"city": "Basel"}', tool_call_id=two),
    )


def test_the_wire_of_the_callers_tool_calls(serving):
    with serving(LoopRuntime(ScriptedModel(ASKS))).http as http:
        body = {"messages": QUESTION, "tools": [WEATHER]}
        whole = http.post(CHAT, json=body).json()
        streamed = sse(http.post(CHAT, json={**body, "stream": True}))
    conforms(whole, "CreateChatCompletionResponse")
    for event in streamed[:-1]:
        conforms(json.loads(event.removeprefix("data: ")), "CreateChatCompletionStreamResponse")


def test_a_named_tool_is_asked_of_the_model(serving):
    model = ScriptedModel(ASKS)
    with serving(LoopRuntime(model)).client as client:
        named = {"type": "function", "function": {"name": "weather"}}
        ask(client, tools=[WEATHER], tool_choice=named)
    assert model.requests[0].tool_choice == NamedTool("weather")


class Forecast(BaseModel):
    """A form for answers."""

    sky: Literal["grey", "blue"]
    degrees: int


def test_a_form_is_parsed_by_the_clients_helper(serving):
    model = ScriptedModel(says('{"sky": "grey", "degrees": 7}'))
    with serving(LoopRuntime(model)).client as client:
        parsed = client.chat.completions.parse(
            model="tester", messages=QUESTION, response_format=Forecast
        )
        with client.chat.completions.stream(
            model="tester", messages=QUESTION, response_format=Forecast
        ) as stream:
            streamed = stream.get_final_completion()
    expected = Forecast(sky="grey", degrees=7)
    assert parsed.choices[0].message.parsed == streamed.choices[0].message.parsed == expected
    asked = model.requests[0].output
    assert isinstance(asked, OutputFormat)
    assert (asked.name, asked.strict) == ("Forecast", True)
    assert not asked.trusted


def test_a_refusal_reaches_the_client_even_where_a_form_is_asked_for(serving):
    model = ScriptedModel([RefusalDelta("I won't."), HELLO[-1]])
    with serving(LoopRuntime(model)).client as client:
        completion = client.chat.completions.parse(
            model="tester", messages=QUESTION, response_format=Forecast
        )
    message = completion.choices[0].message
    assert (message.refusal, message.content, message.parsed) == ("I won't.", None, None)


def test_images_and_files_reach_the_model(serving):
    model = ScriptedModel(HELLO)
    content = [
        {"type": "text", "text": "See:"},
        {"type": "image_url", "image_url": {"url": PIXEL}},
        {"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}},
    ]
    with serving(LoopRuntime(model)).client as client:
        ask(client, messages=[{"role": "user", "content": content}])
        with pytest.raises(openai.BadRequestError) as caught:
            inside = {"type": "image_url", "image_url": {"url": "https://169.254.169.254/"}}
            ask(client, messages=[{"role": "user", "content": [inside]}])
    parts = (TextPart("See:"), ImagePart(PIXEL), FilePart(PDF, "a.pdf"))
    assert model.requests[0].messages == (Message("user", "See:", parts=parts),)
    assert caught.value.param == "messages[0].content[0].image_url.url"
    assert len(model.requests) == 1


MODES = ("reasoning", "extension", "openwebui", "off")
WORK = [ReasoningDelta("hm"), *calls(("add", {"a": 1, "b": 2}), ("fail", {}))]


@pytest.mark.parametrize("mode", MODES)
def test_steps_by_the_agents_choice_and_by_the_header(serving, mode):
    def chunks(header, steps):
        model = ScriptedModel(WORK, HELLO)
        running = serving(runtime(model, [add, fail], serving=Serving(steps=steps)))
        headers = {"x-retinue-steps": header} if header else {}
        with running.http as http:
            body = {"messages": QUESTION, "stream": True}
            events = sse(http.post(CHAT, json=body, headers=headers))[:-1]
            model.requests.clear()
            whole = http.post(CHAT, json={"messages": QUESTION}, headers=headers).json()
        return [json.loads(event.removeprefix("data: ")) for event in events], whole

    seen, whole = chunks(None, mode)
    for chunk in seen:
        conforms(chunk, "CreateChatCompletionStreamResponse")
        assert "tool_calls" not in chunk["choices"][0]["delta"]
    conforms(whole, "CreateChatCompletionResponse")
    by_header, _ = chunks(mode, "off")
    assert len(by_header) == len(seen)
    thoughts = "".join(c["choices"][0]["delta"].get("reasoning_content", "") for c in seen)
    steps = [c["x_retinue"]["step"]["status"] for c in seen if "x_retinue" in c]
    drawn = [c["event"]["data"]["done"] for c in seen if "event" in c]
    lines = "\nCalling add: a=1, b=2\nCalling fail.\nfail failed.\n"
    assert thoughts == ("hm" + lines if mode == "reasoning" else "hm")
    assert sorted(steps) == (
        ["completed", "failed", "started", "started"] if mode == "extension" else []
    )
    assert drawn == ([False, False, True, True] if mode == "openwebui" else [])
    assert whole["choices"][0]["message"]["reasoning_content"] == thoughts
    assert ("x_retinue" in whole) == (mode == "extension")


def test_an_unknown_kind_of_steps_is_refused(serving):
    with serving(LoopRuntime(ScriptedModel(HELLO))).http as http:
        response = http.post(CHAT, json={"messages": QUESTION}, headers={"x-retinue-steps": "all"})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "x-retinue-steps"


def test_an_agent_may_ignore_or_refuse_a_callers_instructions(serving):
    history = [{"role": "system", "content": "Be rude."}, *QUESTION]
    model = ScriptedModel(HELLO)
    ignoring = serving(runtime(model, serving=Serving(system_messages="ignore")))
    with ignoring.client as client:
        ask(client, messages=history)
    assert model.requests[0].messages == (Message("user", "hi"),)
    refusing = serving(runtime(model, serving=Serving(system_messages="refuse")))
    with refusing.client as client, pytest.raises(openai.BadRequestError) as caught:
        ask(client, messages=history)
    assert caught.value.param == "messages[0].role"


@pytest.mark.parametrize("stream", [False, True])
def test_the_way_of_an_answer_is_a_header(serving, stream):
    hop = ModelRetried("a/one", "rate_limit", "b/two")
    with serving(LoopRuntime(ScriptedModel([hop, *HELLO]))).http as http:
        response = http.post(CHAT, json={"messages": QUESTION, "stream": stream})
        plain = http.get("/health")
    assert response.status_code == 200
    assert response.headers["x-retinue-route"] == "a/one;fault=rate_limit, b/two"
    assert "x-retinue-route" not in plain.headers


def test_a_run_that_a_limit_stopped_says_so(serving):
    model = ScriptedModel(calls(("add", {"a": 1, "b": 2})))
    running = serving(runtime(model, [add], limits=Limits(max_turns=2)))
    with running.client as client:
        completion = ask(client)
        last = list(ask(client, stream=True))[-1]
    assert completion.choices[0].finish_reason == last.choices[0].finish_reason == "length"
    assert completion.x_retinue == last.x_retinue == {"stopped_by": "max_turns"}


def test_a_session_is_written_to_the_log(serving, log):
    asked = {
        "r-1": {"headers": {"x-session-id": "s 1"}, "json": {}},
        "r-2": {"json": {"metadata": {"session_id": "s-2"}}},
        "r-3": {"json": {}},
    }
    with serving(LoopRuntime(ScriptedModel(HELLO))).http as http:
        for name, request in asked.items():
            headers = {**request.get("headers", {}), "x-request-id": name}
            http.post(CHAT, json={"messages": QUESTION, **request["json"]}, headers=headers)

    def line(name: str) -> str:
        told = [r.getMessage() for r in log.records if r.name == "retinue.access"]
        return next((one for one in told if one.endswith(f" request_id={name}")), "")

    # The line is written when the answer has gone out, which the client may see first.
    eventually(lambda: all(map(line, asked)), 30)
    for name, session in zip(asked, ("s%201", "s-2", "auto-"), strict=True):
        assert f" session={session}" in line(name)
