"""What a chat request's body becomes."""

import json

import pytest
from chat_bodies import CALL, EMPTY, FUNCTION, PDF, PIXEL, body, said
from hypothesis import given, settings
from hypothesis import strategies as st
from schemas import DOCUMENT, documented

from retinue.errors import RequestError
from retinue.run.messages import AudioPart, FilePart, ImagePart, Message, TextPart, ToolCall
from retinue.run.options import RunOptions
from retinue.run.ports import NamedTool, OutputFormat, Tool
from retinue.serve.wire.chat_messages import heard
from retinue.serve.wire.chat_request import SETTINGS, ChatCompletionRequest, decode


def test_the_smallest_request():
    request = decode(body())
    assert request.messages == (Message("user", "hi"),)
    assert request.model is None
    assert not request.stream
    assert not request.include_usage
    assert request.options == RunOptions()
    assert request.metadata == {}


def test_every_setting_reaches_the_model_as_it_was_written():
    given = {
        "temperature": 0.5,
        "top_p": 1,
        "max_tokens": 7,
        "max_completion_tokens": 8,
        "stop": ["a", "b"],
        "seed": -(2**63),
        "presence_penalty": -2,
        "frequency_penalty": 2.0,
        "logit_bias": {"50256": -100},
        "reasoning_effort": "high",
        "verbosity": "low",
        "parallel_tool_calls": False,
        "service_tier": "auto",
        "user": "u-1",
    }
    assert set(given) == set(SETTINGS)
    assert decode(body(**given)).options.settings == given


def test_null_means_absent_for_every_optional_parameter():
    optional = [*SETTINGS, "model", "stream", "stream_options", "metadata", "store", "n", "tools"]
    optional += sorted(set(ChatCompletionRequest.model_fields) - {"messages", *optional})
    assert decode(body(**dict.fromkeys(optional))) == decode(body())


def test_unknown_parameters_and_harmless_ones_are_ignored():
    harmless = {
        "store": True,
        "prompt_cache_key": "k",
        "safety_identifier": "s",
        "custom_inputs": {"deep": [1, {"x": None}]},
        "databricks_options": {"return_trace": True},
        "n": 1,
        "logprobs": False,
        "tools": [],
        "tool_choice": "auto",
        "response_format": {"type": "text"},
        "modalities": ["text"],
        "stop": [],
    }
    assert decode(body(**harmless)) == decode(body())


def test_metadata_is_kept():
    assert decode(body(metadata={"region": "EMEA"})).metadata == {"region": "EMEA"}


def test_stream_options():
    request = decode(body(stream=True, stream_options={"include_usage": True}))
    assert request.stream
    assert request.include_usage


def test_every_role_and_shape_of_message():
    messages = [
        {"role": "system", "content": "s"},
        {"role": "developer", "content": [{"type": "text", "text": "d"}]},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "2", "tool_call_id": "c1"},
        {"role": "assistant", "refusal": "no"},
        {"role": "user", "content": "", "name": "Ann", "tool_call_id": "stray"},
        {"role": "assistant", "content": [{"type": "thinking"}, {"type": "text", "text": "t"}]},
        {"role": "assistant", "content": [{"type": "reasoning", "summary": []}]},
    ]
    assert decode(body(messages=messages)).messages == (
        Message("system", "s"),
        Message("developer", "d"),
        Message("user", "a\nb"),
        Message("assistant", "", (ToolCall("c1", "add", '{"a": 1}'),)),
        Message("tool", "2", tool_call_id="c1"),
        Message("assistant", "no"),
        Message("user", "", name="Ann"),
        Message("assistant", "t"),
        Message("assistant", ""),
    )


