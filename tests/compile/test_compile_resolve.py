"""Files → agents: names, sources, digests, and that no mistake hides another."""

import os
from pathlib import Path

import pytest
from folders import MINIMAL, codes, compiled, project

from retinue.agent import Databricks, Http, Limits, Stdio, Twin
from retinue.compile import CompileContext, compile_agents
from retinue.diagnostics import CompileError
from retinue.errors import UsageError
from retinue.project import Project

HERE = Path(__file__).parent


def full(root: Path) -> Path:
    files = {
        path.relative_to(HERE / "project").as_posix(): path.read_bytes()
        for path in (HERE / "project").rglob("*")
        if path.is_file()
    }
    files["agents/full.yaml"] = (HERE / "good/full.yaml").read_bytes()
    project(root, files)
    return root


def test_every_key_reaches_the_agent(tmp_path: Path) -> None:
    context = CompileContext(env={"TEAM": "Data"}, target="prod")
    (agent,) = compile_agents(Project.at(full(tmp_path)), context=context).checked()
    assert agent.name == "sales-analyst"
    assert agent.description.startswith("Answers sales questions")
    assert (agent.model.model, agent.model.deployments[0].provider, agent.model.timeout.total) == (
        "databricks/databricks-claude-sonnet-4-5", "databricks", 90.0,
    )  # fmt: skip
    assert dict(agent.model.settings) == {
        "temperature": 0.2, "max_tokens": 4096, "top_p": 1.0, "seed": 7, "stop": ["END"],
        "reasoning_effort": "medium", "frequency_penalty": -0.5, "presence_penalty": 0.0,
        "parallel_tool_calls": False, "top_k": 40, "nested": {"a": [1, None, True]},
    }  # fmt: skip
    region, today = agent.instructions.variables
    assert (region.name, region.type, region.default, region.source, region.required) == (
        "region", "string", "EMEA", "request.metadata.region", False,
    )  # fmt: skip
    assert (today.default, today.source, today.required) == (None, "clock.date", True)
    assert [skill.name for skill in agent.skills] == ["sql-style", "forecasting"]
    sales, tickets, calc = agent.mcp_servers
    assert sales.transport == Databricks(
        kind="genie_space",
        target="01ef0000000000000000000000000001",
        written="${var.space_id}",
    )
    assert sales.auth == "user"
    assert sales.twin == Twin(kind="genie_space", path=tmp_path.resolve() / "samples/sales")
    assert isinstance(tickets.transport, Http)
    assert (tickets.include, tickets.exclude) == (("search_*", "create_ticket"), ("*_admin",))
    assert (tickets.required, tickets.timeout) == (True, 0.5)
    assert isinstance(calc.transport, Stdio)
    assert (calc.transport.command, calc.transport.env, calc.timeout) == (
        "uvx", (("PRECISION", "12"),), 20.0,
    )  # fmt: skip
    assert agent.limits == Limits(max_turns=20, max_tool_calls=0, max_tokens=200_000, timeout=120.0)
    assert [source.path for source in agent.sources] == [
        "agents/full.yaml", "prompts/analyst.md.j2", "prompts/parts/tone.md",
        "skills/forecasting/SKILL.md", "skills/sql-style/SKILL.md",
        "skills/sql-style/references/names.md",
    ]  # fmt: skip


def test_a_smallest_agent_has_the_documented_defaults(tmp_path: Path) -> None:
    (agent,) = compiled(tmp_path, {"agents/tiny.yaml": MINIMAL}).checked()
    assert (agent.name, agent.description, agent.limits) == ("tiny", "", Limits())
    assert (agent.model.timeout.total, dict(agent.model.settings)) == (60.0, {})
    assert agent.instructions.literal
    assert len(agent.digest) == 16
    assert int(agent.digest, 16) >= 0


def test_the_digest_depends_on_content_and_on_no_place(tmp_path: Path) -> None:
    context = CompileContext(env={"TEAM": "Data"})
    one, two = (full(tmp_path / name) for name in ("one", "two"))

    def digest(root: Path, context: CompileContext = context) -> str:
        (agent,) = compile_agents(Project.at(root), context=context).checked()
        return agent.digest

    assert digest(one) == digest(two)
    assert digest(one) == digest(one, CompileContext(env={"TEAM": "Other"}))  # used at run time
    by_variable = CompileContext(env={"TEAM": "Data"}, variables={"space_id": "1"})
    assert digest(one) != digest(one, by_variable)
    for changed in ("prompts/parts/tone.md", "skills/sql-style/references/names.md"):
        before = digest(two)
        with (two / changed).open("a") as file:
            file.write("more")
        assert digest(two) != before


def test_a_skill_file_of_the_same_size_changes_the_digest(tmp_path: Path) -> None:
    skill = "---\nname: s\ndescription: Does it.\n---\n"
    files = {"agents/a.yaml": MINIMAL + "skills: [s]\n", "skills/s/SKILL.md": skill}
    (one,) = compiled(tmp_path, {**files, "skills/s/data.bin": b"\x00\xff"}).checked()
    (two,) = compiled(tmp_path, {**files, "skills/s/data.bin": b"\xff\x00"}).checked()
    assert [source.path for source in one.sources] == [
        "agents/a.yaml", "skills/s/SKILL.md", "skills/s/data.bin",
    ]  # fmt: skip
    assert one.digest != two.digest


