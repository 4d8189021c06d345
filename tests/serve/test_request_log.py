"""Requests that are over in the store's log, and who may read it there."""

import time

import httpx
import pytest
from serving import QUESTION, LoopRuntime, eventually

from retinue.agent import Auth
from retinue.errors import ModelError
from retinue.run.events import Usage
from retinue.serve.admission import Access
from retinue.serve.request_log import LogSettings, log_settings
from retinue.storage import Log, Store
from retinue.store.address import Address
from retinue.testing import ScriptedModel, agent, calls, says

CHAT = "/v1/chat/completions"
KEYS = {"RETINUE_API_KEYS": "ann-key bob-key", "RETINUE_ADMIN_KEYS": "chief"}
OPERATOR = {"authorization": "Bearer chief"}
DATABRICKS = {"DATABRICKS_APP_NAME": "sales", "DATABRICKS_APP_PORT": "8000"}


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@pytest.fixture
def site(serving, address, tmp_path):
    """`site(script…)`: a client of a server that logs."""
    opened: list[httpx.Client] = []

    def start(*script, env=None, mode=None, store=address, messages=False, **settings):
        chosen = agent("tester", digest="sha256:abc", auth=mode and Auth(mode=mode))
        model = ScriptedModel(*(script or [says("hello")]))
        runtime = LoopRuntime(model, functions=[add], agents=[chosen])
        log = LogSettings(tmp_path / "spool", messages=messages, **settings)
        access = Access([chosen], env or {})
        server = serving(runtime, access=access, reach="local", store=store, log=log)
        opened.append(server.http)
        return opened[-1]

    yield start
    for client in opened:
        client.close()


def ask(client: httpx.Client, headers=None, **body) -> httpx.Response:
    return client.post(CHAT, json={"messages": QUESTION, **body}, headers=headers)


def rows(client: httpx.Client, path: str = "/v1/logs", **query):
    answer = client.get(path, params=query, headers=OPERATOR)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_is_there_with_what_came_of_it(site, stream):
    turns = calls(("add", {"a": 1, "b": 2})), says("3", usage=Usage(20, 4))
    client = site(*turns)
    began = time.time()
    answer = ask(client, {"x-session-id": "s-7"}, stream=stream)
    assert answer.status_code == 200
    (row,) = rows(client)
    assert (
        row.items()
        >= {
            "object": "log",
            "request_id": answer.headers["x-request-id"],
            "agent": "tester",
            "digest": "sha256:abc",
            "user": "",
            "endpoint": CHAT,
            "status": 200,
            "finish_reason": "stop",
            "error": None,
            "tools": ["add"],
            "input_tokens": 30,
            "output_tokens": 9,
        }.items()
    )
    assert "messages" not in row
    assert began - 1 < row["created_at"] < time.time()
    assert 0 < row["ms"] < 60_000


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_failed_is_there_with_its_error(site, stream):
    client = site([*says("he")[:1], ModelError("timeout", "late")])
    assert ask(client, stream=stream).status_code == (200 if stream else 504)
    (row,) = rows(client)
    assert (row["error"], row["finish_reason"]) == ("model_timeout", None)
    assert row["status"] == (200 if stream else 504)


def test_what_asks_no_agent_is_not_there(site):
    client = site()
    client.get("/v1/models")
    assert ask(client, model="nobody").status_code == 404
    assert rows(client) == []


def test_two_requests_of_one_id_are_two_rows(site):
    client = site()
    for _ in range(2):
        ask(client, {"x-request-id": "mine"})
    assert [row["request_id"] for row in rows(client)] == ["mine", "mine"]


def test_messages_are_there_only_if_asked_for_and_hold_no_secret(site, monkeypatch):
    monkeypatch.setenv("RETINUE_SECRET_PAY", "hunter2hunter2")
    client = site(says("Not hunter2hunter2."), messages=True)
    ask(client, {"x-session-id": "s"}, messages=[{"role": "user", "content": "it's \0 äö"}])
    (row,) = rows(client)
    (told,) = rows(client, f"/v1/logs/sessions/{row['session']}")
    said = [(m["role"], m["parts"][0]["content"]) for m in told["messages"]]
    assert said == [("user", "it's  äö"), ("assistant", "Not ***.")]


