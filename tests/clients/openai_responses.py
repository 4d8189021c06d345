"""The official Python client over the Responses API: plain, streamed, its helpers, its errors."""

import json
from typing import Literal

import openai
from checks import KEY, MODEL, SAID, URL, WRONG_KEY, raises, run
from pydantic import BaseModel

client = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"type": "function", "name": "weather", "parameters": PARAMETERS, "strict": False}


class Forecast(BaseModel):
    """A form for answers."""

    sky: Literal["grey", "blue"]
    degrees: int


def ask(given="hi", **options):
    return client.responses.create(model=MODEL, input=given, **options)


def helped(given, **options):
    """The final response of the streaming helper, and the kinds of events that led to it."""
    with client.responses.stream(model=MODEL, input=given, **options) as stream:
        kinds = {event.type for event in stream}
        return stream.get_final_response(), kinds


def check_plain():
    response = ask(instructions="Be kind.", metadata={"a": "b"})
    assert response.output_text == SAID
    assert response.status == "completed"
    assert response.usage.total_tokens == 15
    assert response.usage.input_tokens_details.cached_tokens == 4
    assert response.metadata == {"a": "b"}
    assert response._request_id


def check_streamed():
    events = list(ask(stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    pieces = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(pieces) == SAID
    assert events[-1].response.output_text == SAID


def check_streaming_helper_and_the_agents_own_tools():
    for mode in ("reasoning", "extension", "openwebui", "off"):
        response, kinds = helped("read the skill", extra_headers={"x-retinue-steps": mode})
        assert response.output_text == "I read it."
        assert {"response.created", "response.output_text.done", "response.completed"} <= kinds
        assert response.usage.total_tokens == 30
    (call,) = [item for item in ask("read the skill").output if item.type == "mcp_call"]
    assert (call.name, call.error) == ("load_skill", None)


async def check_async():
    async with openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key=KEY) as aio:
        async with aio.responses.stream(model=MODEL, input="hi") as stream:
            assert (await stream.get_final_response()).output_text == SAID


def check_structured():
    expected = Forecast(sky="grey", degrees=7)
    parsed = client.responses.parse(model=MODEL, input="forecast", text_format=Forecast)
    streamed, _ = helped("forecast", text_format=Forecast)
    assert parsed.output_parsed == streamed.output_parsed == expected
    form = {"format": {"type": "json_object"}}
    assert json.loads(ask(text=form).output_text) == expected.model_dump()


def check_tools_round_trip():
    for send in (ask, lambda given, **options: helped(given, **options)[0]):
        said = [{"role": "user", "content": "the weather?"}]
        asked = send(said, tools=[WEATHER])
        (call,) = [item for item in asked.output if item.type == "function_call"]
        assert json.loads(call.arguments) == {"city": "Bern"}
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
        final = send([*said, *asked.output, result], tools=[WEATHER])
        assert final.output_text == "It says: rain"


def check_several_turns():
    said = [{"role": "developer", "content": "Be kind."}, {"role": "user", "content": "one"}]
    said += ask([*said, {"role": "user", "content": "read the skill"}]).output
    said.append({"role": "user", "content": "my first?"})
    assert ask(said).output_text == "You said: one"


def check_errors():
    unknown = raises(
        openai.NotFoundError, lambda: client.responses.create(model="nobody", input="hi")
    )
    assert (unknown.code, unknown.param) == ("model_not_found", "model")
    stranger = client.with_options(api_key=WRONG_KEY)
    raises(openai.AuthenticationError, lambda: stranger.responses.create(model=MODEL, input="hi"))
    raises(openai.RateLimitError, lambda: ask("busy"))
    raises(openai.RateLimitError, lambda: ask("busy", stream=True))
    for wrong in ({"temperature": 9}, {"background": True}, {"previous_response_id": "resp_1"}):
        error = raises(openai.BadRequestError, lambda wrong=wrong: ask(**wrong))
        assert error.param in wrong
    raises(openai.NotFoundError, lambda: client.responses.retrieve("resp_1"))
    raises(openai.APIError, lambda: list(ask("break", stream=True)))


run(globals())
