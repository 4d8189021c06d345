"""LangChain's ChatOpenAI over both APIs: invoke, stream, tools, structured output, errors."""

from functools import partial
from typing import Literal

import openai
from checks import KEY, MODEL, SAID, URL, WRONG_KEY, raises, run
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel


class Forecast(BaseModel):
    """A form for answers."""

    sky: Literal["grey", "blue"]
    degrees: int


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


def chat(model=MODEL, key=KEY, **options) -> ChatOpenAI:
    return ChatOpenAI(model=model, base_url=f"{URL}/v1", api_key=key, max_retries=0, **options)


def invoke(chat):
    answer = chat().invoke("hi")
    assert answer.text == SAID
    assert answer.usage_metadata["total_tokens"] == 15
    assert answer.usage_metadata["input_token_details"]["cache_read"] == 4


def stream(chat):
    total = None
    for chunk in chat(stream_usage=True).stream("read the skill"):
        total = chunk if total is None else total + chunk
    assert total.text == "I read it."
    assert not total.tool_calls
    assert total.usage_metadata["total_tokens"] == 30


async def async_stream(chat):
    assert "".join([c.text async for c in chat().astream("hi")]) == SAID


def tools_round_trip(chat):
    bound = chat().bind_tools([weather])
    for send in (bound.invoke, lambda messages: sum_of(bound.stream(messages))):
        messages = [HumanMessage("the weather?")]
        asked = send(messages)
        (call,) = asked.tool_calls
        assert (call["name"], call["args"]) == ("weather", {"city": "Bern"})
        answer = AIMessage(asked.content, tool_calls=asked.tool_calls)
        result = ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"])
        assert send([*messages, answer, result]).text == "It says: rain in Bern"


def sum_of(chunks):
    total = None
    for chunk in chunks:
        total = chunk if total is None else total + chunk
    return total


def structured(chat):
    expected = Forecast(sky="grey", degrees=7)
    for method in ("json_schema", "json_mode"):
        structured = chat().with_structured_output(Forecast, method=method)
        assert structured.invoke("forecast") == expected
    streamed = list(chat().with_structured_output(Forecast).stream("forecast"))
    assert streamed[-1] == expected


def several_turns(chat):
    history = [SystemMessage("Be kind."), HumanMessage("one"), AIMessage("yes")]
    assert chat().invoke([*history, HumanMessage("my first?")]).text == "You said: one"


def errors(chat):
    raises(openai.NotFoundError, lambda: chat("nobody").invoke("hi"))
    raises(openai.AuthenticationError, lambda: chat(key=WRONG_KEY).invoke("hi"))
    raises(openai.RateLimitError, lambda: chat().invoke("busy"))
    raises(openai.RateLimitError, lambda: list(chat().stream("busy")))
    # Over the Responses API LangChain tells it in a class of its own.
    broken = (openai.APIError, ValueError)
    raises(broken, lambda: list(chat().stream("break")))


CHECKS = (invoke, stream, async_stream, tools_round_trip, structured, several_turns, errors)
run(
    {
        f"check_{check.__name__}_{'responses' if over else 'chat'}": partial(
            check, partial(chat, use_responses_api=over)
        )
        for over in (False, True)
        for check in CHECKS
    }
)
