"""What a response request's body becomes, and how each wrong one is refused."""

import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retinue.agent import Serving
from retinue.errors import RequestError
from retinue.run.messages import Message
from retinue.run.options import RunOptions
from retinue.run.ports import NamedTool, OutputFormat, Tool
from retinue.serve.wire.responses import ResponseHead
from retinue.serve.wire.responses_echo import echo
from retinue.serve.wire.responses_request import decode, heard
from retinue.testing import agent

USER = {"role": "user", "content": "hi"}
WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
SHARES = {"type": "function", "name": "shares"}
CALL = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"}
FORM = {"type": "json_schema", "name": "n", "schema": {"type": "object"}}


def body(**fields) -> bytes:
    return json.dumps({"input": "hi", **fields}).encode()


def refused(raw: bytes) -> RequestError:
    with pytest.raises(RequestError) as caught:
        decode(raw)
    assert "pydantic" not in str(caught.value).lower()
    assert "Input should" not in str(caught.value)
    return caught.value


def test_the_smallest_request():
    request = decode(b'{"input": "hi"}')
    assert request.messages == (Message("user", "hi"),)
    assert request.options == RunOptions()
    assert request.model is None
    assert request.metadata == {}
    assert not request.stream


def test_settings_reach_the_model_by_the_names_it_knows():
    request = decode(
        body(
            temperature=0,
            top_p=0.5,
            max_output_tokens=77,
            parallel_tool_calls=False,
            reasoning={"effort": "high", "summary": "auto"},
            text={"verbosity": "low"},
            service_tier="flex",
            user="u-1",
        )
    )
    assert request.options.settings == {
        "temperature": 0,
        "top_p": 0.5,
        "max_tokens": 77,
        "parallel_tool_calls": False,
        "reasoning_effort": "high",
        "verbosity": "low",
        "service_tier": "flex",
        "user": "u-1",
    }


def test_what_agent_sdks_always_send_is_taken():
    request = decode(
        body(
            include=["reasoning.encrypted_content"],
            store=False,
            prompt_cache_key="k",
            safety_identifier="s",
            truncation="auto",
            stream_options={"include_obfuscation": False},
            text={"format": {"type": "text"}, "verbosity": None},
            reasoning={"summary": "auto"},
            background=False,
            conversation=None,
            previous_response_id=None,
            top_logprobs=0,
            custom_inputs={"anything": [1]},
        )
    )
    assert request.options == RunOptions()


@pytest.mark.parametrize(
    ("choice", "tools", "meant"),
    [
        ("auto", ["weather", "shares"], "auto"),
        ("required", ["weather", "shares"], "required"),
        ("none", ["weather", "shares"], "none"),
        ({"type": "function", "name": "shares"}, ["weather", "shares"], NamedTool("shares")),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "shares"}],
            },
            ["weather", "shares"],
            "required",
        ),
    ],
)
def test_the_callers_tools_and_its_choice(choice, tools, meant):
    options = decode(body(tools=[WEATHER, SHARES], tool_choice=choice)).options
    assert [tool.name for tool in options.tools] == tools
    assert options.tool_choice == meant
    some = isinstance(choice, dict) and choice["type"] == "allowed_tools"
    assert options.allowed == (frozenset({"shares"}) if some else None)


def test_a_tool_as_the_model_is_told_of_it():
    tool = {**WEATHER, "description": "The weather.", "strict": True}
    (told,) = decode(body(tools=[tool])).options.tools
    assert told == Tool("weather", "The weather.", {"type": "object"}, strict=True)


@pytest.mark.parametrize(
    ("form", "output"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, OutputFormat()),
        (
            {**FORM, "strict": True},
            OutputFormat(schema={"type": "object"}, name="n", strict=True),
        ),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
            OutputFormat(schema={"type": "object"}, name="n"),
        ),
    ],
)
def test_the_form_of_the_answer(form, output):
    assert decode(body(text={"format": form})).options.output == output


def test_instructions_come_before_the_conversation():
    request = decode(
        body(instructions="Be kind.", input=[{"role": "developer", "content": "d"}, USER])
    )
    told = (Message("system", "Be kind."), Message("developer", "d"), Message("user", "hi"))
    assert request.messages == told
    assert heard(request, agent()) == (told[:1], told[1:])


