"""Who may call: keys, the workspace's users, anyone; over real HTTP."""

import json
import socket
from dataclasses import replace

import httpx
import pytest
from serving import QUESTION, LoopRuntime, eventually

from retinue.agent import Auth
from retinue.errors import RequestError
from retinue.run.prompt import Caller
from retinue.serve.admission import Access, behind_databricks
from retinue.serve.app import OPEN_PATHS
from retinue.serve.identity import Identity
from retinue.serve.keys import AccessError
from retinue.testing import ScriptedModel, agent
from retinue.values import Ref, Template

CHAT = "/v1/chat/completions"
BODY = {"messages": QUESTION}
DATABRICKS = {"DATABRICKS_APP_NAME": "sales", "DATABRICKS_APP_PORT": "8000"}
KEYS = {"RETINUE_API_KEYS": "key-one, key-two"}
USER = {
    "x-forwarded-user": "4711@1234",
    "x-forwarded-email": "ada@example.com",
    "x-forwarded-preferred-username": "Ada Lovelace",
    "x-forwarded-access-token": "eyJ-the-token",
}


def agents(**modes):
    return [agent(name, auth=mode and Auth(mode=mode)) for name, mode in modes.items()]


@pytest.fixture
def guarded(serving):
    """`guarded(env, sales="api_key")`: a runtime and a client of its server."""
    opened = []

    def start(env=KEYS, **modes) -> tuple[LoopRuntime, httpx.Client]:
        chosen = agents(**modes)
        runtime = LoopRuntime({a.name: ScriptedModel() for a in chosen}, agents=chosen)
        opened.append(serving(runtime, access=Access(chosen, env)).http)
        return runtime, opened[-1]

    yield start
    for client in opened:
        client.close()


def is_refused(response: httpx.Response) -> bool:
    if response.status_code != 401:
        return False
    assert response.json()["error"]["code"] == "invalid_api_key"
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["x-request-id"]
    return True


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("authorization", "Bearer key-two"),
        ("authorization", "bearer key-two"),
        ("api-key", "key-two"),
        ("x-api-key", "key-two"),
        ("api-token", "key-two"),
        ("api_token", "key-two"),
        ("API-Key", "key-two"),
    ],
)
def test_a_key_is_taken_from_any_of_the_headers(guarded, name, value):
    _, http = guarded(sales="api_key")
    assert http.post(CHAT, json=BODY, headers={name: value}).status_code == 200


def test_one_right_key_is_enough(guarded):
    _, http = guarded(sales="api_key")
    both = {"authorization": "Bearer of-a-proxy", "x-api-key": "key-one"}
    assert http.post(CHAT, json=BODY, headers=both).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Bearer"},
        {"authorization": "key-one"},
        {"authorization": "Basic key-one"},
        {"authorization": "Bearer key-one, key-two"},
        {"x-api-key": "key-on"},
        {"x-api-key": ""},
        {"authorization": "Bearer kéy-one".encode()},
        {"x-api-key": b"\xff\xfe\x80"},
        {"x-api-key": "k" * 20_000},
        {"cookie": "api-key=key-one"},
        dict(USER),
    ],
    ids=lambda headers: repr(headers)[:40],
)
def test_anything_else_is_refused(guarded, headers):
    runtime, http = guarded(sales="api_key")
    assert is_refused(http.post(CHAT, json=BODY, headers=headers))
    assert is_refused(http.post(f"{CHAT}?api-key=key-one", json=BODY, headers=headers))
    assert not runtime.callers


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("GET", CHAT, {}),
        ("POST", "/nowhere", {}),
        ("OPTIONS", CHAT, {}),
        ("HEAD", "/v1/models", {}),
        ("POST", "/health", {}),
        ("GET", "/", {}),
        ("GET", "/v1/models/nobody", {}),
        ("GET", "/agent/info", {}),
        ("GET", "/v1/agents", {}),
        ("POST", CHAT, {"content": b"{"}),
        ("POST", CHAT, {"content": b"x" * 2000, "headers": {"content-type": "text/plain"}}),
    ],
)
def test_the_key_is_asked_for_before_anything_else(guarded, method, path, options):
    _, http = guarded(sales="api_key")
    response = http.request(method, path, **options)
    assert response.status_code == 401


