"""Genie spaces that a bundle makes of the folders that --offline reads."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from bundling import FLEET, REPOSITORY, conforms, plans, project_in, resources

from retinue.agent import Databricks, LocalSpace
from retinue.bundle import BundleError, bundle_of, bundled_agents, write
from retinue.bundle.shared_file import space_yml
from retinue.bundle.spaces import read_space
from retinue.bundle.targets import Targets
from retinue.diagnostics import CompileError
from retinue.offline import twin
from retinue.offline.genie.space import load_space
from retinue.project import Project
from workspace.space_rules import broken_rules

SPACES = Path(__file__).parent / "spaces"
NO_TARGETS = Targets(())
SHOP = FLEET / "samples/shop"
AGENT = """
model: {name: openai/x, api_base: https://models.example.com/v1}
instructions: Hi.
mcp_servers:
  it:
    databricks: {genie_space: {folder: %s, warehouse: %s}}
"""


def local(tmp_path: Path, *, auth: str = "app", **changes: str) -> Project:
    """A project whose agent has a space of its own, with changes to its space.yaml."""
    shutil.copytree(SHOP, tmp_path / "samples/shop", dirs_exist_ok=True)
    file = tmp_path / "samples/shop/space.yaml"
    text = file.read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)
    return project_in(tmp_path, it=AGENT % ("samples/shop", "w1") + f"    auth: {auth}\n")


def space_of(project: Project, folder: Path):
    return read_space(project, LocalSpace(path=folder, warehouse="${var.warehouse_id}"))


def test_a_space_is_declared_as_its_golden_says(golden):
    project = Project.at(FLEET)
    space = space_of(project, project.root / "samples/shop")
    golden(SPACES / "shop_space.yml", space_yml(space, (), NO_TARGETS))
    golden(SPACES / "shop_space.geniespace.json", space.body)
    conforms(space_yml(space, (), NO_TARGETS))


@pytest.mark.parametrize("folder", [SHOP, REPOSITORY / "samples/bakehouse"])
def test_its_body_keeps_the_api_s_rules(folder):
    project = Project.at(folder.parents[1])
    assert broken_rules(space_of(project, project.root / "samples" / folder.name).body) == []


def test_everything_trusted_is_in_it_and_no_short_name_of_a_table_in_what_genie_puts_together():
    project = Project.at(REPOSITORY)
    folder = project.root / "samples/bakehouse"
    body = json.loads(space_of(project, folder).body)
    space = load_space(folder)
    instructions = body["instructions"]
    examples = {"".join(e["question"]): "".join(e["sql"]) for e in
                instructions["example_question_sqls"]}  # fmt: skip
    assert examples == {q.ask: q.sql for q in space.questions if q.sql}
    assert {m["alias"] for m in instructions["sql_snippets"]["measures"]} == set(space.metrics)
    pieces = [
        *(sql for kind in instructions["sql_snippets"].values() for e in kind for sql in e["sql"]),
        *(join["sql"][0].replace("`", "") for join in instructions["join_specs"]),
    ]
    for table in space.tables.values():
        assert not [sql for sql in pieces if f" {table.alias}." in f" {sql}"]


def test_the_app_may_read_the_tables_and_use_the_warehouse_and_needs_no_grant(tmp_path):
    local(tmp_path)
    (app,) = plans(Project.at(tmp_path))
    kinds = [r["kind"] for r in resources(app)]
    assert kinds == ["genie_space", "sql_warehouse", "uc_securable", "uc_securable"]
    assert app.notes == ()
    assert ("RETINUE_GENIE_SPACE_SHOP", "it") in [(v.name, v.value_from) for v in app.env]


def test_the_caller_s_rights_need_no_table(tmp_path):
    local(tmp_path, auth="user")
    (app,) = plans(Project.at(tmp_path))
    assert [r["kind"] for r in resources(app)] == ["genie_space"]
    assert app.scopes == ("genie",)
    assert "share it with its users" in app.notes[0]


def test_nobody_is_granted_what_is_everybody_s(tmp_path):
    local(tmp_path, **{"catalog: main": "catalog: samples"})
    (app,) = plans(Project.at(tmp_path))
    assert "uc_securable" not in [r["kind"] for r in resources(app)]


def test_the_same_folder_is_the_twin_unless_another_is_named(tmp_path):
    project = local(tmp_path)
    (agent,) = [bundled.agent for bundled in bundled_agents(project).agents]
    assert str(tmp_path / "samples/shop") in str(twin(agent).mcp_servers[0].transport)
    shutil.copytree(SHOP, tmp_path / "other")
    file = tmp_path / "agents/it.yaml"
    file.write_text(file.read_text() + "    offline: {genie_space: other}\n")
    (agent,) = [bundled.agent for bundled in bundled_agents(project).agents]
    assert str(tmp_path / "other") in str(twin(agent).mcp_servers[0].transport)
    source = set(bundle_of(project).generated)
    assert {f"bundles/it/source/{f}/space.yaml" for f in ("other", "samples/shop")} <= source


def test_agents_share_a_space(tmp_path):
    project = local(tmp_path)
    project_in(tmp_path, two=AGENT % ("samples/shop", "w1"))
    made = [path for path in bundle_of(project).committed if "genie_spaces" in path]
    assert made == [
        "bundles/genie_spaces/shop_space.yml",
        "bundles/genie_spaces/shop_space.geniespace.json",
    ]
    project_in(tmp_path, two=AGENT % ("samples/shop", "w2"))
    with pytest.raises(BundleError, match="agents name different warehouses for it"):
        bundle_of(project)


def test_two_folders_of_one_name_are_refused(tmp_path):
    project = local(tmp_path)
    shutil.copytree(SHOP, tmp_path / "more/shop")
    project_in(tmp_path, two=AGENT % ("more/shop", "w1"))
    with pytest.raises(BundleError, match="name one of the folders otherwise"):
        bundle_of(project)


def test_a_mistake_in_the_space_is_told_with_its_place(tmp_path):
    project = local(tmp_path, **{"facts: orders": "facts: order"})
    with pytest.raises(CompileError) as caught:
        bundle_of(project)
    (found,) = caught.value.diagnostics
    assert str(found.location) == "samples/shop/space.yaml:17:8"


def test_more_tables_than_a_space_takes_are_refused(tmp_path):
    project = local(tmp_path)
    file = tmp_path / "samples/shop/space.yaml"
    more = "".join(f"  t{n}: {{alias: a{n}}}\n" for n in range(29))
    file.write_text(file.read_text().replace("\nfacts:", f"{more}\nfacts:"))
    with pytest.raises(BundleError, match=r"has 31 tables; a Genie space takes 30"):
        bundle_of(project)


def test_what_no_agent_has_any_more_is_removed_and_nothing_else(tmp_path):
    project = local(tmp_path)
    folder = tmp_path / "bundles/genie_spaces"
    write(project, bundle_of(project))
    (folder / "mine.yml").write_text("resources: {}\n")
    (folder / "mine.geniespace.json").write_text("{}")
    project_in(tmp_path, it="model: openai/x\ninstructions: Hi.\n")
    write(project, bundle_of(project))
    assert sorted(p.name for p in folder.iterdir()) == ["mine.geniespace.json", "mine.yml"]


def test_a_description_can_t_be_taken_for_a_variable():
    project = Project.at(FLEET)
    space = space_of(project, project.root / "samples/shop")
    text = space_yml(replace(space, title="${var.a}", description="${var.b}"), (), NO_TARGETS)
    declared = yaml.safe_load(text)["resources"]["genie_spaces"]["shop_space"]
    assert "${var.a}" not in declared["title"]
    assert "${var.b}" not in declared["description"]


def test_the_id_is_looked_for_where_an_app_has_it(tmp_path):
    project = local(tmp_path)
    (bundled,) = bundled_agents(project).agents
    transport = bundled.agent.mcp_servers[0].transport
    assert isinstance(transport, Databricks)
    assert str(transport.target) == "${env.RETINUE_GENIE_SPACE_SHOP}"


def test_an_agent_may_be_called_as_its_space_is(tmp_path):
    """The Databricks CLI refuses a key that two resources have, of whatever kinds."""
    shutil.copytree(SHOP, tmp_path / "samples/shop")
    project = project_in(tmp_path, shop=AGENT % ("samples/shop", "w1"))
    files = [f for p, f in bundle_of(project).committed.items() if p.endswith(".yml")]
    kinds = [yaml.safe_load(file)["resources"] for file in files]
    assert sorted(key for each in kinds for several in each.values() for key in several) == [
        "shop",
        "shop_space",
    ]