def test_instructions_can_be_ignored():
    own = agent(serving=Serving(system_messages="ignore"))
    request = decode(body(instructions="x", input=[{"role": "system", "content": "d"}, USER]))
    assert heard(request, own) == ((), (Message("user", "hi"),))
    assert heard(decode(body()), own) == ((), (Message("user", "hi"),))
    with pytest.raises(RequestError) as caught:
        heard(decode(body(input=[{"role": "system", "content": "d"}])), own)
    assert caught.value.param == "input"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"instructions": "x"}, "instructions"),
        ({"input": [USER, {"role": "system", "content": "d"}]}, "input[1].role"),
    ],
)
def test_instructions_can_be_refused(fields, param):
    own = agent(serving=Serving(system_messages="refuse"))
    with pytest.raises(RequestError) as caught:
        heard(decode(body(**fields)), own)
    assert caught.value.param == param
    assert heard(decode(body()), own) == ((), (Message("user", "hi"),))


def image(**fields) -> dict:
    return {"input": [{"role": "user", "content": [{"type": "input_image", **fields}]}]}


MALFORMED = [
    ({"input": None}, "input"),
    ({"input": 7}, "input"),
    ({"input": {}}, "input"),
    ({"input": []}, "input"),
    ({"input": ["hi"]}, "input[0]"),
    ({"input": [{}]}, "input[0].type"),
    ({"input": [{"type": 7}]}, "input[0].type"),
    ({"input": [{"type": "telepathy"}]}, "input[0].type"),
    ({"input": [{"content": "x"}]}, "input[0].role"),
    ({"input": [{"role": "user"}]}, "input[0].content"),
    ({"input": [{"role": "user", "content": None}]}, "input[0].content"),
    ({"input": [{"role": "user", "content": []}]}, "input[0].content"),
    ({"input": [{"role": "user", "content": 7}]}, "input[0].content"),
    ({"input": [USER, {"role": "wizard", "content": "x"}]}, "input[1].role"),
    ({"input": [{"role": "user", "content": [7]}]}, "input[0].content[0]"),
    ({"input": [{"role": "user", "content": [{}]}]}, "input[0].content[0].type"),
    (
        {"input": [{"role": "user", "content": [{"type": "smell"}]}]},
        "input[0].content[0].type",
    ),
    (
        {"input": [{"role": "user", "content": [{"type": "input_text"}]}]},
        "input[0].content[0].text",
    ),
    (image(), "input[0].content[0].image_url"),
    (image(image_url="http://10.0.0.1/x.png"), "input[0].content[0].image_url"),
    (image(image_url="data:image/png;base64,%%"), "input[0].content[0].image_url"),
    (
        {
            "input": [
                {"role": "user", "content": [{"type": "input_file", "file_url": "http://a.b"}]}
            ]
        },
        "input[0].content[0].file_url",
    ),
    ({"input": [USER, {"type": "item_reference", "id": "msg_1"}]}, "input[1]"),
    ({"input": [USER, {"id": "msg_1"}]}, "input[1]"),
    ({"input": [USER, CALL]}, "input[1]"),
    ({"input": [USER, {**CALL, "arguments": {}}]}, "input[1].arguments"),
    ({"input": [USER, {**CALL, "call_id": None}]}, "input[1].call_id"),
    (
        {"input": [{"type": "function_call_output", "call_id": "c1", "output": "1"}]},
        "input[0].call_id",
    ),
    ({"input": [CALL, {"type": "function_call_output", "call_id": "c1"}]}, "input[1].output"),
    ({"model": 7}, "model"),
    ({"instructions": ["x"]}, "instructions"),
    ({"stream": "yes"}, "stream"),
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": 2.1}, "temperature"),
    ({"top_p": -0.1}, "top_p"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"max_output_tokens": 1.5}, "max_output_tokens"),
    ({"metadata": {"a": 1}}, "metadata"),
    ({"metadata": {f"k{n}": "v" for n in range(17)}}, "metadata"),
    ({"tools": {}}, "tools"),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ({"tools": [{"type": "function"}]}, "tools[0].name"),
    ({"tools": [WEATHER, WEATHER]}, "tools[1].name"),
    ({"tools": [{**WEATHER, "name": "no spaces"}]}, "tools[0].name"),
    ({"tools": [{**WEATHER, "parameters": {"type": "array"}}]}, "tools[0].parameters"),
    ({"tools": [{**WEATHER, "parameters": {"maximum": 10**30}}]}, "tools[0].parameters"),
    ({"tool_choice": "sometimes"}, "tool_choice"),
    ({"tools": [WEATHER], "tool_choice": {"type": "function", "name": "x"}}, "tool_choice"),
    ({"tools": [WEATHER], "tool_choice": {"type": "file_search"}}, "tool_choice.type"),
    ({"tools": [WEATHER], "tool_choice": {"type": "allowed_tools"}}, "tool_choice.tools"),
    ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
    ({"text": {"format": {**FORM, "name": None}}}, "text.format.name"),
    ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
    ({"text": {"format": {**FORM, "schema": {"type": 7}}}}, "text.format.schema"),
    ({"text": {"verbosity": "loud"}}, "text.verbosity"),
    ({"reasoning": {"effort": "heroic"}}, "reasoning.effort"),
    ({"include": ["everything"]}, "include[0]"),
    ({"include": ["message.output_text.logprobs"]}, "include[0]"),
    ({"truncation": "always"}, "truncation"),
    ({"service_tier": "gold"}, "service_tier"),
    ({"top_logprobs": 3}, "top_logprobs"),
    ({"max_tool_calls": 3}, "max_tool_calls"),
    ({"background": True}, "background"),
    ({"conversation": "conv_1"}, "conversation"),
    ({"conversation": {"id": "conv_1"}}, "conversation"),
    ({"previous_response_id": "resp_1"}, "previous_response_id"),
    ({"prompt": {"id": "pmpt_1"}}, "prompt"),
]


