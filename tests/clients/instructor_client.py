"""instructor: forms by JSON schema, by JSON mode and by tools; streamed ones; errors."""

from typing import Literal

import instructor
import openai
from checks import KEY, MODEL, URL, run
from pydantic import BaseModel


class Forecast(BaseModel):
    """A form for answers."""

    sky: Literal["grey", "blue"]
    degrees: int


EXPECTED = {"sky": "grey", "degrees": 7}
ASKED = [{"role": "user", "content": "forecast"}]


def client(mode):
    plain = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)
    return instructor.from_openai(plain, mode=mode)


def create(mode):
    made = client(mode).chat.completions.create(
        model=MODEL, messages=ASKED, response_model=Forecast, max_retries=0
    )
    return made.model_dump()


def check_json_schema():
    assert create(instructor.Mode.JSON_SCHEMA) == EXPECTED


def check_json():
    assert create(instructor.Mode.JSON) == EXPECTED


def check_tools():
    assert create(instructor.Mode.TOOLS) == EXPECTED


def check_partial_stream():
    parts = client(instructor.Mode.JSON_SCHEMA).chat.completions.create_partial(
        model=MODEL, messages=ASKED, response_model=Forecast
    )
    assert list(parts)[-1].model_dump() == EXPECTED


def check_errors():
    try:
        client(instructor.Mode.JSON).chat.completions.create(
            model="nobody", messages=ASKED, response_model=Forecast, max_retries=0
        )
    except Exception as error:  # noqa: BLE001 - whichever it wraps it in
        assert "does not exist" in str(error)
    else:
        raise AssertionError("no error")


run(globals())
