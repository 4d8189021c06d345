"""Logging in to Lakebase: tokens that rotate, and a database that takes only the newest."""

import asyncio
import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from psycopg.conninfo import conninfo_to_dict

from retinue.errors import StoreDownError
from retinue.store.address import Lake
from retinue.store.lakebase import Lakebase, Login, Tokens, ask_workspace, surroundings

ENDPOINT = "projects/p/branches/b/endpoints/e"


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Workspace:
    """Gives out numbered tokens, each good for 100 seconds; or fails, or hangs."""

    def __init__(self):
        self.asked = 0
        self.fails = False
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self):
        self.asked += 1
        self.gate.wait(10)
        if self.fails:
            raise RuntimeError("token=geheim")
        return Login("db", "me", f"token-{self.asked}", 100.0)


@pytest.fixture
def clock():
    return Clock()


async def settled(tokens):
    await asyncio.wait({tokens._flight}, timeout=10)


async def test_one_request_for_all_who_wait():
    workspace = Workspace()
    tokens = Tokens(workspace)
    logins = await asyncio.gather(*(tokens.login() for _ in range(20)))
    assert {login.token for login in logins} == {"token-1"}
    assert workspace.asked == 1


async def test_it_is_renewed_ahead_of_its_expiry_while_the_old_one_serves(clock):
    workspace = Workspace()
    tokens = Tokens(workspace, clock)
    await tokens.login()
    clock.now = 79
    assert (await tokens.login()).token == "token-1"
    clock.now = 81
    assert (await tokens.login()).token == "token-1"
    await settled(tokens)
    assert (await tokens.login()).token == "token-2"
    assert workspace.asked == 2


async def test_a_workspace_that_is_away_costs_nothing_while_the_old_one_is_good(clock):
    workspace = Workspace()
    tokens = Tokens(workspace, clock)
    await tokens.login()
    workspace.fails, clock.now = True, 81
    assert (await tokens.login()).token == "token-1"
    await settled(tokens)
    clock.now = 96
    with pytest.raises(StoreDownError) as down:
        await tokens.login()
    assert "geheim" not in str(down.value)
    workspace.fails, clock.now = False, 120
    assert (await tokens.login()).token == "token-4"


def test_a_login_does_not_show_its_token():
    assert "geheim" not in repr(Login("db", "me", "geheim", 1.0))


async def test_a_token_that_rotates_is_never_noticed(postgres):
    """The server takes the newest password alone, and asks for it at each login."""
    name = conninfo_to_dict(postgres.new_database())["dbname"]
    postgres.run(f"CREATE ROLE lake_{name} LOGIN PASSWORD 'none'")
    rules = postgres.folder / "pg_hba.conf"
    old = rules.read_text()
    rules.write_text(f"local {name} lake_{name} scram-sha-256\n{old}")
    postgres.reload()
    where = conninfo_to_dict(postgres.uri)["host"]
    count = 0

    def rotate():
        nonlocal count
        count += 1
        postgres.run(f"ALTER ROLE lake_{name} PASSWORD 'token-{count}'")
        return Login(where, f"lake_{name}", f"token-{count}", 0.2)

    lakebase = Lakebase(Lake("agents", name), Tokens(rotate), sslmode="prefer")
    try:
        for _ in range(4):
            connection = await lakebase.connect()
            assert (await (await connection.execute("SELECT 1")).fetchone()) == (1,)
            await connection.close()
            # The server knows one password, so the one before is never good for long.
            await asyncio.sleep(0.3)
    finally:
        rules.write_text(old)
        postgres.reload()
    assert count == 4


ANSWERS = {
    "/api/2.0/preview/scim/v2/Me": {"userName": "app@example.com"},
    "/api/2.0/database/instances/agents": {"name": "agents", "read_write_dns": "db.example.com"},
    "/api/2.0/database/credentials": {"token": "t-1", "expiration_time": "{later}"},
    f"/api/2.0/postgres/{ENDPOINT}": {"status": {"hosts": {"host": "pg.example.com"}}},
    "/api/2.0/postgres/credentials": {"token": "t-2", "expire_time": "{later}"},
}


@pytest.fixture
def workspace():
    """A workspace that gives out logins; what it was asked."""
    asked = []
    later = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            size = int(self.headers.get("content-length") or 0)
            asked.append((self.path, self.rfile.read(size).decode()))
            known = ANSWERS.get(self.path)
            body = json.dumps(known or {}).replace("{later}", later).encode()
            self.send_response(200 if known else 404)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the server calls it so

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("name", "host", "token"),
    [("agents", "db.example.com", "t-1"), (ENDPOINT, "pg.example.com", "t-2")],
)
def test_the_workspace_is_asked_for_a_login(workspace, monkeypatch, name, host, token):
    url, asked = workspace
    monkeypatch.setenv("DATABRICKS_HOST", url)
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-x")
    login = ask_workspace(Lake(name, "databricks_postgres"), {})
    assert (login.host, login.user, login.token) == (host, "app@example.com", token)
    assert 3500 < login.life <= 3600
    within = {"PGHOST": "near.example.com", "PGUSER": "sp", "PGPORT": "6432"}
    asked.clear()
    login = ask_workspace(Lake(name, "databricks_postgres"), within)
    assert (login.host, login.user, login.port) == ("near.example.com", "sp", 6432)
    assert [path for path, _ in asked if not path.endswith(("credentials", "config"))] == []
    assert any(name in body for _, body in asked)


def test_the_database_that_the_bundle_made_is_asked_for_where_the_app_was_told_of_another(
    workspace, monkeypatch
):
    url, asked = workspace
    monkeypatch.setenv("DATABRICKS_HOST", url)
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-x")
    lake = Lake(ENDPOINT, "retinue", made=True)
    told = {"PGHOST": "near.example.com", "PGUSER": "sp", "PGDATABASE": "retinue"}
    assert ask_workspace(lake, surroundings(lake, told)).host == "near.example.com"
    assert f"/api/2.0/postgres/{ENDPOINT}" not in [path for path, _ in asked]
    other = surroundings(lake, told | {"PGDATABASE": "sales"})
    assert ask_workspace(lake, other).host == "pg.example.com"
    mine = Lake(ENDPOINT, "databricks_postgres")
    assert surroundings(mine, told) == told
