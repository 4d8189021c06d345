"""What agents take from retinue.yaml by name: a mistake in it concerns those that take it."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from folders import MINIMAL, project

from retinue.compile import Compilation, CompileContext, compile_agents

BROKEN = """\
models:
  good: databricks/good
  unset: {name: databricks/x, api_key: "${env.NO_KEY}"}
  whole: [1]
  late: {name: databricks/x, timout: 5s}
mcp_servers:
  fine: {url: https://x}
  unset: {url: "${env.NO_URL}"}
  both: {url: https://x, command: y}
  whole: 1
variables:
  company: Acme
  unset: "${env.NO_NAME}"
  whole: [1]
  lonely: {type: string}
"""
TAKING: Mapping[str, tuple[str, int]] = {
    "model-unset": ("model: unset\ninstructions: Hi.\n", 3),
    "model-object": ("model: {name: unset, timeout: 5s}\ninstructions: Hi.\n", 3),
    "model-whole": ("model: whole\ninstructions: Hi.\n", 4),
    "model-late": ("model: late\ninstructions: Hi.\n", 5),
    "fallback": ("model: {name: good, fallbacks: [unset]}\ninstructions: Hi.\n", 3),
    "server-unset": ("model: good\ninstructions: Hi.\nmcp_servers: [fine, unset]\n", 8),
    "server-both": ("model: good\ninstructions: Hi.\nmcp_servers: {both: {}}\n", 9),
    "server-whole": ("model: good\ninstructions: Hi.\nmcp_servers: [whole]\n", 10),
    "variable-unset": ("model: good\ninstructions: Hi {{ unset }}.\n", 13),
    "variable-whole": ("model: good\ninstructions: Hi {{ whole }}.\n", 14),
    "variable-lonely": ("model: good\ninstructions: Hi {{ lonely }}.\n", 15),
}
GOOD = """\
model: {name: good, fallbacks: [good]}
instructions: Hi {{ company }}.
mcp_servers: [fine]
"""


def compiled(
    root: Path, agents: Mapping[str, str], *names: str, env: Mapping[str, str] | None = None
) -> Compilation:
    files = {f"agents/{name}.yaml": text for name, text in agents.items()}
    place = project(root, {"retinue.yaml": BROKEN, **files})
    return compile_agents(place, names or None, CompileContext(env=env or {}))


def lines(result: Compilation) -> list[int]:
    errors = [d.location for d in result.diagnostics if d.severity == "error"]
    assert {place.file for place in errors} <= {"retinue.yaml"}
    return [place.line for place in errors]


def test_all_of_a_project_shows_every_mistake_once_and_makes_what_has_none(tmp_path: Path) -> None:
    agents = {"good": GOOD, **{name: text for name, (text, _) in TAKING.items()}}
    result = compiled(tmp_path, agents)
    assert lines(result) == [3, 4, 5, 8, 9, 10, 13, 14, 15]
    assert [agent.name for agent in result.agents] == ["good"]


@pytest.mark.parametrize("name", TAKING)
def test_who_takes_a_broken_entry_hears_of_it_alone(tmp_path: Path, name: str) -> None:
    text, line = TAKING[name]
    result = compiled(tmp_path, {"a": text, "good": GOOD}, "a")
    assert lines(result) == [line]
    assert result.agents == ()


def test_who_takes_none_of_them_compiles_in_silence(tmp_path: Path) -> None:
    agents = {"broken": "model: [", "good": GOOD, "other": MINIMAL.replace("x/y", "unset")}
    (agent,) = compiled(tmp_path, agents, "good").checked()
    assert (agent.model.model, agent.instructions.variables[0].default) == (
        "databricks/good", "Acme",
    )  # fmt: skip


def test_an_agents_own_entry_of_that_name_takes_nothing(tmp_path: Path) -> None:
    own = "model: good\ninstructions: {text: 'Hi {{ unset }}', variables: {unset: x}}\n"
    own += "mcp_servers: {unset: {url: https://own}}\n"
    (agent,) = compiled(tmp_path, {"a": own}, "a").checked()
    assert agent.instructions.variables[0].default == "x"


def test_a_digest_depends_on_the_variables_of_what_was_taken(tmp_path: Path) -> None:
    text = "model: good\ninstructions: Hi {{ unset }}.\n"

    def digest(**env: str) -> str:
        return compiled(tmp_path, {"a": text}, "a", env=env).checked()[0].digest

    assert digest(NO_NAME="a") != digest(NO_NAME="b")
    assert digest(NO_NAME="a") == digest(NO_NAME="a", NO_URL="https://x")