def test_pages_filters_and_sums(site):
    client = site()
    for number in range(5):
        ask(client, {"x-session-id": f"s-{number % 2}"})
    page = client.get("/v1/logs", params={"limit": 2}).json()
    assert (len(page["data"]), page["has_more"]) == (2, True)
    rest = rows(client, after=page["last_id"], limit=3)
    assert len({row["id"] for row in (*page["data"], *rest)}) == 5
    session = rest[0]["session"]
    assert {row["session"] for row in rows(client, session=session)} == {session}
    assert rows(client, agent="other") == []
    assert rows(client, **{"from": "2999-01-01T00:00:00Z"}) == []
    assert len(rows(client, **{"from": "2020-01-01", "to": "2999-01-01T00:00:00+01:00"})) == 5
    stats = client.get("/v1/logs/stats").json()
    assert (stats["requests"], stats["agents"][0]["agent"]) == (5, "tester")
    users = client.get("/v1/logs/stats/users").json()
    assert [(one["user"], one["requests"]) for one in users["data"]] == [("", 5)]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "1e3"}, "limit"),
        ({"from": "yesterday"}, "from"),
        ({"to": "-1"}, "to"),
        ({"to": "nan"}, "to"),
        ({"order": "up"}, "order"),
    ],
)
def test_a_query_that_says_nothing_is_refused(site, query, param):
    answer = site().get("/v1/logs", params=query)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_holders_of_keys_see_their_own_and_administrators_all(site):
    client = site(env=KEYS, mode="api_key")
    ann, bob = ({"authorization": f"Bearer {name}-key"} for name in ("ann", "bob"))
    for headers in (ann, bob, ann):
        assert ask(client, headers).status_code == 200
    assert len(rows(client)) == 3
    own = client.get("/v1/logs", headers=bob).json()["data"]
    assert len(own) == 1
    other = next(row["user"] for row in rows(client) if row["user"] != own[0]["user"])
    for path in ("/v1/logs", "/v1/logs/stats/users"):
        found = client.get(path, params={"user": other}, headers=bob).json()["data"]
        assert [row["user"] for row in found] == [own[0]["user"]]
    assert client.get("/v1/logs/stats", headers=bob).json()["requests"] == 1
    assert client.get("/v1/logs").status_code == 401


def test_users_that_databricks_names_see_their_own(site):
    client = site(env={**DATABRICKS, "RETINUE_ADMINS": "root@example.com"})
    ann, bob = ({"x-forwarded-email": f"{name}@example.com"} for name in ("ann", "bob"))
    ask(client, ann)
    ask(client, bob)
    seen = client.get("/v1/logs", headers=ann).json()["data"]
    assert [row["user"] for row in seen] == ["ann@example.com"]
    chief = {"x-forwarded-email": "root@example.com"}
    assert len(client.get("/v1/logs", headers=chief).json()["data"]) == 2
    # Whom nobody names has nothing of their own.
    assert client.get("/v1/logs").status_code == 401


def test_without_a_store_there_is_no_log(site):
    client = site(store=None)
    assert ask(client).status_code == 200
    assert client.get("/v1/logs").status_code == 404
    assert "log" not in client.get("/health/ready").json()


def test_a_store_that_is_away_is_told_and_costs_no_chat(site, tmp_path):
    client = site(store=Address(url=f"postgresql://nobody@/none?host={tmp_path}"))
    assert ask(client).status_code == 200
    eventually(lambda: client.get("/health/ready").json()["log"]["state"] == "behind", 10)
    told = client.get("/health/ready")
    assert (told.status_code, told.json()["status"]) == (200, "degraded")
    assert client.get("/v1/logs").status_code == 503
    assert len(list((tmp_path / "spool").rglob("*.jsonl"))) == 1


def test_what_there_is_no_room_for_is_counted(site, tmp_path):
    client = site(store=Address(url=f"postgresql://nobody@/none?host={tmp_path}"), most=1)
    for _ in range(4):
        assert ask(client).status_code == 200
    assert client.get("/health/ready").json()["log"]["dropped"] == 4
    assert "retinue_log_dropped_total 4.0" in client.get("/metrics").text


def test_a_damaged_line_keeps_no_other_from_the_log(site, tmp_path):
    spool = tmp_path / "spool"
    client = site()
    ask(client)
    assert len(rows(client)) == 1
    (folder,) = (path for path in spool.iterdir() if path.is_dir())
    (folder / "0.jsonl").write_bytes(
        b'{"id": "log_0"}\nnonsense\n[1]\n{"id": "log_1", "status": "x\\u0000"}\n'
    )
    ask(client)
    eventually(lambda: len(rows(client)) >= 3, 10)


def test_the_project_says_whether_there_is_a_log(tmp_path):
    def settings(log):
        return log_settings([agent("a", store=Store(log=log))], tmp_path)

    assert settings(Log(requests=False)) is None
    assert settings(Log(messages=True)) == LogSettings(
        tmp_path / ".retinue" / "spool", messages=True
    )
    assert log_settings([agent("a")], tmp_path) == settings(Log())


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_is_one_row_whether_it_is_waited_for_or_not(site, stream):
    client = site(messages=True)
    body = {"model": "tester", "input": "hi", "stream": stream}
    assert client.post("/v1/responses", json=body).status_code == 200
    (row,) = rows(client)
    assert (row["endpoint"], row["finish_reason"]) == ("/v1/responses", "stop")
    assert client.post("/v1/responses", json={**body, "background": True}).status_code == 200
    eventually(lambda: len(rows(client)) == 2, 20)
    last = rows(client)[0]
    assert last["endpoint"].startswith("/v1/responses/resp_")
    assert (last["finish_reason"], last["output_tokens"]) == ("stop", 1)
