"""OpenAI's own schema, where it lies beside the repository: answers are held against it."""

import functools
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

DOCUMENT = Path(__file__).parents[2] / ".." / "shared" / "data" / "openai" / "openai.schema.json"


@functools.cache
def _document():
    return json.loads(DOCUMENT.read_text())


@functools.cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": _document()["$defs"]})


def conforms(value, name: str) -> None:
    """Fail where `value` isn't OpenAI's `name`; skip the test where the schema is absent."""
    if not DOCUMENT.exists():
        pytest.skip("OpenAI's schema is not beside this repository")
    problems = [f"{e.json_path}: {e.message}" for e in _validator(name).iter_errors(value)]
    assert not problems, "\n".join(problems)


def documented(name: str) -> set[str]:
    """The properties that OpenAI documents of an object, with those it inherits."""
    part = _document()["$defs"][name]
    above = [ref["$ref"].rpartition("/")[2] for ref in part.get("allOf", ()) if "$ref" in ref]
    own = [part, *part.get("allOf", ())]
    properties = [set(schema.get("properties", ())) for schema in own]
    return set().union(*properties, *map(documented, above))
