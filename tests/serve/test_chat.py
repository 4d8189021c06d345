"""Chat completions through a real server, as the official client and as raw HTTP see them."""

import asyncio
import json
import time

import openai
import pytest
from schemas import conforms
from serving import QUESTION, LoopRuntime

from retinue.errors import ModelError
from retinue.run.events import ReasoningDelta, TextDelta, Usage
from retinue.run.messages import Message
from retinue.serve.answers import Pace
from retinue.testing import ScriptedModel, calls, says

HELLO = says("Hello to you.", usage=Usage(7, 3))


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def ask(client, **options):
    return client.chat.completions.create(
        **{"model": "tester", "messages": QUESTION, **options}, timeout=30
    )


def sse(response) -> list[str]:
    """The data of every event, and the comments, as they stand on the wire."""
    events = response.text.split("\n\n")
    assert events.pop() == ""
    return events


def test_plain(serving):
    with serving(LoopRuntime(ScriptedModel(HELLO))).client as client:
        completion = ask(client)
    assert completion.choices[0].message.content == "Hello to you."
    assert completion.choices[0].finish_reason == "stop"
    assert completion.model == "tester"
    assert completion.system_fingerprint == "digest-of-tester"
    assert completion.usage.total_tokens == 10
    assert abs(completion.created - time.time()) < 60
    assert completion._request_id.startswith("req_")


def test_streamed(serving):
    with serving(LoopRuntime(ScriptedModel(HELLO))).client as client:
        chunks = list(ask(client, stream=True))
    assert [c.choices[0].delta.content or "" for c in chunks] == ["", "Hello ", "to ", "you.", ""]
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(c.usage is None for c in chunks)


def test_streamed_with_usage(serving):
    with serving(LoopRuntime(ScriptedModel(HELLO))).client as client:
        *rest, last = ask(client, stream=True, stream_options={"include_usage": True})
    assert last.usage.total_tokens == 10
    assert all(c.usage is None for c in rest)


def test_the_clients_streaming_helper(serving):
    model = ScriptedModel(calls(("add", {"a": 1, "b": 2})), HELLO)
    with (
        serving(LoopRuntime(model, [add])).client as client,
        client.chat.completions.stream(
            model="tester", messages=QUESTION, stream_options={"include_usage": True}
        ) as stream,
    ):
        kinds = [event.type for event in stream]
        completion = stream.get_final_completion()
    assert "content.done" in kinds
    assert completion.choices[0].message.role == "assistant"
    assert completion.choices[0].message.content == "Hello to you."
    assert not completion.choices[0].message.tool_calls
    assert completion.usage.total_tokens == 25


async def test_the_async_client(serving):
    async with serving(LoopRuntime(ScriptedModel(HELLO))).async_client as client:
        completion = await ask(client)
        stream = await ask(client, stream=True)
        text = "".join([c.choices[0].delta.content or "" async for c in stream])
    assert completion.choices[0].message.content == text == "Hello to you."


def test_several_turns_reach_the_model_in_order(serving):
    model = ScriptedModel(HELLO)
    history = [
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
    ]
    runtime = LoopRuntime(model)
    with serving(runtime).client as client:
        ask(
            client,
            messages=history,
            temperature=0.3,
            max_completion_tokens=9,
            metadata={"region": "EMEA"},
        )
    (asked,) = model.requests
    assert asked.messages == tuple(Message(m["role"], m["content"]) for m in history)
    assert asked.settings == {"temperature": 0.3, "max_completion_tokens": 9}
    assert runtime.callers[0].metadata == {"region": "EMEA"}


@pytest.mark.parametrize("stream", [False, True])
def test_tools_run_inside_and_stay_there(serving, stream):
    model = ScriptedModel(calls(("add", {"a": 1, "b": 2})), says("It is 3."))
    runtime = LoopRuntime(model, [add])
    with serving(runtime).client as client:
        answer = ask(client, stream=stream)
        if stream:
            chunks = list(answer)
            assert not any(c.choices[0].delta.tool_calls for c in chunks)
            text = "".join(c.choices[0].delta.content or "" for c in chunks)
        else:
            assert answer.choices[0].message.tool_calls is None
            text = answer.choices[0].message.content
    assert text == "It is 3."
    assert [m.content for m in model.requests[1].messages if m.role == "tool"] == ["3"]


def test_the_models_thinking_is_reasoning_content(serving):
    model = ScriptedModel([ReasoningDelta("hm"), *HELLO])
    with serving(LoopRuntime(model)).client as client:
        assert ask(client).choices[0].message.reasoning_content == "hm"
        chunks = list(ask(client, stream=True))
    assert [getattr(c.choices[0].delta, "reasoning_content", None) for c in chunks][1] == "hm"


def test_several_agents(serving):
    models = {name: ScriptedModel(says(f"I am {name}.")) for name in ("sales", "support")}
    running = serving(LoopRuntime(models))
    with running.client as client, running.http as http:
        answers = {m: ask(client, model=m) for m in ("sales", "support", "apps/support")}
        without = http.post("/v1/chat/completions", json={"messages": QUESTION}).json()
        with pytest.raises(openai.NotFoundError) as caught:
            ask(client, model="gpt-4")
    said = {m: a.choices[0].message.content for m, a in answers.items()}
    assert said["sales"] == "I am sales."
    assert said["support"] == said["apps/support"] == "I am support."
    assert answers["apps/support"].model == "apps/support"
    assert (without["model"], without["choices"][0]["message"]["content"]) == (
        "sales",
        "I am sales.",
    )
    assert caught.value.code == "model_not_found"
    assert "sales, support" in caught.value.message