@pytest.mark.parametrize(("fields", "param"), MALFORMED)
def test_a_wrong_field_is_named(fields, param):
    error = refused(body(**fields))
    assert error.status == 400
    assert error.param == param
    assert error.code
    assert f"'{param}'" in str(error) or error.code == "previous_response_not_found"


def test_a_response_to_go_on_from_has_a_code_of_its_own():
    error = refused(body(previous_response_id="resp_1"))
    assert error.code == "previous_response_not_found"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"\xff", "invalid_json"),
        (b"[]", "invalid_type"),
        (b'"hi"', "invalid_type"),
        (b"{}", "missing_required_parameter"),
        (b'{"input": "hi", "temperature": NaN}', "invalid_value"),
        (b'{"input": "hi", "other": NaN}', "invalid_json"),
        (b'{"input": "hi", "temperature": 1e999}', "invalid_value"),
        (b'{"input": "hi", "max_output_tokens": ' + b"9" * 5000 + b"}", "invalid_json"),
        (b'{"input": ' + b"[" * 5000 + b"]" * 5000 + b"}", "invalid_json"),
    ],
)
def test_a_body_that_is_no_request(raw, code):
    assert refused(raw).code == code


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
_NAMES = ["input", "tools", "tool_choice", "text", "reasoning", "metadata", "include"]
_TYPES = ["message", "function_call", "mcp_call", "reasoning", "a:b"]
_items = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["message", "function_call", "mcp_call", "reasoning", "a:b"])
        | _json,
        "role": st.sampled_from(["user", "assistant", "system"]),
        "content": _json,
        "call_id": _json,
        "output": _json,
        "error": _json,
        "server_label": st.text(),
    },
)


@settings(max_examples=200)
@given(
    st.dictionaries(st.sampled_from(_NAMES), _json)
    | st.builds(lambda i: {"input": i}, st.lists(_items))
)
def test_any_body_is_decoded_or_refused(fields):
    try:
        request = decode(json.dumps({"input": "hi", **fields}).encode())
    except RequestError as error:
        assert error.status == 400
        assert error.param
    else:
        orjson.dumps(ResponseHead("m", echo(request.parameters, agent())).begun())