def test_health_and_the_docs_stay_open_and_tell_nothing(guarded):
    # A name that no example has.
    _, http = guarded(payroll="api_key")
    for path in sorted(OPEN_PATHS):
        answer = http.get(path)
        assert answer.status_code == 200, path
        assert "payroll" not in answer.text, path
    assert http.get("/health", headers={"x-api-key": "key-one"}).json()["agents"] == {"payroll": {}}


def test_a_key_never_reaches_the_log(guarded, request):
    _, http = guarded(sales="api_key")
    log = request.getfixturevalue("log")  # a server that starts sets up the logs anew
    http.post(CHAT, json=BODY, headers={"x-api-key": "key-one"})
    http.post(CHAT, json=BODY, headers={"x-api-key": "wrong-one"})
    eventually(lambda: len(log.records) == 2, 30)
    one, two = (record.getMessage() for record in log.records)
    assert "caller=key_" in one
    assert "status=401" in two
    assert "error=invalid_api_key" in two
    assert "key-one" not in one
    assert "wrong-one" not in two


def test_each_agent_has_its_own_mode(guarded):
    runtime, http = guarded(KEYS, free="none", sales="api_key")

    def ask(model, **headers):
        return http.post(CHAT, json={**BODY, "model": model}, headers=headers)

    assert ask("free").status_code == 200
    # The official clients can't be had without a key.
    assert ask("free", authorization="Bearer none").status_code == 200
    assert is_refused(ask("sales"))
    assert is_refused(ask("apps/sales", authorization="Bearer none"))
    assert ask("sales", authorization="Bearer key-one").status_code == 200
    assert len(runtime.callers) == 3
    assert [m["id"] for m in http.get("/v1/models").json()["data"]] == ["free"]
    assert [a["id"] for a in http.get("/v1/agents").json()["data"]] == ["free"]
    assert is_refused(http.get("/v1/models/sales"))
    assert "sales" not in ask("nobody").text
    assert "sales" not in http.get("/health").text + http.get("/").text
    known = http.get("/v1/models", headers={"x-api-key": "key-one"}).json()["data"]
    assert [m["id"] for m in known] == ["free", "sales"]


def test_a_default_agent_that_needs_a_key_is_not_replaced_by_another(guarded):
    _, http = guarded(KEYS, sales="api_key", free="none")
    assert is_refused(http.post(CHAT, json=BODY))
    assert is_refused(http.get("/agent/info"))


def test_agents_may_have_keys_of_their_own():
    def closed(key: bytes) -> frozenset[str]:
        return access.identify([(b"x-api-key", key)]).closed

    own = Auth(mode="api_key", keys=Template((Ref("secret", "retinue/a"),)))
    env = {**KEYS, "RETINUE_SECRET_RETINUE_A": "key-a,key-both", "RETINUE_API_KEYS": "key-both"}
    access = Access([agent("a", auth=own), *agents(b="api_key", c="none")], env)
    assert closed(b"key-a") == {"b"}
    assert closed(b"key-both") == frozenset()
    assert closed(b"wrong") == {"a", "b"}
    assert not access.shut


@pytest.mark.parametrize("env", [{}, {"RETINUE_API_KEYS": " , "}])
def test_an_agent_for_keys_does_not_start_without_any(env):
    with pytest.raises(AccessError, match="RETINUE_API_KEYS"):
        Access(agents(sales="api_key"), env)


