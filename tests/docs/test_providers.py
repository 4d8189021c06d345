"""Every example of docs/providers.md compiles, and every provider has one."""

import re
from pathlib import Path

import pytest

from retinue.compile import CompileContext, compile_agents
from retinue.project import Project

PAGE = (Path(__file__).parents[2] / "docs" / "providers.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n# agents/(\w+)\.yaml\n(.*?)```", PAGE, re.DOTALL)
SECTIONS = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
VARIABLES = {"OPENAI_API_KEY": "k", "MODELS_KEY": "k", "DATABRICKS_HOST": "https://w.example.com"}


@pytest.mark.parametrize(("name", "text"), EXAMPLES)
def test_an_example_compiles(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / f"{name}.yaml").write_text(text, encoding="utf-8")
    compiled = compile_agents(Project.at(tmp_path), context=CompileContext(env=VARIABLES))
    assert not compiled.diagnostics
    assert [agent.name for agent in compiled.agents] == [name]


def test_every_provider_has_an_example() -> None:
    *providers, rules = SECTIONS
    assert len(EXAMPLES) == len(providers)
    assert rules == "What a provider doesn't take"


def test_links_within_the_page_lead_somewhere() -> None:
    anchors = {section.lower().replace(" ", "-") for section in SECTIONS}
    assert set(re.findall(r"\]\(#([\w-]+)\)", PAGE)) <= anchors
