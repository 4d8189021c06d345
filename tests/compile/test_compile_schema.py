"""The JSON Schema: complete for editors, and of one mind with the compiler."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from retinue.compile import agent_schema, project_schema
from retinue.compile.document import read_document
from retinue.compile.report import Report

HERE = Path(__file__).parent
SCHEMA = agent_schema()
PROJECT = project_schema()
DEFINITIONS = {**PROJECT["$defs"], **SCHEMA["$defs"]}


def objects() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "agent", SCHEMA
    yield "project", PROJECT
    yield from DEFINITIONS.items()


def fields() -> list[tuple[str, dict[str, Any]]]:
    return [(f"{o}.{key}", s) for o, schema in objects() for key, s in schema["properties"].items()]


def plain(path: Path) -> object:
    document = read_document(path.name, path.read_bytes(), Report())
    return document.root.plain() if document else None


def test_it_is_a_valid_schema() -> None:
    for schema in (SCHEMA, PROJECT):
        Draft202012Validator.check_schema(schema)
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_nothing_is_required_that_another_file_may_give() -> None:
    agents, projects = Draft202012Validator(SCHEMA), Draft202012Validator(PROJECT)
    assert agents.is_valid({"model": {"timeout": 5}, "extends": "base.yaml"})
    assert projects.is_valid({"defaults": {"model": {"timeout": 5}}})
    assert not projects.is_valid({"models": {"analyst": {"timeout": 5}}})
    assert not projects.is_valid({"defaults": {"name": "a"}})


@pytest.mark.parametrize(("name", "schema"), fields())
def test_every_key_has_a_description_and_an_example(name: str, schema: dict[str, Any]) -> None:
    assert schema["description"].endswith("."), name
    assert schema["examples"]
    for example in schema["examples"]:
        bare = {k: v for k, v in schema.items() if k not in ("default", "examples")}
        Draft202012Validator({**bare, "$defs": DEFINITIONS}).validate(example)


def test_no_object_takes_unknown_keys() -> None:
    for name, schema in objects():
        assert schema["additionalProperties"] is False, name


def test_scalar_or_object_is_said_as_a_choice() -> None:
    kinds = [kind.get("type") or kind["$ref"] for kind in SCHEMA["properties"]["model"]["anyOf"]]
    assert kinds == ["string", "string", "#/$defs/ModelSpec"]


@pytest.mark.parametrize("path", sorted((HERE / "good").glob("*.yaml")), ids=lambda p: p.stem)
def test_what_compiles_is_valid(path: Path) -> None:
    errors = [error.message for error in Draft202012Validator(SCHEMA).iter_errors(plain(path))]
    assert errors == []


@pytest.mark.parametrize(
    "name",
    [
        "ten-mistakes", "unknown-keys", "other-platforms", "other-platforms-servers",
        "wrong-types", "wrong-nested-types", "empty-values", "empty-texts",
        "bad-version", "name-too-long", "model-with-blank", "extra-settings",
        "list-at-root", "text-at-root",
    ],
)  # fmt: skip
def test_what_is_wrong_in_form_is_invalid(name: str) -> None:
    assert not Draft202012Validator(SCHEMA).is_valid(plain(HERE / "broken" / f"{name}.yaml"))


ROOT = HERE.parent.parent
SHIPPED = sorted([*ROOT.glob("agents/*.y*ml"), *ROOT.glob("retinue.yaml")])


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_editors_find_the_schema_of_every_shipped_file(path: Path) -> None:
    first, given = path.read_text().partition("\n")[0], "# yaml-language-server: $schema="
    assert first.startswith(given)
    schema = (path.parent / first.removeprefix(given)).resolve()
    expected = "retinue" if path.name == "retinue.yaml" else "agent"
    assert schema == ROOT / f"schema/{expected}.schema.json"
    assert Draft202012Validator(json.loads(schema.read_text())).is_valid(plain(path))


@pytest.mark.parametrize(
    "path", sorted((HERE / "projects").glob("*/retinue.yaml")), ids=lambda p: p.parent.name
)
def test_the_project_schema_refuses_what_is_wrong_in_form(path: Path) -> None:
    wrong = {"retinue-mistakes", "retinue-not-yaml", "retinue-list", "retinue-empty"}
    wrong |= {"retinue-part-not-yaml"}
    assert Draft202012Validator(PROJECT).is_valid(plain(path)) == (path.parent.name not in wrong)
