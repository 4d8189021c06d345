"""More skills than can be listed: they are found by words, and cost no prompt."""

import json
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compile.corpus import corpus
from retinue.agent import Agent, Skill
from retinue.compile import compile_agents
from retinue.project import Project
from retinue.run.messages import ToolCall
from retinue.run.runtime import Runtime
from retinue.run.skills import BUDGET, skill_tools
from retinue.run.toolbox import AgentToolbox
from retinue.testing import ScriptedModel, run_context

FILLER = [(f"filler-{n}", f"Does the thing number {n} for the reports.") for n in range(200)]


def toolbox(*named: tuple[str, str]) -> AgentToolbox:
    skills = [
        Skill(name=name, description=description, body="", root=Path("/"))
        for name, description in (*FILLER, *named)
    ]
    return AgentToolbox([], skill_tools(skills))


async def found(tools: AgentToolbox, query: str) -> list[str]:
    wanted = ToolCall("c1", "search_skills", json.dumps({"query": query}))
    result = await tools.call(wanted, run_context())
    assert not result.is_error
    if not result.text.startswith("<"):
        return []
    return [skill.findtext("name") or "" for skill in ET.fromstring(result.text)]


async def test_skills_are_found_by_words_of_name_and_description() -> None:
    tools = toolbox(
        ("sales-charts", "Turns figures into pictures."),
        ("maps", "Charts of countries and their sales."),
        ("größen", "Misst Längen & <Breiten>."),
    )
    assert (await found(tools, "SALES chart"))[:2] == ["sales-charts", "maps"]
    assert await found(tools, "countries, please") == ["maps"]
    assert await found(tools, "längen") == ["größen"]
    assert await found(tools, "zebra") == []
    assert len(await found(tools, "reports")) == 10


async def test_a_skill_that_is_not_listed_can_be_loaded() -> None:
    tools = toolbox(("sales-charts", "Turns figures into pictures."))
    assert [tool.name for tool in tools.tools] == ["search_skills", "load_skill", "read_skill_file"]
    assert sum(len(json.dumps(dict(tool.parameters))) for tool in tools.tools) < 2_000
    load = ToolCall("c1", "load_skill", '{"name": "sales-charts"}')
    assert not (await tools.call(load, run_context())).is_error
    wrong = ToolCall("c1", "load_skill", '{"name": "sales-chart"}')
    assert "sales-charts" in (await tools.call(wrong, run_context())).text


@given(st.text(min_size=1, max_size=60))
async def test_any_words_can_be_searched(query: str) -> None:
    assert isinstance(await found(toolbox(), query), list)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An agent with a thousand skills like the public ones, and one without."""
    root = tmp_path_factory.mktemp("many")
    (root / "agents").mkdir()
    folders = [folder for folder in corpus(1_300) if folder.expected is None][:1_000]
    for folder in folders:
        folder.make(root / "skills")
    minimal = "model: scripted/model\ninstructions: Hi.\n"
    names = json.dumps([folder.name for folder in folders], ensure_ascii=False)
    (root / "agents" / "none.yaml").write_text(minimal, "utf-8")
    (root / "agents" / "many.yaml").write_text(f"{minimal}skills: {names}\n", "utf-8")
    return root


async def opened(root: Path, name: str) -> tuple[Agent, str, int, float]:
    """The agent, its prompt, the size of its tools, and the CPU seconds to get there."""
    started = time.process_time()
    (agent,) = compile_agents(Project.at(root), [name]).checked()
    async with Runtime([agent], models={"scripted": lambda *_: ScriptedModel()}) as runtime:
        taken = time.process_time() - started
        schemas = sum(len(json.dumps(dict(t.parameters))) for t in runtime.tools(name))
        return agent, runtime.system_prompt(name), schemas, taken


async def test_a_thousand_skills_of_every_oddity_in_one_agent(project: Path) -> None:
    *_, without = await opened(project, "none")
    agent, prompt, schemas, taken = await opened(project, "many")
    assert len(agent.skills) == 1_000
    assert len(prompt) <= BUDGET + len("Hi.\n\n")
    assert schemas < 2_000
    ET.fromstring(prompt.partition("\n\n")[2])
    # Of CPU, on a machine that others use too: 0.7 s where it was measured.
    assert taken - without < 2
