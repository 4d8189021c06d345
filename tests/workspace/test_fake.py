"""The workspace that the tests play refuses what a real one would."""

import httpx
import pytest

from workspace.deploying import ROOT, Cloud, cloud


async def ask(at: Cloud, method: str, path: str, **more) -> httpx.Response:
    signed = {"Authorization": f"Bearer {at.workspace.sign_in('ana@example.com')}"}
    async with httpx.AsyncClient(base_url=at.url, headers=signed, trust_env=False) as http:
        return await http.request(method, path, **more)


FILE = f"/api/2.0/workspace-files/import-file{ROOT}/a.txt"


async def test_files_need_their_folder_and_are_not_replaced_unasked():
    async with cloud() as at:
        assert (await ask(at, "POST", FILE, content=b"1")).status_code == 404
        await ask(at, "POST", "/api/2.0/workspace/mkdirs", json={"path": ROOT})
        assert (await ask(at, "POST", FILE, content=b"1")).status_code == 200
        assert (await ask(at, "POST", FILE, content=b"2")).status_code == 409
        query = {"path": f"{ROOT}/a.txt", "direct_download": "true"}
        assert (await ask(at, "GET", "/api/2.0/workspace/export", params=query)).content == b"1"
        gone = {"path": ROOT}
        assert (await ask(at, "POST", "/api/2.0/workspace/delete", json=gone)).status_code == 400


async def test_a_token_expires_and_an_unknown_path_is_told():
    async with cloud() as at:
        assert (await ask(at, "GET", "/api/2.0/preview/scim/v2/Me")).status_code == 200
        assert (await ask(at, "GET", "/api/2.0/nothing")).status_code == 501
        now = at.workspace.now()
        token = at.workspace.sign_in("bo@example.com", life=10)
        at.workspace.now = lambda: now + 20
        async with httpx.AsyncClient(base_url=at.url, trust_env=False) as http:
            signed = {"Authorization": f"Bearer {token}"}
            got = await http.get("/api/2.0/preview/scim/v2/Me", headers=signed)
        assert got.status_code == 401
        assert len(at.workspace.refused) == 2


@pytest.mark.parametrize(
    "app",
    [
        {"name": "Upper"},
        {"name": "x" * 31},
        {"name": "x", "surprise": 1},
        {"name": "x", "resources": [{"name": "r", "genie_space": {"space_id": "s"}}]},
        {},
    ],
)
async def test_an_app_that_the_platform_would_not_take(app):
    async with cloud() as at:
        assert (await ask(at, "POST", "/api/2.0/apps", json=app)).status_code == 400
        assert at.apps.apps == {}


async def test_a_deployment_needs_its_folder_and_known_resources():
    async with cloud() as at:
        await at.create("it")
        await ask(at, "POST", "/api/2.0/workspace/mkdirs", json={"path": ROOT})
        body = {"mode": "SNAPSHOT", "source_code_path": ROOT, "command": [], "env_vars": []}
        for wrong in (
            {"source_code_path": "/nowhere"},
            {"env_vars": [{"name": "A", "value_from": "none"}]},
            {"env_vars": [{"name": "A", "valueFrom": "none"}]},
        ):
            got = await ask(at, "POST", "/api/2.0/apps/it/deployments", json={**body, **wrong})
            assert got.status_code in (400, 404), wrong
        got = await ask(
            at,
            "POST",
            "/api/2.0/apps/it/deployments",
            json={**body, "env_vars": [{"name": "A", "value": "secret"}]},
        )
        assert got.json()["env_vars"] == [{"name": "A"}]


async def test_genie_s_answer_has_to_be_polled_for():
    async with cloud() as at:
        at.genie.spaces["s1"] = [["a", "1"]]
        space = "/api/2.0/genie/spaces/s1"
        got = await ask(at, "POST", f"{space}/start-conversation", json={"content": "How many?"})
        ids = got.json()
        message = f"{space}/conversations/{ids['conversation_id']}/messages/{ids['message_id']}"
        states = [(await ask(at, "GET", message)).json()["status"] for _ in range(2)]
        assert states == ["EXECUTING_QUERY", "COMPLETED"]
        rows = (await ask(at, "GET", f"{message}/attachments/a1/query-result")).json()
        assert rows["statement_response"]["result"]["data_array"] == [["a", "1"]]
        missing = {"content": "x", "more": 1}
        assert (
            await ask(at, "POST", f"{space}/start-conversation", json=missing)
        ).status_code == 400
