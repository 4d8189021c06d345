"""The schema and the compiler agree: a file is accepted by both or by neither."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from folders import project
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from retinue.compile import CompileContext, agent_schema, compile_agents
from retinue.project import Project

SCHEMA = agent_schema()
VALIDATOR = Draft202012Validator(SCHEMA)

BEYOND_A_SCHEMA: tuple[tuple[str, str], ...] = (
    # What concerns other files.
    ("broken-skill|unknown-(skill|server|route|model)|file-not-found|path-outside", ""),
    ("unknown-(agent|server|model)|agent-cycle|extends-.*|bad-schema|yaml-.*|empty-file", ""),
    ("not-a-file|not-utf8|duplicate-(agent|server|tool|resource)", ""),
    ("wrong-type", "expected an object with keys"),
    ("missing-key", r"^'(model|instructions|model\.name|name)' is missing"),
    ("out-of-range", "^(max|first_token|idle) is"),
    ("bad-name", "can't be a tool's name"),
    ("wrong-value", "expected (CATALOG|a connection's|an app's)"),
    # What concerns several keys, or an item's neighbours.
    ("conflicting-keys|duplicate-(skill|server)|undeclared-variable", ""),
    ("missing-key", "the server lacks|the instructions lack a text|neither a default nor"),
    ("missing-key", "the server says no|lacks a kind|one of .* is missing"),
    ("wrong-type", "the default is not of the type"),
    # JSON Schema takes 5.0 for an integer.
    ("wrong-type", r"expected an integer, got the number -?\d+\.0$"),
    # What a text means.
    ("bad-url|bad-reference|prompt-.*|secret-.*|unset-.*|unknown-variable|unknown-source", ""),
    ("control-character", ""),
    ("empty-value", "the instructions are empty"),
    # Names of things that users choose: more than a pattern (words that Jinja2 or HTTP reserves).
    (
        "bad-name",
        "can't be (a variable's|a server's|a header's|the agent's) name|can't be a name in",
    ),
    ("reserved-setting", ""),
)
"""Codes and messages of mistakes that a JSON Schema can't see."""

_KEYS = ("a", "b-c", "max_turns", "x y", "")
_ODD = (None, True, 0, -1, 3.5, 5.0, 10**9, "", "x", "1", [], ["x"], {}, {"x": 1}, [None])
_TEXTS = ("a", "x/y", "60s", "https://x.example/mcp", "prompts/p.md", "s", "Hi.", "*")
Schema = dict[str, Any]


def values(schema: Schema, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values by `schema`, mostly: a bound or a pattern may still be missed."""
    if "$ref" in schema:
        return values(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], depth)
    examples = [st.sampled_from(schema["examples"])] if schema.get("examples") else []
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of(*examples, *(values(one, depth) for one in schema["anyOf"]))
    kinds = schema.get("type", ["string", "object"])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    return st.one_of(*examples, *(_of(kind, schema, depth) for kind in kinds))


def _of(kind: str, schema: Schema, depth: int) -> st.SearchStrategy[Any]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if kind == "object":
        return _objects(schema, depth)
    if kind == "array":
        return st.lists(values(schema.get("items", {}), depth + 1), max_size=2)
    if kind == "integer":
        least = -1 if low is None else low
        return st.integers(least, max(50, least) if high is None else high)
    if kind == "number":
        return st.sampled_from([1, 0.5, 1.5, 2.0])
    return st.booleans() if kind == "boolean" else st.sampled_from(_TEXTS)


def _objects(schema: Schema, depth: int) -> st.SearchStrategy[Any]:
    properties = schema.get("properties", {})
    if not properties:
        inner = schema.get("additionalProperties") or {"type": "string"}
        inner = inner if isinstance(inner, dict) else {"type": "string"}
        return st.dictionaries(st.sampled_from(_KEYS[:2]), values(inner, depth + 1), max_size=2)
    required = {*schema.get("required", ()), *(() if depth else ("model", "instructions"))}
    needed = {key: values(properties[key], depth + 1) for key in sorted(required)}
    others = [key for key in properties if key not in needed]

    @st.composite
    def some(draw: st.DrawFn) -> Any:
        chosen = draw(st.lists(st.sampled_from(others), max_size=3, unique=True)) if others else []
        made = {key: draw(values(properties[key], depth + 1)) for key in chosen}
        return {key: draw(value) for key, value in needed.items()} | made

    return some()


@st.composite
def files(draw: st.DrawFn) -> Any:
    """An agent file's value; half of them with something wrong somewhere."""
    made = json.loads(json.dumps(draw(values(SCHEMA))))
    if draw(st.booleans()):
        _break(made, draw)
    return made


def _break(made: Any, draw: st.DrawFn) -> None:
    """Change, drop or add one thing, at any depth."""
    while isinstance(made, dict | list) and made:
        steps = list(made) if isinstance(made, dict) else list(range(len(made)))
        step = draw(st.sampled_from(steps))
        if not isinstance(made[step], dict | list) or not made[step] or draw(st.booleans()):
            break
        made = made[step]
    else:
        return
    how = draw(st.sampled_from(["change", "change", "drop", "add"]))
    if how == "drop":
        del made[step]
    elif how == "add" and isinstance(made, dict):
        made[draw(st.sampled_from(_KEYS))] = draw(st.sampled_from(_ODD))
    else:
        made[step] = draw(st.sampled_from(_ODD))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("agreement")
    skill = "---\nname: s\ndescription: x\n---\n"
    project(place, {"prompts/p.md": "Hi.", "skills/s/SKILL.md": skill})
    return place


def is_beyond(code: str, message: str) -> bool:
    return any(re.fullmatch(c, code) and re.search(m, message) for c, m in BEYOND_A_SCHEMA)


@given(made=files())
@settings(max_examples=500, suppress_health_check=list(HealthCheck))
def test_a_file_is_accepted_by_both_or_by_neither(root: Path, made: Any) -> None:
    text = json.dumps(made, ensure_ascii=False)
    (root / "agents/a.yaml").write_text(text)
    result = compile_agents(Project.at(root), context=CompileContext())
    errors = [d for d in result.diagnostics if d.severity == "error"]
    wrong = [error.message for error in VALIDATOR.iter_errors(made)]
    own = [d for d in errors if d.location.file == "agents/a.yaml"]
    unseen = [d.render() for d in own if not is_beyond(d.code, d.message)]
    if wrong:
        assert errors, (text, wrong)
    else:
        assert unseen == [], text


def test_what_is_generated_is_of_both_kinds() -> None:
    """Without this, a generator of nothing but broken files would agree about everything."""
    seen = {True: 0, False: 0}

    @given(made=files())
    @settings(max_examples=200, suppress_health_check=list(HealthCheck), database=None)
    def count(made: Any) -> None:
        seen[VALIDATOR.is_valid(made)] += 1

    count()
    assert min(seen.values()) > 20