def test_one_broken_agent_hides_nothing_of_another(tmp_path: Path) -> None:
    files = {
        "agents/a.yaml": "model: [",
        "agents/b.yaml": MINIMAL,
        "agents/c.yaml": MINIMAL + "colour: red\n",
        "agents/d.yaml": b"\xff",
    }
    result = compiled(tmp_path, files)
    assert [agent.name for agent in result.agents] == ["b"]
    assert {d.location.file for d in result.diagnostics} == {
        "agents/a.yaml", "agents/c.yaml", "agents/d.yaml",
    }  # fmt: skip
    with pytest.raises(CompileError) as raised:
        result.checked()
    assert raised.value.diagnostics == result.diagnostics


def test_warnings_stop_nothing(tmp_path: Path) -> None:
    text = "model: x\ninstructions: {text: hi, variables: {unused: 1}}\n"
    result = compiled(tmp_path, {"agents/a.yaml": text})
    assert codes(result) == ["unused-variable"]
    assert len(result.checked()) == 1


def test_an_agent_that_two_files_give_is_not_chosen_for_its_suffix(tmp_path: Path) -> None:
    place = project(tmp_path, {"agents/a.yaml": MINIMAL, "agents/a.yml": MINIMAL})
    result = compile_agents(place, ["a"])
    assert [str(d.location) for d in result.diagnostics] == [
        "agents/a.yaml:1:1",
        "agents/a.yml:1:1",
    ]
    assert result.agents == ()


def test_agents_are_chosen_by_name_in_that_order(tmp_path: Path) -> None:
    files = {f"agents/{name}.yaml": MINIMAL for name in ("a", "b", "c")}
    files["agents/d.yml"] = "name: renamed\n" + MINIMAL
    files["agents/broken.yaml"] = "model: ["
    place = project(tmp_path, files)

    def names(*chosen: str) -> list[str]:
        result = compile_agents(place, chosen)
        assert result.diagnostics == ()
        return [agent.name for agent in result.agents]

    assert names("c", "a") == ["c", "a"]
    assert names("renamed", "b", "b") == ["renamed", "b"]
    with pytest.raises(UsageError, match="no agent 'renamd': did you mean 'renamed'"):
        compile_agents(place, ["renamd"])
    with pytest.raises(UsageError, match="no agent 'd'"):
        compile_agents(place, ["d"])


def test_two_files_with_one_name_are_wrong_at_both(tmp_path: Path) -> None:
    files = {"agents/a.yaml": "name: b\n" + MINIMAL, "agents/b.yaml": MINIMAL}
    result = compiled(tmp_path, files)
    assert codes(result) == ["duplicate-agent", "duplicate-agent"]
    assert [str(d.location) for d in result.diagnostics] == [
        "agents/a.yaml:1:7",
        "agents/b.yaml:1:1",
    ]
    assert result.agents == ()


def test_a_broken_skill_breaks_the_agents_that_use_it_and_is_told_once(tmp_path: Path) -> None:
    files = {
        "agents/a.yaml": MINIMAL + "skills: [s]\n",
        "agents/b.yaml": MINIMAL + "skills: [s]\n",
        "agents/c.yaml": MINIMAL,
        "skills/s/SKILL.md": "nothing",
    }
    result = compiled(tmp_path, files)
    assert [agent.name for agent in result.agents] == ["c"]
    assert sorted(codes(result)) == ["broken-skill", "broken-skill", "skill-without-frontmatter"]


def test_agent_files_that_are_no_files(tmp_path: Path) -> None:
    place = project(tmp_path, {"agents/ok.yaml": MINIMAL})
    (tmp_path / "agents/folder.yaml").mkdir()
    (tmp_path / "agents/gone.yaml").symlink_to("nowhere")
    (tmp_path / "agents/out.yaml").symlink_to("/etc/hostname")
    (tmp_path / "agents/loop.yaml").symlink_to("loop.yaml")
    os.mkfifo(tmp_path / "agents/pipe.yaml")
    result = compile_agents(place)
    assert [agent.name for agent in result.agents] == ["ok"]
    assert {d.location.file: d.code for d in result.diagnostics} == {
        "agents/folder.yaml": "file-not-found",
        "agents/gone.yaml": "file-not-found",
        "agents/out.yaml": "path-outside",
        "agents/loop.yaml": "path-outside",
        "agents/pipe.yaml": "not-a-file",
    }


def test_paths_that_lead_out_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/p.md").write_text("secret")
    root = tmp_path / "project"
    files = {
        "agents/a.yaml": "model: x\ninstructions: {file: ../secret/p.md}\n",
        "agents/b.yaml": "model: x\ninstructions: {file: link/p.md}\n",
        "agents/c.yaml": f"model: x\ninstructions: {{file: {tmp_path}/secret/p.md}}\n",
    }
    project(root, files)
    (root / "link").symlink_to(tmp_path / "secret")
    result = compile_agents(Project.at(root))
    assert codes(result) == ["path-outside"] * 3
    assert result.agents == ()
