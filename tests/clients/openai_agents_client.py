"""openai-agents over chat completions: run, stream, function tools, structured output, errors."""

from typing import Literal

import openai
from agents import (
    Agent,
    OpenAIChatCompletionsModel,
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


def agent(model=MODEL, key=KEY, **options) -> Agent:
    client = openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key=key, max_retries=0)
    chat = OpenAIChatCompletionsModel(model=model, openai_client=client)
    return Agent(name="caller", instructions="Be kind.", model=chat, **options)


async def check_run():
    assert (await Runner.run(agent(), "hi")).final_output == SAID


async def check_stream():
    result = Runner.run_streamed(agent(), "read the skill")
    kinds = [event.type async for event in result.stream_events()]
    assert "raw_response_event" in kinds
    assert result.final_output == "I read it."


async def check_function_tools_are_run_by_the_client():
    for streamed in (False, True):
        cities = []

        @function_tool
        def weather(city: str) -> str:
            """The weather in a city."""
            cities.append(city)  # noqa: B023
            return "rain"

        helper = agent(tools=[weather])
        if streamed:
            result = Runner.run_streamed(helper, "the weather?")
            async for _ in result.stream_events():
                pass
        else:
            result = await Runner.run(helper, "the weather?")
        assert result.final_output == "It says: rain"
        assert cities == ["Bern"]


async def check_structured():
    result = await Runner.run(agent(output_type=Forecast), "forecast")
    assert result.final_output == Forecast(sky="grey", degrees=7)


async def check_several_turns():
    first = await Runner.run(agent(), "one")
    items = [*first.to_input_list(), {"role": "user", "content": "my first?"}]
    assert (await Runner.run(agent(), items)).final_output == "You said: one"


async def check_errors():
    wrong = [
        ("nobody", KEY, openai.NotFoundError),
        (MODEL, WRONG_KEY, openai.AuthenticationError),
        (MODEL, KEY, openai.RateLimitError),
    ]
    for model, key, kind in wrong:
        try:
            await Runner.run(agent(model, key), "busy")
        except kind:
            continue
        raise AssertionError(f"{kind.__name__} was not raised")


run(globals())