def test_the_databricks_proxy_says_who_calls(guarded):
    runtime, http = guarded(DATABRICKS, sales=None)
    assert http.post(CHAT, json=BODY, headers=USER).status_code == 200
    (caller,) = runtime.callers
    assert caller.session
    assert replace(caller, session=None, owner="") == Caller(
        user_id="4711@1234",
        user_name="Ada Lovelace",
        user_email="ada@example.com",
        token="eyJ-the-token",
        principal="user:4711@1234",
    )
    twice = [*USER.items(), ("x-forwarded-user", "root")]
    answer = http.post(CHAT, json=BODY, headers=twice)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "ambiguous_identity")
    # A probe from within the app's own container.
    assert http.post(CHAT, json=BODY).status_code == 200
    nobody = runtime.callers[1]
    assert nobody.principal.startswith("session:auto-")
    assert replace(nobody, principal="") == Caller()


def test_a_missing_key_is_told_before_a_header_that_came_twice(guarded):
    _, http = guarded({**KEYS, **DATABRICKS}, sales="api_key")
    twice = [("x-forwarded-user", "ada"), ("x-forwarded-user", "bob")]
    assert is_refused(http.post(CHAT, json=BODY, headers=twice))
    answer = http.post(CHAT, json=BODY, headers=[*twice, ("x-api-key", "key-one")])
    assert answer.json()["error"]["code"] == "ambiguous_identity"


@pytest.mark.parametrize("env", [{}, {"DATABRICKS_APP_NAME": "x"}, {"DATABRICKS_APP_PORT": "1"}])
@pytest.mark.parametrize("mode", ["databricks", "none", None])
def test_elsewhere_its_headers_are_anyones_and_not_believed(guarded, env, mode):
    assert not behind_databricks(env)
    runtime, http = guarded(env, sales=mode)
    assert http.post(CHAT, json=BODY, headers=USER).status_code == 200
    (caller,) = runtime.callers
    assert caller.principal.startswith("session:auto-")
    assert replace(caller, principal="") == Caller()


def test_the_forwarded_token_is_in_the_identity_and_in_no_text(guarded, request):
    found = Access(agents(sales=None), DATABRICKS).identify(
        [(name.encode(), value.encode()) for name, value in USER.items()]
    )
    assert found.access_token == "eyJ-the-token"
    assert "eyJ" not in f"{found!r} {found}"
    _, http = guarded(DATABRICKS, sales=None)
    log = request.getfixturevalue("log")
    http.post(CHAT, json=BODY, headers=USER)
    eventually(lambda: bool(log.records), 30)
    assert "caller=4711@1234" in log.text
    assert "eyJ" not in log.text


def test_an_odd_name_of_a_user_breaks_no_log_line():
    found = Access(agents(sales=None), DATABRICKS).identify(
        [(b"x-forwarded-user", b"\xc3\xa9\xff")]
    )
    assert found == Identity(user_id="é\ufffd")
    with pytest.raises(RequestError):
        Access(agents(sales=None), DATABRICKS).identify([(b"x-forwarded-user", b"a")] * 2)


@pytest.mark.parametrize(
    ("env", "modes", "refused"),
    [
        ({}, {"a": None}, "a"),
        ({}, {"a": "none"}, "a"),
        ({}, {"a": "databricks"}, "a"),
        (KEYS, {"a": "api_key", "b": "none"}, "b"),
        (KEYS, {"a": "api_key"}, None),
        (DATABRICKS, {"a": "none", "b": None}, None),
    ],
)
def test_unchecked_callers_from_elsewhere_are_not_let_in(env, modes, refused):
    access = Access(agents(**modes), env)
    if refused is None:
        access.refuse_open()
        return
    with pytest.raises(AccessError, match=f"who calls {refused}: write"):
        access.refuse_open()


def test_a_refused_caller_with_a_large_body_is_told_at_once(guarded):
    _, http = guarded(sales="api_key")
    with socket.create_connection((http.base_url.host, http.base_url.port), timeout=5) as raw:
        raw.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n")
        raw.sendall(b"content-length: 10000000\r\ncontent-type: application/json\r\n\r\n{")
        head, _, body = raw.recv(65536).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 401")
    assert json.loads(body)["error"]["code"] == "invalid_api_key"
