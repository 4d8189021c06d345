"""`agent.json`: what an agent is, to be compared with what was deployed."""

import json
from pathlib import Path

from bundling import FLEET, deployable, planned, plans, project_in

from retinue.bundle import bundle_of, bundled_agents
from retinue.bundle.manifest import as_bytes, manifest
from retinue.project import Project

TOOLS = """
mcp_servers:
  sales:
    databricks: {genie_space: 01ef0123456789abcdef0123456789ab}
    auth: user
    tools: {include: [ask], rename: {ask: ask_sales}}
  outside:
    url: https://tools.example/mcp
    headers: {Authorization: "Bearer ${secret.keeper/key}"}
"""


def trees(project: Project) -> dict[str, dict]:
    made = zip(bundled_agents(project).agents, plans(project), strict=True)
    return {plan.agent: manifest(deployable(bundled), plan) for bundled, plan in made}


def test_it_says_what_people_review(tmp_path):
    planned(tmp_path, TOOLS + "limits: {max_turns: 7}\n")
    tree = trees(Project.at(tmp_path))["it"]
    own = tree["agents"]["it"]
    assert own["instructions"]["text"] == "Hi."
    assert own["model"]["name"] == "openai/x"
    assert own["limits"]["max_turns"] == 7
    assert own["mcp_servers"]["sales"]["transport"] == {
        "kind": "genie_space",
        "target": "01ef0123456789abcdef0123456789ab",
    }
    assert own["mcp_servers"]["sales"]["rename"] == {"ask": "ask_sales"}
    assert own["mcp_servers"]["sales"]["auth"] == "user"
    # What is as by default isn't said, so that a later runtime's defaults are no change.
    assert own["mcp_servers"]["outside"].keys() == {"auth", "transport"}
    headers = own["mcp_servers"]["outside"]["transport"]["headers"]
    assert headers == {"Authorization": "Bearer ${secret.keeper/key}"}
    assert tree["env"]["RETINUE_SECRET_KEEPER_KEY"] == {"value_from": "keeper-key"}
    assert tree["command"][:3] == ["python", "-m", "retinue"]


def test_the_fleet_s_name_their_variables_and_nothing_of_this_machine():
    whole = ""
    for name, tree in trees(Project.at(FLEET)).items():
        whole += (text := as_bytes(tree).decode())
        assert json.loads(text)["agent"] == name
        for told in (str(Path.home()), str(FLEET.parent), "retinue-var-"):
            assert told not in text
    assert "${var.sales_space_id}" in whole


def test_agents_that_are_called_and_skills_are_told_by_name():
    found = trees(Project.at(FLEET))
    front = found["front"]
    called = front["agents"]["front"]["sub_agents"]
    assert called
    assert called.keys() < front["agents"].keys()
    files = found["genie"]["agents"]["genie"]["skills"]["sql-style"]["files"]
    assert [*files] == ["SKILL.md"]
    assert len(files["SKILL.md"]) == 16


def test_it_lies_in_the_app_s_folder_and_is_the_same_each_time(tmp_path):
    project = project_in(tmp_path, it="model: databricks/x\ninstructions: Hi.\n")
    once, again = (bundle_of(project).generated for _ in range(2))
    path = "bundles/it/source/agent.json"
    assert once[path] == again[path]
    assert json.loads(once[path])["agents"]["it"]["instructions"]["text"] == "Hi."
