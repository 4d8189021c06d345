"""LiteLLM as a client: completion, stream, tools, structured output, errors."""

import json
import os
from typing import Literal

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
from checks import KEY, MODEL, SAID, URL, WRONG_KEY, raises, run
from pydantic import BaseModel

litellm.suppress_debug_info = True
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


def ask(text="hi", model=MODEL, key=KEY, **options):
    messages = options.pop("messages", [{"role": "user", "content": text}])
    return litellm.completion(
        model=f"openai/{model}",
        api_base=f"{URL}/v1",
        api_key=key,
        messages=messages,
        num_retries=0,
        max_retries=0,
        **options,
    )


def check_plain():
    answer = ask()
    assert answer.choices[0].message.content == SAID
    assert answer.usage.total_tokens == 15


def check_stream():
    chunks = list(ask("read the skill", stream=True, stream_options={"include_usage": True}))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "I read it."
    built = litellm.stream_chunk_builder(chunks)
    assert built.choices[0].finish_reason == "stop"
    assert built.usage.total_tokens == 30


def check_tools_round_trip():
    for stream in (False, True):
        messages = [{"role": "user", "content": "the weather?"}]
        answer = ask(messages=messages, tools=[WEATHER], stream=stream)
        answer = litellm.stream_chunk_builder(list(answer)) if stream else answer
        message = answer.choices[0].message
        (call,) = message.tool_calls
        assert json.loads(call.function.arguments) == {"city": "Bern"}
        messages += [
            message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "rain"},
        ]
        final = ask(messages=messages, tools=[WEATHER])
        assert final.choices[0].message.content == "It says: rain"


def check_structured():
    answer = ask("forecast", response_format=Forecast)
    said = answer.choices[0].message.content
    assert Forecast.model_validate_json(said) == Forecast(sky="grey", degrees=7)


def check_errors():
    raises(litellm.NotFoundError, lambda: ask(model="nobody"))
    raises(litellm.AuthenticationError, lambda: ask(key=WRONG_KEY))
    raises(litellm.RateLimitError, lambda: ask("busy"))
    raises(litellm.RateLimitError, lambda: list(ask("busy", stream=True)))
    raises(Exception, lambda: list(ask("break", stream=True)))


run(globals())