@pytest.mark.parametrize("prefix", ["/v1", "/api/v1", ""])
def test_the_same_under_every_prefix(serving, prefix):
    with serving(LoopRuntime(ScriptedModel(HELLO))).http as http:
        answer = http.post(f"{prefix}/chat/completions", json={"messages": QUESTION})
    assert answer.json()["choices"][0]["message"]["content"] == "Hello to you."


def test_the_wire_of_a_stream(serving):
    model = ScriptedModel([TextDelta("a\u2028b\n"), *HELLO])
    with serving(LoopRuntime(model)).http as http:
        body = {"messages": QUESTION, "stream": True, "stream_options": {"include_usage": True}}
        response = http.post("/v1/chat/completions", json=body)
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-accel-buffering"] == "no"
    assert response.headers["x-request-id"]
    events = sse(response)
    assert events[-1] == "data: [DONE]"
    for event in events[:-1]:
        assert event.startswith("data: {")
        conforms(json.loads(event.removeprefix("data: ")), "CreateChatCompletionStreamResponse")


def test_a_whole_answer_conforms(serving):
    with serving(LoopRuntime(ScriptedModel(HELLO))).http as http:
        response = http.post(
            "/v1/chat/completions", json={"messages": QUESTION, "metadata": {"a": "b"}}
        )
    assert response.headers["content-type"] == "application/json"
    conforms(response.json(), "CreateChatCompletionResponse")


def test_words_leave_as_they_come(serving):
    steps = [step for n in range(10) for step in (TextDelta(f"{n} "), 0.04)]
    running = serving(LoopRuntime(ScriptedModel([*steps, *HELLO])))
    with running.client as client:
        times = [time.monotonic() for c in ask(client, stream=True) if c.choices[0].delta.content]
    assert times[9] - times[0] > 0.25


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_error_before_the_first_word_is_a_status(serving, stream):
    fault = ModelError("rate_limit", "The model is busy.", retry_after=7)
    running = serving(LoopRuntime(ScriptedModel([0.05, fault])))
    with running.client as client, pytest.raises(openai.RateLimitError) as caught:
        ask(client, stream=stream)
    assert caught.value.response.headers["retry-after"] == "7"
    assert caught.value.code == "rate_limit_exceeded"
    conforms(caught.value.response.json(), "ErrorResponse")


def test_a_model_error_after_the_first_word_ends_the_stream_with_an_error(serving):
    fault = ModelError("truncated", "The model's answer broke off.")
    running = serving(LoopRuntime(ScriptedModel([TextDelta("Well, "), fault])))
    with running.client as client, running.http as http:
        received = []
        with pytest.raises(openai.APIError, match="broke off"):
            received.extend(ask(client, stream=True))
        raw = http.post("/v1/chat/completions", json={"messages": QUESTION, "stream": True})
    assert raw.status_code == 200
    *_, error, done = sse(raw)
    assert done == "data: [DONE]"
    conforms(json.loads(error.removeprefix("data: ")), "ErrorResponse")
    assert '"finish_reason":"' not in raw.text


def test_a_bug_is_opaque_outside_and_told_in_the_log(serving, log):
    running = serving(LoopRuntime(ScriptedModel([ZeroDivisionError("s3cret")])))
    with running.http as http:
        response = http.post("/v1/chat/completions", json={"messages": QUESTION})
        again = http.get("/health")
    assert response.status_code == 500
    assert "s3cret" not in response.text
    conforms(response.json(), "ErrorResponse")
    (told,) = [r for r in log.records if r.name == "retinue.serve"]
    assert response.headers["x-request-id"] in told.getMessage()
    assert told.exc_info[0] is ZeroDivisionError
    assert again.status_code == 200


def test_silence_is_filled_with_comments(serving):
    model = ScriptedModel([0.3, TextDelta("Well, "), 0.3, *HELLO])
    running = serving(LoopRuntime(model), pace=Pace(hold=0.07, heartbeat=0.07))
    with running.client as client, running.http as http:
        text = "".join(c.choices[0].delta.content or "" for c in ask(client, stream=True))
        events = sse(http.post("/v1/chat/completions", json={"messages": QUESTION, "stream": True}))
    assert text == "Well, Hello to you."
    comments = [i for i, event in enumerate(events) if event == ": keep-alive"]
    first_word = next(i for i, event in enumerate(events) if "Well" in event)
    assert 2 <= len([i for i in comments if i < first_word]) <= 5
    assert 2 <= len([i for i in comments if i > first_word]) <= 5
    assert all(event.startswith(("data: ", ": keep-alive")) for event in events)


def test_an_error_after_the_head_was_sent_is_a_frame(serving):
    model = ScriptedModel([0.3, ModelError("timeout", "Too slow.")])
    running = serving(LoopRuntime(model), pace=Pace(hold=0.05, heartbeat=10))
    with running.client as client, pytest.raises(openai.APIError, match=r"Too slow\."):
        list(ask(client, stream=True))


async def test_fifty_streams_each_get_their_own_text(serving):
    class Echo:
        """Says the question back, a letter at a time, with every stream in between."""

        async def stream(self, request):
            for letter in request.messages[-1].content:
                await asyncio.sleep(0.002)
                yield TextDelta(letter)
            yield says("")[-1]

    async with serving(LoopRuntime(Echo())).async_client as client:

        async def one(n: int) -> str:
            question = f"stream {n} of fifty"
            stream = await ask(
                client, stream=True, messages=[{"role": "user", "content": question}]
            )
            text = "".join([c.choices[0].delta.content or "" async for c in stream])
            assert text == question
            return text

        texts = await asyncio.gather(*map(one, range(50)))
    assert len(set(texts)) == 50
