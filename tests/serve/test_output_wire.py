"""The form that a caller asks of the answer: schemas are taken, or refused by their place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_chat_request import json_values

from retinue.errors import RequestError
from retinue.serve.wire.output import JsonSchemaFormat, schema_format

ADDRESS = {"type": "object", "properties": {"city": {"type": "string"}}}


def formed(schema):
    return schema_format(JsonSchemaFormat(name="n", schema=schema), "format").schema


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/address", "$defs": {"address": ADDRESS}},
        {"$ref": "#/$defs/a~1b%20c", "$defs": {"a/b c": ADDRESS}},
        {"properties": {"next": {"$ref": "#"}}},
        {"properties": {"$ref": {"type": "string"}}},
        {"anyOf": [ADDRESS, {"$ref": "#/anyOf/0"}]},
        {"$ref": "#home", "$defs": {"a": {**ADDRESS, "$anchor": "home"}}},
        {"$id": "https://example.com/a", "$ref": "/b", "$defs": {"b": {"$id": "/b"}}},
    ],
)
def test_references_within_a_schema(schema):
    assert formed(schema) == schema


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("#/$defs/nobody", "#/$defs/nobody"),
        ("#/$defs/address/type/x", "#/$defs/address/type/x"),
        ("#/anyOf/7", "#/anyOf/7"),
        ("https://example.com/schema.json", "https://example.com/schema.json"),
        ("other.json#/a", "other.json#/a"),
        ("#/\n" + "x" * 500, "#/?" + "x" * 97),
    ],
)
def test_a_reference_that_leads_nowhere_is_named(reference, told):
    schema = {"anyOf": [{"$ref": reference}], "$defs": {"address": ADDRESS}}
    with pytest.raises(RequestError, match="which isn't in it") as raised:
        formed(schema)
    assert raised.value.param == "format.schema"
    assert f"'{told}'" in str(raised.value)


@given(st.dictionaries(st.sampled_from(["$ref", "$defs", "anyOf", "items", "$id"]), json_values))
def test_any_object_is_a_form_or_a_request_error(schema):
    try:
        assert formed(schema) == schema
    except RequestError as error:
        assert error.param == "format.schema"
