"""Keys of the store over HTTP: who makes them, what each opens, and what it doesn't."""

import asyncio
import time

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import QUESTION, LoopRuntime, eventually

from retinue.agent import Auth
from retinue.serve.admission import Access
from retinue.serve.identity import Identity
from retinue.serve.keys import AccessError
from retinue.serve.limits import Limits
from retinue.serve.request_log import LogSettings
from retinue.serve.scopes import scope_for
from retinue.store.address import Address
from retinue.store.api_key import ApiKey, digest_of, id_of, new_key
from retinue.testing import ScriptedModel, agent
from retinue.values import Ref, Template

CHAT = "/v1/chat/completions"
KEYS = "/v1/admin/keys"
CHIEF = {"RETINUE_ADMIN_KEYS": "chief"}
DATABRICKS = {"DATABRICKS_APP_NAME": "sales", "DATABRICKS_APP_PORT": "8000"}


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.fixture
def site(serving, address, tmp_path):
    """`site()`: a client of a server whose agents are for holders of a key."""
    opened: list[httpx.Client] = []

    def start(env=CHIEF, store=address, names=("sales", "hr"), auth=None) -> httpx.Client:
        chosen = [agent(name, auth=auth or Auth(mode="api_key")) for name in names]
        runtime = LoopRuntime({name: ScriptedModel() for name in names}, agents=chosen)
        access = Access(chosen, env, stored=store is not None)
        log = LogSettings(tmp_path / "spool")
        opened.append(serving(runtime, access=access, store=store, log=log, compat="on").http)
        return opened[-1]

    yield start
    for client in opened:
        client.close()


def make(http: httpx.Client, **body) -> str:
    """A new key's text."""
    answer = http.post(KEYS, json={"name": f"k{time.monotonic_ns()}", **body}, headers=CHIEFS)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()["key"]


CHIEFS = bearer("chief")


def ask(http: httpx.Client, key: str, **body) -> httpx.Response:
    return http.post(CHAT, json={"messages": QUESTION, **body}, headers=bearer(key))


def code(response: httpx.Response) -> str:
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    return response.json()["error"]["code"]


