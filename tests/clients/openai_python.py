"""The official Python client: plain, streamed, its helpers, and its errors."""

import json
from typing import Literal

import openai
from checks import KEY, MODEL, SAID, URL, WRONG_KEY, raises, run
from pydantic import BaseModel

client = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


class Forecast(BaseModel):
    """A form for answers."""

    sky: Literal["grey", "blue"]
    degrees: int


def ask(text="hi", **options):
    messages = options.pop("messages", [{"role": "user", "content": text}])
    return client.chat.completions.create(model=MODEL, messages=messages, **options)


def joined(chunks):
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def check_models():
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL


def check_plain():
    completion = ask()
    assert completion.choices[0].message.content == SAID
    assert completion.usage.total_tokens == 15
    assert completion.usage.prompt_tokens_details.cached_tokens == 4
    assert completion._request_id


def check_streamed():
    assert joined(ask(stream=True)) == SAID
    *_, last = ask(stream=True, stream_options={"include_usage": True})
    assert last.usage.total_tokens == 15


def check_streaming_helper():
    with client.chat.completions.stream(
        model=MODEL, messages=[{"role": "user", "content": "read the skill"}]
    ) as stream:
        kinds = {event.type for event in stream}
        completion = stream.get_final_completion()
    assert {"content.delta", "content.done"} <= kinds
    assert completion.choices[0].message.content == "I read it."
    assert completion.choices[0].message.role == "assistant"
    assert not completion.choices[0].message.tool_calls


def check_steps_in_every_mode():
    for mode in ("reasoning", "extension", "openwebui", "off"):
        header = {"x-retinue-steps": mode}
        with client.chat.completions.stream(
            model=MODEL,
            messages=[{"role": "user", "content": "read the skill"}],
            extra_headers=header,
            stream_options={"include_usage": True},
        ) as stream:
            completion = stream.get_final_completion()
        assert completion.choices[0].message.content == "I read it."
        assert completion.usage.total_tokens == 30
        assert ask("read the skill", extra_headers=header).choices[0].finish_reason == "stop"


async def check_async():
    async with openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key=KEY) as aio:
        stream = await aio.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "hi"}], stream=True
        )
        assert "".join([c.choices[0].delta.content or "" async for c in stream]) == SAID


def check_structured():
    messages = [{"role": "user", "content": "forecast"}]
    parsed = client.chat.completions.parse(model=MODEL, messages=messages, response_format=Forecast)
    with client.chat.completions.stream(
        model=MODEL, messages=messages, response_format=Forecast
    ) as stream:
        streamed = stream.get_final_completion()
    expected = Forecast(sky="grey", degrees=7)
    assert parsed.choices[0].message.parsed == streamed.choices[0].message.parsed == expected
    assert json.loads(ask(response_format={"type": "json_object"}).choices[0].message.content)


def check_tools_round_trip():
    def streamed(**options):
        with client.chat.completions.stream(model=MODEL, **options) as stream:
            return stream.get_final_completion()

    def plain(**options):
        return client.chat.completions.create(model=MODEL, **options)

    for send in (plain, streamed):
        messages = [{"role": "user", "content": "the weather?"}]
        choice = send(messages=messages, tools=[WEATHER]).choices[0]
        (call,) = choice.message.tool_calls
        assert choice.finish_reason == "tool_calls"
        assert json.loads(call.function.arguments) == {"city": "Bern"}
        messages += [
            choice.message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "rain"},
        ]
        final = send(messages=messages, tools=[WEATHER])
        assert final.choices[0].message.content == "It says: rain"


def check_several_turns():
    messages = [{"role": "developer", "content": "Be kind."}, {"role": "user", "content": "one"}]
    answer = ask(messages=messages).choices[0].message
    messages += [answer, {"role": "user", "content": "what was my first word?"}]
    assert ask(messages=messages).choices[0].message.content == "You said: one"


def check_errors():
    error = raises(
        openai.NotFoundError,
        lambda: client.chat.completions.create(
            model="nobody", messages=[{"role": "user", "content": "hi"}]
        ),
    )
    assert (error.code, error.param) == ("model_not_found", "model")
    stranger = client.with_options(api_key=WRONG_KEY)
    error = raises(openai.AuthenticationError, stranger.models.list)
    assert error.code == "invalid_api_key"
    for call in (lambda: ask("busy"), lambda: ask("busy", stream=True)):
        error = raises(openai.RateLimitError, call)
        assert error.response.headers["retry-after"] == "1"
        assert error.response.headers["x-should-retry"] == "false"
    assert raises(openai.BadRequestError, lambda: ask(temperature=9)).param == "temperature"
    assert raises(openai.BadRequestError, lambda: ask(n=2)).param == "n"
    raises(openai.APIError, lambda: list(ask("break", stream=True)))


run(globals())
