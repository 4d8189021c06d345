"""Servers of a workspace: where each kind is, and who gets to see its token."""

from pathlib import Path

import pytest

from retinue.agent import Databricks, DatabricksKind, ToolServer
from retinue.errors import ToolError
from retinue.run.mcp import Connection
from retinue.run.references import environment
from retinue.values import Ref, Template
from run.fake_workspace import opened
from run.managed_servers import ManagedServers

APP = "Bearer dapi-of-the-app"


def server(kind: DatabricksKind, target: str | Template = "") -> ToolServer:
    return ToolServer(name="s", transport=Databricks(kind=kind, target=target), timeout=5)


@pytest.fixture(autouse=True)
def logged_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """By a token; the workspace is the test's."""
    monkeypatch.delenv("DATABRICKS_CONFIG_PROFILE", raising=False)
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-of-the-app")
    monkeypatch.setenv("PATH", str(tmp_path))
    return monkeypatch


async def outcome(wanted: ToolServer, fake: ManagedServers) -> str | None:
    """The problem with the server, which was called where there is none."""
    lookup = environment({"DATABRICKS_HOST": fake.url, "EMPTY": "..", "TOOLS": "main.tools"})
    connection = Connection(wanted, lookup)
    try:
        await connection.start()
        if connection.state == "up":
            await connection.call("who", {})
        return connection.problem
    finally:
        await connection.aclose()


KINDS: dict[tuple[DatabricksKind, str], str] = {
    ("genie_space", "01f0/x"): "/api/2.0/mcp/genie/01f0%2Fx",
    ("genie", ""): "/api/2.0/mcp/genie",
    ("sql", ""): "/api/2.0/mcp/sql",
    ("functions", "main.tools"): "/api/2.0/mcp/functions/main/tools",
    ("functions", "system.ai.python_exec"): "/api/2.0/mcp/functions/system/ai/python_exec",
    ("vector_search", "main.docs.a b"): "/api/2.0/mcp/ai-search/main/docs/a%20b",
    ("connection", "github"): "/api/2.0/mcp/external/github",
}


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_has_its_path(kind: tuple[DatabricksKind, str]) -> None:
    async with opened(ManagedServers()) as fake:
        assert await outcome(server(*kind), fake) is None
    assert {(path, who) for path, who, _ in fake.seen} == {(KINDS[kind], APP)}
    assert fake.calls() == [APP]


async def test_an_index_is_found_by_the_older_name_too() -> None:
    new, old = "/api/2.0/mcp/ai-search/main/docs", "/api/2.0/mcp/vector-search/main/docs"
    async with opened(ManagedServers()) as fake:
        fake.missing.add(new)
        assert await outcome(server("vector_search", "main.docs"), fake) is None
    assert {who for _, who, _ in fake.seen} == {APP}
    paths = [path for path, _, _ in fake.seen]
    assert (paths.count(new), set(paths)) == (1, {new, old})


async def test_an_app_is_where_the_workspace_says() -> None:
    async with opened(ManagedServers()) as fake, opened(ManagedServers()) as app:
        fake.answers["/api/2.0/apps/mcp-tickets"] = 200, {"url": f"{app.url}/"}
        assert await outcome(server("app", "mcp-tickets"), fake) is None
    assert ("/api/2.0/apps/mcp-tickets", APP) in fake.signed
    assert {(path, who) for path, who, _ in app.seen} == {("/mcp", APP)}


APPS = {
    (403, ""): "asked where the app is, answered 403",
    (200, ""): "no address for its app",
    (200, "http://mcp-tickets.aws.databricksapps.com"): "not Databricks' own",
    (200, "https://databricksapps.com.example.com"): "not Databricks' own",
    (200, "https://example.com/.databricksapps.com"): "not Databricks' own",
    (200, "https://a.databricksapps.com@example.com"): "not Databricks' own",
}


@pytest.mark.parametrize(("status", "url"), APPS)
async def test_an_app_elsewhere_is_not_trusted(status: int, url: str) -> None:
    async with opened(ManagedServers()) as fake:
        fake.answers["/api/2.0/apps/x"] = status, {"url": url}
        problem = await outcome(server("app", "x"), fake)
    assert APPS[status, url] in (problem or "")


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        ("functions", Template((Ref("env", "EMPTY"),))),
        ("functions", Template((Ref("env", "TOOLS"), ".a.b"))),
        ("vector_search", "main"),
        ("connection", Template((Ref("env", "EMPTY"),))),
        ("genie_space", "."),
    ],
)
async def test_a_name_that_leads_elsewhere_is_refused(
    kind: DatabricksKind, target: str | Template
) -> None:
    async with opened(ManagedServers()) as fake:
        problem = await outcome(server(kind, target), fake)
    assert f"the value of its {kind} is not" in (problem or "")
    assert fake.seen == []


async def test_a_token_that_was_revoked_costs_no_call(logged_in: pytest.MonkeyPatch) -> None:
    async with opened(ManagedServers()) as fake:
        connection = Connection(server("sql"), environment({"DATABRICKS_HOST": fake.url}))
        try:
            await connection.start()
            assert (await connection.call("who", {})).text == f"you are {APP[7:][::-1]}"
            fake.refusals[APP] = 401
            logged_in.setenv("DATABRICKS_TOKEN", "dapi-the-next")
            assert (await connection.call("who", {})).text == f"you are {'dapi-the-next'[::-1]}"
            # The next is refused too: nothing is left to try.
            fake.refusals["Bearer dapi-the-next"] = 401
            with pytest.raises(ToolError, match="not authorised"):
                await connection.call("who", {})
        finally:
            await connection.aclose()
    assert len(fake.seen) < 40
