"""What can be asked of the server itself."""

import json
import re
from datetime import datetime

import pytest
from serving import LoopRuntime

from retinue.agent import Skill, Stdio, ToolServer
from retinue.route import Deployment, Route
from retinue.serve.info import HEALTH_PATHS
from retinue.testing import ScriptedModel, agent

PREFIXES = ("", "/v1", "/api/v1")


def lookup(query: str) -> str:
    """Look something up."""
    return query


class Rigged(LoopRuntime):
    """A runtime whose tool servers are in the state that a test wants."""

    states: dict[str, str]

    def health(self):
        return {
            name: {s.name: {"state": self.states[s.name], "tools": 1} for s in a.mcp_servers}
            for name, a in self.agents.items()
        }


def rigged(**states: str) -> Rigged:
    def server(name: str, *, required: bool) -> ToolServer:
        return ToolServer(name=name, transport=Stdio(command="x"), required=required)

    chosen = [
        agent("strict", mcp_servers=(server("must", required=True),)),
        agent("easy", mcp_servers=(server("may", required=False),)),
    ]
    runtime = Rigged({a.name: ScriptedModel() for a in chosen}, agents=chosen)
    runtime.states = states
    return runtime


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("path", HEALTH_PATHS)
def test_health_is_told_under_every_prefix(serving, prefix, path):
    with serving(LoopRuntime(ScriptedModel())).http as http:
        answer = http.get(prefix + path)
        assert answer.status_code == 200
        assert answer.json()["status"] == ("ready" if path.endswith("ready") else "healthy")


def test_the_health_check_of_the_app_templates(serving):
    with serving(LoopRuntime(ScriptedModel())).http as http:
        told = http.get("/api/v1/healthcheck").json()
    assert list(told) == ["status", "timestamp", "service"]
    assert datetime.fromisoformat(told["timestamp"]).tzinfo
    assert told["service"] == "retinue"


@pytest.mark.parametrize(
    ("must", "may", "status", "code"),
    [
        ("up", "up", "ready", 200),
        ("up", "down", "ready", 200),
        ("connecting", "up", "ready", 200),
        ("down", "up", "degraded", 200),
    ],
)
def test_whether_agents_can_run(serving, must, may, status, code):
    with serving(rigged(must=must, may=may)).http as http:
        answer = http.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (code, status)
    assert answer.json()["agents"] == {"strict": status == "ready", "easy": True}
    assert answer.json()["servers"]["easy"] == {"may": {"state": may, "tools": 1}}


def test_it_is_not_ready_where_no_agent_can_run(serving):
    runtime = rigged(must="down", may="up")
    del runtime.agents["easy"]
    with serving(runtime).http as http:
        answer = http.get("/health/ready")
        assert (answer.status_code, answer.json()["status"]) == (503, "not_ready")
        assert http.get("/health/live").status_code == 200


def test_the_default_agent_in_mlflows_form(serving):
    with serving(LoopRuntime({"sales": ScriptedModel(), "b": ScriptedModel()})).http as http:
        assert http.get("/agent/info").json() == {
            "name": "sales",
            "use_case": "agent",
            "agent_api": "responses",
        }


@pytest.mark.parametrize("prefix", PREFIXES)
def test_agents_are_told_with_their_tools_and_without_secrets(serving, prefix, tmp_path):
    deployment = Deployment(
        model="databricks/claude", api_base="https://hidden.example.com", api_key="sk-hidden"
    )
    route = Route(deployments=(deployment,))
    skill = Skill(name="charts", description="Draws.", body="hidden body", root=tmp_path)
    one = agent("sales", description="Sells.", model=route, skills=(skill,), digest="abc")
    with serving(LoopRuntime({"sales": ScriptedModel()}, [lookup], [one])).http as http:
        answer = http.get(f"{prefix}/agents")
    assert answer.json() == {
        "object": "list",
        "data": [
            {
                "id": "sales",
                "object": "agent",
                "description": "Sells.",
                "model": "databricks/claude",
                "tools": [{"name": "lookup", "description": "Look something up."}],
                "skills": ["charts"],
                "digest": "abc",
            }
        ],
    }
    assert "hidden" not in answer.text


def test_the_docs_page_needs_nothing_from_elsewhere(serving):
    with serving(LoopRuntime(ScriptedModel())).http as http:
        page = http.get("/docs")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        linked = re.findall(r'(?:href|src)="([^"]+)"', page.text)
        assert set(linked) == {"docs/docs.css", "docs/docs.js", "openapi.json"}
        for path in linked:
            file = http.get(f"/{path}")
            assert file.status_code == 200
            assert "://" not in file.text or path == "openapi.json"
        script = http.get("/docs/docs.js").text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    # With such a policy, nothing of these would work; without it, some of them would be a hole.
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\beval\(", script)
    assert not re.search(r"<script>|<style>|\son\w+=|style=", page.text)


def test_the_document_tells_of_each_route_with_examples(serving):
    with serving(LoopRuntime(ScriptedModel())).http as http:
        document = http.get("/openapi.json").json()
    assert "HTTPValidationError" not in json.dumps(document)
    for path, item in document["paths"].items():
        for operation in item.values():
            (good,) = [
                content
                for kind, content in operation["responses"]["200"]["content"].items()
                if kind != "text/event-stream"
            ]
            assert good["example"], path
            assert good["schema"], path
            assert operation["responses"]["401"]["content"]["application/json"]["example"]
            body = operation.get("requestBody")
            assert body is None or body["content"]["application/json"]["examples"]
