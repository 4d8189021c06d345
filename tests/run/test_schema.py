"""Schemas of servers: limits, what a weakened one still tells, and how long a check may take."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from retinue.run.schema import bounded_check, full_check, invalid, weakened


def nested(levels: int) -> dict[str, Any]:
    return {"items": nested(levels - 1)} if levels else {}


INVALID = {
    "more than 5,000 values": {"properties": {f"p{n}": {} for n in range(5000)}},
    "more than 64 levels": nested(64),
    "a list of 1,001 values": {"enum": list(range(1001))},
    "bytes of 100,000 allowed": {"description": "x" * 100_000},
    "is not valid: 'strang' is not valid": {"properties": {"a": {"type": "strang"}}},
    "can't be sent on as JSON: Integer exceeds 64-bit": {"maximum": 2**70},
}


@pytest.mark.parametrize("problem", INVALID)
def test_schemas_that_are_not_taken(problem: str) -> None:
    assert problem in (invalid(INVALID[problem]) or "")


def test_schemas_at_the_limits_are_taken() -> None:
    for schema in (
        {"properties": {f"p{n}": {} for n in range(4900)}},
        nested(63),
        {"enum": list(range(1000))},
        {"description": "x" * 99_000},
    ):
        assert invalid(schema) is None


BAD = {
    "type": ({"type": "string"}, 5),
    "required": ({"required": ["b"]}, {}),
    "enum": ({"enum": ["b"]}, "c"),
    "const": ({"const": 1}, 2),
    "additional": ({"additionalProperties": False}, {"b": 1}),
    "items": ({"items": {"minimum": 3}}, [1]),
    "allOf": ({"allOf": [{"minLength": 3}, {"type": "string"}]}, "xx"),
    "anyOf": ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 5),
    "oneOf": ({"oneOf": [{"type": "string"}, {"type": "null"}]}, 5),
}


@pytest.mark.parametrize("name", BAD)
def test_plain_mistakes_are_found(name: str) -> None:
    schema, value = BAD[name]
    (complaint,) = bounded_check({"properties": {"a": schema}})({"a": value})
    assert complaint.startswith("a")
    assert [complaint] == full_check({"properties": {"a": weakened(schema)}})({"a": value})


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["a", "b", "aa"]))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    ),
    max_leaves=5,
)
TYPES = st.sampled_from(["string", "integer", "object", "array", "null"])
PLAIN: dict[str, Any] = {
    "type": TYPES,
    "enum": st.lists(VALUES, min_size=1, max_size=3),
    "const": VALUES,
    "minimum": st.integers(-2, 2),
    "maxLength": st.integers(0, 2),
    "required": st.lists(st.sampled_from("ab"), max_size=2, unique=True),
    "pattern": st.sampled_from(["^a$", "b"]),
    "uniqueItems": st.booleans(),
    "$ref": st.just("#/$defs/d"),
}


def deeper(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    members = st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    branches = st.lists(inner, min_size=1, max_size=2)
    return st.fixed_dictionaries(
        {},
        optional={
            **PLAIN, "properties": members, "patternProperties": members, "items": inner,
            "additionalProperties": inner, "prefixItems": branches, "contains": inner,
            "maxContains": st.integers(1, 2), "allOf": branches, "anyOf": branches,
            "oneOf": branches, "not": inner, "if": inner, "then": inner, "else": inner,
            "unevaluatedProperties": inner,
        },
    )  # fmt: skip


SCHEMAS = st.recursive(
    st.one_of(st.booleans(), st.fixed_dictionaries({}, optional=PLAIN)), deeper, max_leaves=6
)


@settings(max_examples=400, deadline=None)
@given(SCHEMAS, st.dictionaries(st.sampled_from("ab"), VALUES, max_size=2))
def test_nothing_valid_is_refused(schema: Any, value: dict[str, Any]) -> None:
    full = {"$defs": {"d": {"type": "object"}}, "allOf": [schema]}
    if Draft202012Validator(full).is_valid(value):
        assert bounded_check(full)(value) == []


SLOW: dict[str, tuple[Any, Any]] = {
    "pattern": ({"pattern": "^(a|a)*$"}, "a" * 40 + "!"),
    "unique": ({"uniqueItems": True}, [{"n": n} for n in range(20_000)]),
    "many branches": ({"items": {"anyOf": [{"type": "null"}] * 900}}, [1] * 50_000),
    "long quotes": ({"anyOf": [{"type": "null"}] * 900}, "x" * 900_000),
    "many names": ({"allOf": [{"required": ["a"]}] * 900}, {str(n): n for n in range(50_000)}),
}


@pytest.mark.parametrize("name", SLOW)
def test_a_check_takes_a_bounded_time(name: str) -> None:
    schema, value = SLOW[name]
    assert invalid(schema) is None
    began = time.monotonic()
    bounded_check({"properties": {"a": schema}})({"a": value})
    # Unbounded they take from ten seconds to years.
    assert time.monotonic() - began < 5


def test_what_was_found_before_the_work_ran_out_is_told() -> None:
    schema = {"properties": {"a": {"type": "null"}, "b": {"items": {"type": "integer"}}}}
    complaints = bounded_check(schema)({"a": 1, "b": [1] * 150_000})
    assert complaints == ["a: 1 is not of type 'null'"]


def test_arguments_nested_beyond_counting_are_left_to_the_server() -> None:
    assert bounded_check({"type": "object"})(json.loads('{"a":' * 400 + "1" + "}" * 400)) == []
