"""openai-agents over both APIs: run, stream, function tools, structured output, errors."""

from functools import partial
from typing import Literal

import openai
from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from checks import KEY, MODEL, SAID, URL, WRONG_KEY, run
from pydantic import BaseModel

set_tracing_disabled(True)


class Forecast(BaseModel):
    """A form for answers."""

    sky: Literal["grey", "blue"]
    degrees: int


APIS = (OpenAIChatCompletionsModel, OpenAIResponsesModel)


def agent(api, model=MODEL, key=KEY, **options) -> Agent:
    client = openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key=key, max_retries=0)
    asked = api(model=model, openai_client=client)
    return Agent(name="caller", instructions="Be kind.", model=asked, **options)


async def plain(api):
    assert (await Runner.run(agent(api), "hi")).final_output == SAID


async def stream(api):
    result = Runner.run_streamed(agent(api), "read the skill")
    kinds = [event.type async for event in result.stream_events()]
    assert "raw_response_event" in kinds
    assert result.final_output == "I read it."


async def function_tools_are_run_by_the_client(api):
    for streamed in (False, True):
        cities = []

        @function_tool
        def weather(city: str) -> str:
            """The weather in a city."""
            cities.append(city)  # noqa: B023
            return "rain"

        helper = agent(api, tools=[weather])
        if streamed:
            result = Runner.run_streamed(helper, "the weather?")
            async for _ in result.stream_events():
                pass
        else:
            result = await Runner.run(helper, "the weather?")
        assert result.final_output == "It says: rain"
        assert cities == ["Bern"]


async def structured(api):
    result = await Runner.run(agent(api, output_type=Forecast), "forecast")
    assert result.final_output == Forecast(sky="grey", degrees=7)


async def several_turns(api):
    first = await Runner.run(agent(api), "one")
    items = [*first.to_input_list(), {"role": "user", "content": "my first?"}]
    assert (await Runner.run(agent(api), items)).final_output == "You said: one"


async def errors(api):
    wrong = [
        ("nobody", KEY, openai.NotFoundError),
        (MODEL, WRONG_KEY, openai.AuthenticationError),
        (MODEL, KEY, openai.RateLimitError),
    ]
    for model, key, kind in wrong:
        try:
            await Runner.run(agent(api, model, key), "busy")
        except kind:
            continue
        raise AssertionError(f"{kind.__name__} was not raised")


CHECKS = (plain, stream, function_tools_are_run_by_the_client, structured, several_turns, errors)
run(
    {
        f"check_{check.__name__}_{api.__name__}": partial(check, api)
        for api in APIS
        for check in CHECKS
    }
)