def test_images_sound_and_files_are_parts():
    parts = [
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        {"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}},
    ]
    expected = (
        TextPart("Look:"),
        ImagePart(PIXEL, "low"),
        AudioPart("UklGRg==", "wav"),
        FilePart(PDF, "a.pdf"),
    )
    (message,) = decode(body(messages=[said(*parts)])).messages
    assert message == Message("user", "Look:", parts=expected)


def test_tools_and_the_choice_among_them():
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    add = {"name": "add", "description": "Adds.", "parameters": schema, "strict": True}
    other = {"type": "function", "function": {"name": "sub"}}
    given = [{"type": "function", "function": add}, other]
    tools = (Tool("add", "Adds.", schema, strict=True), Tool("sub", "", EMPTY))
    only = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [other]}}
    choices = {
        "auto": (tools, "auto"),
        "none": (tools, "none"),
        "required": (tools, "required"),
        json.dumps(other): (tools, NamedTool("sub")),
        json.dumps(only): (tools, "required"),
    }
    assert decode(body(tools=given)).options == RunOptions(tools=tools)
    for choice, expected in choices.items():
        value = json.loads(choice) if choice.startswith("{") else choice
        options = decode(body(tools=given, tool_choice=value)).options
        assert (options.tools, options.tool_choice) == expected
        assert options.allowed == (frozenset({"sub"}) if value == only else None)


def test_the_form_of_the_answer():
    schema = {"type": "object"}
    described = {"name": "a", "description": "An A.", "schema": schema, "strict": True}

    def form(**given):
        return decode(body(response_format=given)).options.output

    assert form(type="text") is None
    assert form(type="json_object") == OutputFormat()
    assert form(type="json_schema", json_schema={"name": "a", "schema": schema}) == OutputFormat(
        schema=schema, name="a"
    )
    assert form(type="json_schema", json_schema=described) == OutputFormat(
        schema={"type": "object", "description": "An A."}, name="a", strict=True
    )


SPOKEN = (Message("developer", "d"), Message("user", "u"), Message("system", "s"))


def test_what_becomes_of_a_callers_instructions():
    assert heard(SPOKEN, "append") == SPOKEN
    assert heard(SPOKEN, "ignore") == SPOKEN[1:2]
    assert heard(SPOKEN[1:2], "refuse") == SPOKEN[1:2]
    for messages, policy, param in (
        (SPOKEN[1:], "refuse", "messages[1].role"),
        (SPOKEN[:1], "ignore", "messages"),
    ):
        with pytest.raises(RequestError) as caught:
            heard(messages, policy)
        assert caught.value.param == param


@pytest.mark.skipif(not DOCUMENT.exists(), reason="OpenAI's schema is not beside this repository")
def test_every_documented_field_is_known():
    assert documented("CreateChatCompletionRequest") <= set(ChatCompletionRequest.model_fields)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
message_like = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "assistant", "tool", "system"]) | json_values,
        "content": st.text()
        | st.lists(
            st.fixed_dictionaries(
                {"type": st.sampled_from(["text", "refusal", "file", "image_url", "input_audio"])},
                optional={
                    "image_url": st.fixed_dictionaries({"url": st.text()}),
                    "file": st.fixed_dictionaries({"file_data": st.text()}),
                },
            )
            | json_values,
            max_size=3,
        )
        | json_values,
        "tool_calls": st.lists(st.just(CALL), max_size=2) | json_values,
        "tool_call_id": st.just("c1") | json_values,
        "refusal": json_values,
    },
)
optional = [*SETTINGS, "model", "stream", "stream_options", "metadata", "n", "tools", "store"]
optional += ["response_format", "modalities", "top_logprobs"]
request_like = st.fixed_dictionaries(
    {"messages": st.lists(message_like | json_values, max_size=4) | json_values},
    optional={
        **dict.fromkeys(optional, json_values),
        "tools": st.lists(st.just(FUNCTION) | json_values, max_size=3) | json_values,
        "tool_choice": st.just(FUNCTION) | st.sampled_from(["none", "required"]) | json_values,
        "response_format": st.fixed_dictionaries(
            {"type": st.just("json_schema")},
            optional={
                "json_schema": st.fixed_dictionaries(
                    {"name": st.just("a")}, optional={"schema": json_values}
                )
            },
        )
        | json_values,
    },
)


def only_request_errors(raw: bytes) -> None:
    try:
        request = decode(raw)
    except RequestError as error:
        assert 400 <= error.status < 500
        assert str(error)
    else:
        assert request.messages


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_a_request_or_a_request_error(raw):
    only_request_errors(raw)


@settings(max_examples=150, deadline=None)
@given(json_values | request_like)
def test_arbitrary_json_is_a_request_or_a_request_error(value):
    only_request_errors(json.dumps(value).encode())
