"""pydantic-ai: run, stream, tools, structured output, errors."""

from typing import Literal

from checks import KEY, MODEL, SAID, URL, WRONG_KEY, run
from pydantic import BaseModel
from pydantic_ai import Agent, ModelHTTPError, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


class Forecast(BaseModel):
    """A form for answers."""

    sky: Literal["grey", "blue"]
    degrees: int


def agent(model=MODEL, key=KEY, **options) -> Agent:
    provider = OpenAIProvider(base_url=f"{URL}/v1", api_key=key)
    return Agent(OpenAIChatModel(model, provider=provider), **options)


async def check_run():
    result = await agent(instructions="Be kind.").run("hi")
    assert result.output == SAID


async def check_stream():
    async with agent().run_stream("read the skill") as result:
        assert await result.get_output() == "I read it."


async def check_tools_are_run_by_the_client():
    for streamed in (False, True):
        cities = []
        helper = agent()

        @helper.tool_plain
        def weather(city: str) -> str:
            """The weather in a city."""
            cities.append(city)  # noqa: B023
            return "rain"

        if streamed:
            async with helper.run_stream("the weather?") as result:
                output = await result.get_output()
        else:
            output = (await helper.run("the weather?")).output
        assert output == "It says: rain"
        assert cities == ["Bern"]


async def check_structured():
    result = await agent(output_type=NativeOutput(Forecast)).run("forecast")
    assert result.output == Forecast(sky="grey", degrees=7)


async def check_several_turns():
    first = await agent().run("one")
    then = await agent().run("my first?", message_history=first.all_messages())
    assert then.output == "You said: one"


async def check_errors():
    for model, key, status in (("nobody", KEY, 404), (MODEL, WRONG_KEY, 401), (MODEL, KEY, 429)):
        try:
            await agent(model, key).run("busy")
        except ModelHTTPError as error:
            assert error.status_code == status
        else:
            raise AssertionError("no error")
    try:
        async with agent().run_stream("break") as result:
            await result.get_output()
    except Exception as error:  # noqa: BLE001 - whichever it wraps it in
        assert "broke off" in str(error)
    else:
        raise AssertionError("a broken stream was taken for an answer")


run(globals())
