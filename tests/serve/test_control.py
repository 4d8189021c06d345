"""What an operator asks of a server, and who may."""

import httpx
import pytest
from serving import QUESTION, LoopRuntime

from retinue.agent import Auth, Instructions, Variable
from retinue.errors import ProjectError
from retinue.run.events import ModelFinished, TextDelta, Usage
from retinue.serve.admission import Access
from retinue.serve.control import Control
from retinue.serve.overload import Capacity, House
from retinue.testing import ScriptedModel, agent, calls, says

CHAT = "/v1/chat/completions"
BODY = {"messages": QUESTION}
DATABRICKS = {"DATABRICKS_APP_NAME": "sales", "DATABRICKS_APP_PORT": "8000"}
KEYS = {"RETINUE_API_KEYS": "plain", "RETINUE_ADMIN_KEYS": "chief"}


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.fixture
def site(serving):
    """`site(control=…, access=…)`: a client of a server with one agent."""
    opened: list[httpx.Client] = []

    def start(*script, env=None, mode=None, functions=(), reach="local", **options) -> httpx.Client:
        chosen = agent("tester", auth=mode and Auth(mode=mode))
        runtime = LoopRuntime(
            ScriptedModel(*(script or [says("hello")])), functions=functions, agents=[chosen]
        )
        access = Access([chosen], env or {})
        opened.append(serving(runtime, access=access, reach=reach, **options).http)
        return opened[-1]

    yield start
    for client in opened:
        client.close()


def code(response: httpx.Response) -> str:
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    return response.json()["error"]["code"]


def test_status_tells_of_versions_and_runs(site):
    told = site().get("/status").json()
    assert told["status"] == "serving"
    assert told["runs"] == 0
    assert told["uptime_seconds"] >= 0
    assert list(told["agents"]) == ["tester"]


def test_prompts_with_their_text_for_those_who_may(serving):
    variable = Variable(name="region", source="request.metadata.region")
    instructions = Instructions(
        text="Be {{ region }}.", origin="prompts/a.md", variables=(variable,)
    )
    chosen = agent("tester", instructions=instructions)
    runtime = LoopRuntime(ScriptedModel(), agents=[chosen])
    for reach in ("local", None):
        with serving(runtime, reach=reach, access=Access([chosen], {})).http as http:
            (told,) = http.get("/v1/prompts").json()["data"]
        assert told["variables"][0]["name"] == "region"
        assert told.get("text") == ("Be {{ region }}." if reach else None)


def test_metrics_count_what_was_asked(site):
    def look(place: str) -> str:
        """Look."""
        return place

    http = site(
        [*calls(("look", {"place": "here"}))],
        [TextDelta("found"), ModelFinished("stop", Usage(7, 3))],
        functions=[look],
    )
    assert http.post(CHAT, json=BODY).status_code == 200
    assert http.post(CHAT, json={}).status_code == 400
    assert http.post("/api/mcp", json={}).status_code == 400
    text = http.get("/metrics").text
    ours = [line for line in text.splitlines() if line.startswith("retinue_")]
    assert (
        'retinue_requests_total{agent="tester",endpoint="/chat/completions",status="200"} 1.0'
        in ours
    )
    assert 'retinue_requests_total{agent="",endpoint="/chat/completions",status="400"} 1.0' in ours
    assert 'retinue_requests_total{agent="",endpoint="/mcp",status="400"} 1.0' in ours
    assert not any("_created{" in line for line in ours)
    assert 'retinue_tool_calls_total{agent="tester",tool="look"} 1.0' in ours
    assert 'retinue_tokens_total{agent="tester",kind="output"} 8.0' in ours
    assert "retinue_runs 0.0" in ours


def test_drained_it_takes_no_runs_and_says_so(site):
    http = site()
    assert http.post("/v1/admin/drain").json() == {"object": "drain", "draining": True, "runs": 0}
    refused = http.post(CHAT, json=BODY)
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert code(refused) == "server_draining"
    assert http.get("/health/ready").status_code == 503
    assert http.get("/health/live").status_code == 200
    assert http.get("/status").json()["status"] == "draining"
    unclear = http.post("/v1/admin/drain?draining=perhaps")
    assert (unclear.status_code, unclear.json()["error"]["param"]) == (400, "draining")
    assert http.post("/v1/admin/drain?draining=false").json()["draining"] is False
    assert http.post(CHAT, json=BODY).status_code == 200


def test_reload_needs_somebody_who_can(site):
    refused = site().post("/v1/admin/reload")
    assert refused.status_code == 409
    assert code(refused) == "reload_not_possible"


def test_reload_tells_why_it_has_not(site):
    async def broken():
        raise ProjectError("there are no agents")

    refused = site(control=Control(House(Capacity()), broken)).post("/v1/admin/reload")
    assert refused.status_code == 422
    assert code(refused) == "invalid_configuration"
    assert "there are no agents" in refused.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/admin/drain", "/v1/admin/reload"])
class TestWhoMay:
    def test_holders_of_an_admin_key(self, site, path):
        http = site(env=KEYS, mode="api_key", reach=None)
        assert http.post(path).status_code == 401
        plain = http.post(path, headers=bearer("plain"))
        assert (plain.status_code, code(plain)) == (403, "permission_denied")
        assert http.post(path, headers=bearer("chief")).status_code in {200, 409}

    def test_an_admin_key_opens_no_agent(self, site, path):
        http = site(env=KEYS, mode="api_key", reach=None)
        assert http.post(CHAT, json=BODY, headers=bearer("chief")).status_code == 401
        assert path

    def test_named_users_behind_the_proxy(self, site, path):
        env = {**DATABRICKS, "RETINUE_ADMINS": "ada@example.com, 4711"}
        http = site(env=env, reach=None)
        for headers, status in (
            ({"x-forwarded-email": "ada@example.com"}, {200, 409}),
            ({"x-forwarded-user": "4711"}, {200, 409}),
            ({"x-forwarded-email": "bob@example.com"}, {403}),
            ({"x-forwarded-access-token": "4711"}, {403}),
            ({}, {403}),
        ):
            assert http.post(path, headers=headers).status_code in status

    def test_nobody_by_a_header_where_no_proxy_stands(self, site, path):
        http = site(env={"RETINUE_ADMINS": "ada@example.com"}, reach=None)
        headers = {"x-forwarded-email": "ada@example.com"}
        assert http.post(path, headers=headers).status_code == 403

    def test_no_page_of_another_site(self, site, path):
        refused = site().post(path, headers={"sec-fetch-site": "cross-site"})
        assert (refused.status_code, code(refused)) == (403, "cross_site")


def test_surfaces_can_be_switched_off(site):
    http = site(apis=["chat"])
    assert http.post(CHAT, json=BODY).status_code == 200
    for method, path in (
        ("POST", "/v1/responses"),
        ("POST", "/invocations"),
        ("GET", "/v1/models"),
        ("GET", "/docs"),
        ("GET", "/metrics"),
        ("POST", "/v1/admin/drain"),
    ):
        assert http.request(method, path, json=BODY).status_code == 404, path
    assert http.get("/health").status_code == 200
    assert "/v1/responses" not in http.get("/openapi.json").json()["paths"]