def test_a_key_has_limits_of_its_own(site):
    http = site()
    few, more = (make(http, limits={"rate": f"{rate}/day"}) for rate in (2, 3))
    assert [ask(http, few).status_code for _ in range(3)] == [200, 200, 429]
    assert [ask(http, more).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert "x-ratelimit-limit-requests" not in ask(http, make(http)).headers


def test_a_key_opens_at_once_and_until_it_is_revoked(site):
    http = site()
    assert ask(http, new_key()).status_code == 401
    key = make(http, name="ci", expires_in=3600, limits={"rate": "60/minute"})
    assert ask(http, key).status_code == 200
    (told,) = http.get(KEYS, headers=CHIEFS).json()["data"]
    assert (told["name"], told["status"], told["limits"]["rate"]) == ("ci", "active", "60/minute")
    assert key not in http.get(KEYS, headers=CHIEFS).text
    gone = http.delete(f"{KEYS}/{told['id']}", headers=CHIEFS)
    assert (gone.status_code, gone.json()["status"]) == (200, "revoked")
    refused = ask(http, key)
    assert (refused.status_code, code(refused)) == (401, "invalid_api_key")
    again = http.delete(f"{KEYS}/{told['id']}", headers=CHIEFS)
    assert (again.status_code, code(again)) == (404, "key_not_found")


def test_a_key_ends_by_itself(site):
    http = site()
    key = make(http, expires_in=5)
    assert ask(http, key).status_code == 200
    eventually(lambda: ask(http, key).status_code == 401, within=30)


def test_keys_of_both_kinds_side_by_side(site):
    http = site({**CHIEF, "RETINUE_API_KEYS": "from-the-environment"})
    assert ask(http, "from-the-environment").status_code == 200
    assert ask(http, make(http)).status_code == 200


def test_it_is_taken_from_any_header_and_called_by_its_id_in_the_log(site, request):
    http = site()
    key = make(http)
    for header in ("x-api-key", "api-key", "api_token"):
        assert http.get("/v1/models", headers={header: key}).status_code == 200
    log = request.getfixturevalue("log")
    ask(http, key)
    eventually(lambda: log.records, within=30)
    line = log.records[0].getMessage()
    assert f"caller={id_of(digest_of(key.encode()))}" in line
    assert key not in log.text


def test_what_is_kept_belongs_to_the_key(site):
    http = site()
    one, two = make(http), make(http)
    made = http.post("/v1/conversations", json={}, headers=bearer(one)).json()["id"]
    assert http.get(f"/v1/conversations/{made}", headers=bearer(one)).status_code == 200
    assert http.get(f"/v1/conversations/{made}", headers=bearer(two)).status_code == 404
    # As it does for another server on the same store.
    assert site().get(f"/v1/conversations/{made}", headers=bearer(one)).status_code == 200


def test_a_key_for_one_agent_opens_no_other(site):
    http = site()
    key = make(http, agents=["hr"])
    assert ask(http, key, model="hr").status_code == 200
    assert ask(http, key, model="sales").status_code == 401
    assert [m["id"] for m in http.get("/v1/models", headers=bearer(key)).json()["data"]] == ["hr"]


def test_an_agent_with_keys_of_its_own_takes_those_that_name_it_alone(site):
    own = Auth(mode="api_key", keys=Template((Ref("env", "OWN"),)))
    http = site({**CHIEF, "OWN": "its-own"}, auth=own)
    assert ask(http, "its-own").status_code == 200
    assert ask(http, make(http)).status_code == 401
    assert ask(http, make(http, agents=["sales"])).status_code == 200


ROUTES = {
    "chat": [
        ("POST", CHAT),
        ("POST", "/v1/responses"),
        ("GET", "/api/v1/responses/resp_1"),
        ("GET", "/v1/files"),
        ("POST", "/v1/conversations"),
        ("POST", "/invocations"),
        ("POST", "/mcp"),
        ("POST", "/chat"),
        ("POST", "/chat/stream/with-files"),
    ],
    "logs": [
        ("GET", "/v1/logs"),
        ("GET", "/logs"),
        ("HEAD", "/api/v1/logs"),
        ("GET", "/metrics"),
        ("GET", "/v1/logs/stats/users"),
        ("GET", "/v1/logs/sessions/a%0Ab"),
    ],
    "admin": [("POST", "/v1/admin/drain?draining=false"), ("GET", KEYS), ("DELETE", f"{KEYS}/x")],
}
ANY = [("GET", "/v1/models"), ("GET", "/agent/info"), ("GET", "/status"), ("GET", "/health")]


@pytest.mark.parametrize("scope", ROUTES)
def test_a_key_is_for_its_scopes_alone(site, scope):
    http = site()
    key = make(http, scopes=[scope])
    may = {"chat": {"chat"}, "logs": {"logs"}, "admin": {"chat", "logs", "admin"}}[scope]
    for needed, routes in ROUTES.items():
        for method, path in routes:
            answer = http.request(method, path, headers=bearer(key))
            assert (answer.status_code == 403) == (needed not in may), (method, path)
            assert answer.status_code != 401, (method, path)
            if needed not in may and method != "HEAD":
                assert code(answer) == "permission_denied"
                assert f"'{needed}'" in answer.json()["error"]["message"]
    for method, path in ANY:
        assert http.request(method, path, headers=bearer(key)).status_code == 200


@given(st.text())
def test_what_is_no_route_of_ours_takes_the_scope_of_running_agents(path):
    assert scope_for(f"/v1/x{path}") == "chat"
    for prefix in ("", "/v1", "/api/v1"):
        assert scope_for(f"{prefix}/logs/{path}") == "logs"
        assert scope_for(f"{prefix}/admin/{path}") == "admin"


def test_a_key_for_the_log_reads_all_of_it(site):
    http = site()
    one, two = make(http), make(http, scopes=["chat", "logs"])
    for key in (one, two):
        assert ask(http, key).status_code == 200
    rows = http.get("/v1/logs", headers=bearer(two)).json()["data"]
    owners = {id_of(digest_of(key.encode())) for key in (one, two)}
    assert {row["user"] for row in rows} == owners


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_only_administrators_see_or_make_keys(site, method):
    http = site({**CHIEF, "RETINUE_API_KEYS": "plain"})
    body = {"name": "mine", "scopes": ["admin"]}
    for headers, status in (({}, 401), (bearer("plain"), 403), (bearer(make(http)), 403)):
        assert http.request(method, KEYS, json=body, headers=headers).status_code == status
    other = {**CHIEFS, "sec-fetch-site": "cross-site"}
    assert code(http.request(method, KEYS, json=body, headers=other)) == "cross_site"
    admin = make(http, scopes=["admin"])
    assert http.request(method, KEYS, json=body, headers=bearer(admin)).status_code == 200


def test_a_wrong_body_makes_no_key(site):
    http = site()
    for body, param in (({}, "name"), ({"name": "ci", "agents": ["nobody"]}, "agents[0]")):
        refused = http.post(KEYS, json=body, headers=CHIEFS)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
    large = http.post(KEYS, json={"name": "x" * 70_000}, headers=CHIEFS)
    assert large.status_code == 413
    make(http, name="ci")
    taken = http.post(KEYS, json={"name": "ci"}, headers=CHIEFS)
    assert (taken.status_code, code(taken)) == (409, "key_name_taken")
    assert len(http.get(KEYS, headers=CHIEFS).json()["data"]) == 1


def test_keys_are_listed_in_pages(site):
    http = site()
    for name in ("one", "two", "three"):
        make(http, name=name)
    first = http.get(KEYS, params={"limit": 2}, headers=CHIEFS).json()
    rest = http.get(KEYS, params={"limit": 2, "after": first["last_id"]}, headers=CHIEFS).json()
    assert [key["name"] for key in first["data"] + rest["data"]] == ["three", "two", "one"]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert http.get(KEYS, params={"limit": 0}, headers=CHIEFS).status_code == 400


def test_without_a_store_there_are_none_and_it_is_told(serving):
    chosen = agent("tester", auth=Auth(mode="api_key"))
    runtime = LoopRuntime(ScriptedModel(), agents=[chosen])
    access = Access([chosen], {**CHIEF, "RETINUE_API_KEYS": "plain"})
    with serving(runtime, access=access).http as http:
        refused = http.get(KEYS, headers=CHIEFS)
        assert refused.status_code == 400
        assert "needs a store" in refused.json()["error"]["message"]
        assert ask(http, new_key()).status_code == 401


class TestAccess:
    def test_a_store_will_do_instead_of_the_variable(self):
        access = Access([agent("a", auth=Auth(mode="api_key"))], {}, stored=True)
        assert (access.takes_stored, access.needs_stored, access.shut) == (True, True, True)
        access.refuse_open()
        keyed = Access(
            [agent("a", auth=Auth(mode="api_key"))], {"RETINUE_API_KEYS": "k"}, stored=True
        )
        assert (keyed.takes_stored, keyed.needs_stored) == (True, False)
        assert not Access([agent("a")], {}, stored=True).takes_stored

    def test_where_there_is_neither_nothing_starts(self):
        with pytest.raises(AccessError, match=r"RETINUE_API_KEYS is not set.*retinue keys create"):
            Access([agent("a", auth=Auth(mode="api_key"))], {})

    def test_an_agents_own_keys_have_to_be_there_also_with_a_store(self):
        own = Auth(mode="api_key", keys=Template((Ref("env", "OWN"),)))
        with pytest.raises(AccessError, match="OWN"):
            Access([agent("a", auth=own)], {}, stored=True)

    def test_the_limits_of_a_key_are_in_its_identity(self):
        text = new_key().encode()
        digest = digest_of(text)
        key = ApiKey(
            id=id_of(digest),
            digest=digest.hex(),
            name="ci",
            scopes=frozenset(["chat"]),
            created_at=0.0,
            usd="5.00/day",
        )
        access = Access([agent("a", auth=Auth(mode="api_key"))], DATABRICKS, stored=True)
        headers = [(b"x-api-key", text), (b"x-forwarded-user", b"ada")]
        assert access.identify(headers, {digest: key}.get) == Identity(
            user_id="ada",
            key=key.id,
            scopes=key.scopes,
            limits=Limits(usd="5.00/day"),
        )


TEXT = new_key().encode()
DIGEST = digest_of(TEXT)
STORED = ApiKey(
    id=id_of(DIGEST),
    digest=DIGEST.hex(),
    name="ci",
    scopes=frozenset(["chat"]),
    created_at=0.0,
)
NAMES = st.sampled_from([b"authorization", b"x-api-key", b"api_token", b"cookie"]) | st.binary()
VALUES = st.sampled_from([TEXT, b"Bearer " + TEXT, b"bearer  " + TEXT + b" "]) | st.binary()


@given(st.lists(st.tuples(NAMES, VALUES), max_size=12))
def test_whatever_comes_only_the_key_itself_opens(headers):
    access = Access([agent("a", auth=Auth(mode="api_key"))], {}, stored=True)
    found = access.identify(headers, {DIGEST: STORED}.get)
    brought = [value for name, value in headers if name != b"cookie" and TEXT in value]
    assert found.key in (None, STORED.id)
    assert brought or found.key is None
    assert bool(found.closed) == (found.key is None)


def test_while_the_database_is_away_known_keys_go_on_and_others_are_asked_to_wait(
    serving, postgres
):
    chosen = agent("tester", auth=Auth(mode="api_key"))
    runtime = LoopRuntime(ScriptedModel(), agents=[chosen])
    access = Access([chosen], CHIEF, stored=True)
    store = Address(url=postgres.new_database())
    with serving(runtime, access=access, store=store).http as http:
        key = make(http)
        assert ask(http, key).status_code == 200
        postgres.crash()
        try:
            for _ in range(20):
                assert ask(http, key).status_code == 200
            away = ask(http, new_key())
            assert (away.status_code, code(away)) == (503, "store_unavailable")
            assert int(away.headers["retry-after"]) >= 1
            live = http.get("/health/live", headers=bearer(new_key()))
            assert live.status_code == 200
        finally:
            postgres.start()
        eventually(lambda: ask(http, new_key()).status_code == 401, within=60)


async def test_many_guesses_at_once_keep_nobody_else_waiting(serving, address):
    chosen = agent("tester", auth=Auth(mode="api_key"))
    runtime = LoopRuntime(ScriptedModel(), agents=[chosen])
    server = serving(runtime, access=Access([chosen], CHIEF, stored=True), store=address)
    with server.http as http:
        key = await asyncio.to_thread(make, http)
    async with server.async_http as http:
        body = {"messages": QUESTION}
        guesses = [http.post(CHAT, json=body, headers=bearer(new_key())) for _ in range(60)]
        right = [http.post(CHAT, json=body, headers=bearer(key)) for _ in range(20)]
        answers = await asyncio.gather(*guesses, *right)
    assert [one.status_code for one in answers] == [401] * 60 + [200] * 20
