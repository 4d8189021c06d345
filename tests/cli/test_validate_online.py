"""`retinue validate --online`: what is wrong where the files lead, at the line that leads there."""

import asyncio
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from retinue.cli.online import verified
from retinue.compile import CompileContext, compile_agents
from retinue.project import Project
from retinue.run.references import environment
from run.fake_workspace import CLIENT, FakeWorkspace, workspace

MODERN = Path(__file__).parents[1] / "run" / "servers" / "modern.py"
SPACE = "01f0aaaaaaaaaaaaaaaaaaaaaaaaaaaa"
ENDPOINT = "/api/2.0/serving-endpoints/claude"
GENIE = f"/api/2.0/genie/spaces/{SPACE}"
WAREHOUSE = "/api/2.0/sql/warehouses/w1"
SECRET = "/api/2.0/secrets/get"
READY = {"state": {"ready": "READY"}, "permission_level": "CAN_QUERY"}
PLAIN = "model: databricks/claude\ninstructions: Hi.\n"


@pytest.fixture
def helper(project):
    """Write the one agent's file."""

    def write(text: str) -> None:
        (project / "agents" / "helper.yaml").write_text(text)

    return write


@pytest.fixture
def online(retinue):
    """`retinue validate --online` against a fake workspace, as an App's identity."""

    async def run(fake: FakeWorkspace | None, *words: str, **env: str):
        if fake and "--profile" not in words:
            env = {
                "DATABRICKS_HOST": fake.url,
                "DATABRICKS_CLIENT_ID": CLIENT[0],
                "DATABRICKS_CLIENT_SECRET": CLIENT[1],
                **env,
            }
        return await asyncio.to_thread(retinue, "validate", "--online", *words, **env)

    return run


def said(done: Any) -> list[str]:
    """The headlines on stderr."""
    return [line for line in done.stderr.splitlines() if line.endswith("]")]


async def test_an_agent_that_leads_where_it_should_is_fine(online, helper):
    helper(PLAIN)
    async with workspace() as fake:
        fake.answers[ENDPOINT] = 200, READY
        done = await online(fake)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ok      helper")
    assert fake.signed == [(ENDPOINT, "Bearer token-1")]


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (404, {}, "the serving endpoint 'claude' does not exist, or may not be seen"),
        (403, {}, "the serving endpoint 'claude' may not be seen or used"),
        (200, {"state": {"ready": "NOT_READY"}}, "the serving endpoint 'claude' is not ready"),
        (200, {**READY, "permission_level": "CAN_VIEW"}, "may be seen, but not queried"),
        (200, {**READY, "task": "llm/v1/embeddings"}, "makes embeddings and can't chat"),
        (503, {"message": "hunter2"}, "can't be checked: the workspace answered with status 503"),
    ],
)
async def test_an_endpoint_that_can_not_be_asked_is_told_at_its_name(
    online, helper, status, body, message
):
    helper("name: helper\n" + PLAIN)
    async with workspace() as fake:
        fake.answers[ENDPOINT] = status, body
        done = await online(fake)
    assert done.returncode == 1
    (headline,) = said(done)
    assert headline.startswith("agents/helper.yaml:2:8: ")
    assert message in headline
    assert headline.endswith("[online-model]")
    assert "  2 | model: databricks/claude\n    |        ^^^^^^^^^^^^^^^^^\n" in done.stderr
    assert "hunter2" not in done.stderr
    assert "ok " not in done.stdout


async def test_without_credentials_it_is_said_once(online, helper):
    helper(
        "model: {name: databricks/claude, fallbacks: [databricks/other]}\ninstructions: Hi.\n"
        f"mcp_servers: {{sales: {{databricks: {{genie_space: {SPACE}}}}}}}\n"
    )
    done = await online(None)
    (headline,) = said(done)
    assert done.returncode == 1
    assert headline.endswith("[online-credentials]")
    assert "databricks auth login" in headline


async def test_without_credentials_each_place_that_needs_them_is_told(online, helper, project):
    (project / "retinue.yaml").write_text("models: {analyst: databricks/claude}\n")
    helper(
        "model: {name: openai/gpt-5.4, api_key: '${secret.llm/openai}', fallbacks: [analyst]}\n"
        "instructions: Hi.\n"
    )
    done = await online(None, "helper")
    secret, fallback = said(done)
    assert secret.startswith("agents/helper.yaml:1:")
    assert "RETINUE_SECRET_LLM_OPENAI is not set in the environment, and no workspace" in secret
    assert secret.endswith("[online-secret]")
    assert "api_key: '${secret.llm/openai}', fallbacks: [analyst]}\n" in done.stderr
    assert fallback.startswith("agents/helper.yaml:1:76: no Databricks credentials were found")


async def test_a_provider_without_its_key_is_told(online, helper):
    helper("model: anthropic/claude-sonnet-4-5\ninstructions: Hi.\n")
    without = await online(None)
    assert "agents/helper.yaml:1:8: " in without.stderr
    assert "needs ANTHROPIC_API_KEY in the environment" in without.stderr
    assert (await online(None, ANTHROPIC_API_KEY="sk-x")).returncode == 0


async def test_a_genie_space_its_warehouse_and_its_tools(online, helper):
    helper(
        PLAIN + "mcp_servers:\n"
        f"  sales: {{databricks: {{genie_space: {SPACE}}}, tools: {{include: [add, 'x*']}}}}\n"
    )
    async with workspace() as fake, real_server() as url:
        fake.mcp_url = url
        fake.answers[ENDPOINT] = 200, READY
        missing = await online(fake)
        fake.answers[GENIE] = 200, {"warehouse_id": "w1"}
        asleep = await online(fake)
        fake.answers[WAREHOUSE] = 200, {"state": "STOPPED"}
        done = await online(fake)
    assert [*map(ending, said(missing))] == ["online-resource"]
    assert f"agents/helper.yaml:4:37: the Genie space '{SPACE}' does not exist" in missing.stderr
    assert "the warehouse 'w1' of its Genie space does not exist" in asleep.stderr
    (headline,) = said(done)
    assert headline.startswith("agents/helper.yaml:4:")
    assert "'x*' matches none of the server's tools [online-tools]" in headline


def ending(headline: str) -> str:
    return headline.rpartition("[")[2].rstrip("]")


class real_server:  # noqa: N801 - used as a function
    """A real MCP server over HTTP, in its own process; gives its URL."""

    async def __aenter__(self) -> str:
        from run.launching import free_port, launch

        port = free_port()
        self.process = await launch(port)
        return f"http://127.0.0.1:{port}/mcp"

    async def __aexit__(self, *_: object) -> None:
        self.process.kill()
        await self.process.wait()


async def test_servers_are_started_and_their_tools_compared(online, helper):
    helper(
        "model: offline/analyst\ninstructions: Hi.\nmcp_servers:\n"
        f"  modern:\n    command: {sys.executable}\n    args: [{MODERN}]\n"
        "    tools:\n      include: [add, slo]\n      exclude: [nothing]\n"
        "      rename: {tabel: rows}\n"
        "  gone: {url: 'http://127.0.0.1:9/mcp'}\n"
    )
    done = await online(None)
    assert done.returncode == 1
    found = {line.partition(": ")[0]: line for line in said(done)}
    assert "'slo' matches none of the server's tools" in found["agents/helper.yaml:8:22"]
    assert "warning: 'nothing' matches none" in found["agents/helper.yaml:9:17"]
    assert "'tabel' matches none" in found["agents/helper.yaml:10:23"]
    assert "[online-server]" in found["agents/helper.yaml:11:15"]
    assert "did you mean 'slow'?" in done.stderr
    assert "tool server 'gone'" not in done.stderr, "it was logged beside its diagnostic"


async def test_filters_that_leave_no_tool_are_told(online, helper):
    helper(
        "model: offline/analyst\ninstructions: Hi.\nmcp_servers:\n  modern:\n"
        f"    command: {sys.executable}\n    args: [{MODERN}]\n"
        "    tools: {include: [add], exclude: ['a*']}\n"
    )
    done = await online(None)
    assert "leave none of the server's tools [online-tools]" in done.stderr


async def test_secrets_are_read_where_the_environment_lacks_them(online, helper):
    helper(
        'model: {name: openai/x, api_key: "${secret.llm/key}"}\ninstructions: Hi.\n'
        "mcp_servers:\n"
        f"  modern: {{command: {sys.executable}, args: [{MODERN}], "
        'env: {KEY: "${secret.llm/key}"}}\n'
    )
    async with workspace() as fake:
        missing = await online(fake)
        there = await online(fake, RETINUE_SECRET_LLM_KEY="hunter2")
        fake.answers[SECRET] = 200, {"key": "key", "value": "aHVudGVyMg=="}
        done = await online(fake)
    (headline, *_) = said(missing)
    assert headline == (
        "agents/helper.yaml:1:34: the secret 'llm/key' does not exist, or may not be seen "
        "[online-secret]"
    )
    assert {*map(ending, said(missing))} == {"online-secret"}
    assert there.returncode == 0, there.stderr
    assert done.returncode == 0, done.stderr
    assert "hunter2" not in missing.stderr + done.stdout


@pytest.mark.parametrize(
    ("server", "path", "code"),
    [
        ("functions: main.tools.add", "/api/2.1/unity-catalog/functions/main.tools.add", 404),
        ("functions: main.tools", "/api/2.1/unity-catalog/schemas/main.tools", 403),
        ("vector_search: main.docs.index", "/api/2.0/vector-search/indexes/main.docs.index", 404),
        ("connection: github", "/api/2.1/unity-catalog/connections/github", 404),
        ("app: mcp-tickets", "/api/2.0/apps/mcp-tickets", 404),
    ],
)
async def test_what_managed_servers_lead_to_is_looked_up(online, helper, server, path, code):
    servers = f"mcp_servers: {{s: {{databricks: {{{server}}}}}}}"
    helper(f"model: offline/analyst\ninstructions: Hi.\n{servers}\n")
    async with workspace() as fake:
        fake.answers[path] = code, {}
        done = await online(fake)
    assert path in {asked for asked, _ in fake.signed}
    assert [*map(ending, said(done))].count("online-resource") == 1


async def test_an_apps_further_resources_are_looked_up(online, helper):
    helper(
        "model: offline/analyst\ninstructions: Hi.\ndeploy:\n  databricks_app:\n"
        "    extra_resources:\n"
        "      - {name: wh, sql_warehouse: {id: w1, permission: CAN_USE}}\n"
        "      - {name: job, job: {id: '7', permission: CAN_VIEW}}\n"
        "      - {name: s, secret: {scope: a, key: b, permission: READ}}\n"
        "      - name: t\n"
        "        uc_securable:\n"
        "          {securable_full_name: a.b.c, securable_type: TABLE, permission: SELECT}\n"
        "      - {name: e, serving_endpoint: {name: claude, permission: CAN_QUERY}}\n"
        "      - {name: g, genie_space: {name: G, space_id: '7', permission: CAN_RUN}}\n"
        "      - {name: a, app: {name: tickets}}\n"
    )
    async with workspace() as fake:
        fake.answers[WAREHOUSE] = 200, {"state": "DELETED"}
        done = await online(fake)
    found = {line.partition(":")[2].partition(":")[0]: line for line in said(done)}
    assert "the SQL warehouse 'w1' is deleted" in found["6"]
    assert "the job '7' does not exist" in found["7"]
    assert ending(found["8"]) == "online-secret"
    assert "the table 'a.b.c' does not exist" in found["11"]
    assert ending(found["12"]) == "online-model"
    assert ending(found["13"]) == "online-resource"
    assert ending(found["14"]) == "online-resource"


async def test_of_a_space_that_the_bundle_makes_the_warehouse_has_to_be_there(
    online, helper, project
):
    (project / "samples/sales").mkdir(parents=True)
    space = "{genie_space: {folder: samples/sales, warehouse: w1}}"
    helper(
        "model: offline/analyst\ninstructions: Hi.\n"
        f"mcp_servers: {{sales: {{databricks: {space}}}}}\n"
    )
    async with workspace() as fake:
        fake.answers[WAREHOUSE] = 200, {"state": "RUNNING"}
        assert said(await online(fake)) == []
        fake.answers[WAREHOUSE] = 200, {"state": "DELETED"}
        assert "the SQL warehouse 'w1' is deleted" in said(await online(fake))[0]


async def test_a_profile_goes_over_the_environment(online, helper, project):
    helper(PLAIN)
    async with workspace() as fake:
        fake.answers[ENDPOINT] = 200, READY
        (project / ".databrickscfg").write_text(f"[mine]\nhost = {fake.url}\ntoken = dapi-mine\n")
        done = await online(
            fake,
            "--profile",
            "mine",
            DATABRICKS_HOST="http://127.0.0.1:9",
            DATABRICKS_TOKEN="dapi-not-mine",
        )
    assert done.returncode == 0, done.stderr
    assert fake.signed == [(ENDPOINT, "Bearer dapi-mine")]


async def test_programs_are_told_too(online, helper):
    helper(PLAIN)
    async with workspace() as fake:
        plain, sarif, github = [
            await online(fake, "-o", form) for form in ("json", "sarif", "github")
        ]
    assert {done.returncode for done in (plain, sarif, github)} == {1}
    found = json.loads(plain.stdout)
    assert found["agents"] == []
    assert found["summary"] == {"errors": 1, "warnings": 0}
    assert found["diagnostics"][0]["code"] == "online-model"
    assert found["diagnostics"][0]["excerpt"] == "model: databricks/claude"
    (run,) = json.loads(sarif.stdout)["runs"]
    assert run["results"][0]["ruleId"] == "online-model"
    assert "title=online-model" in github.stdout


async def test_what_never_answers_holds_up_nothing_else(project, helper, monkeypatch):
    for name in ("DATABRICKS_CLIENT_ID", "DATABRICKS_CLIENT_SECRET", "DATABRICKS_CONFIG_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(project / "none"))
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-x")
    helper("model: {name: databricks/claude, fallbacks: [databricks/gone]}\ninstructions: Hi.\n")
    # It takes seconds, which belong to no answer.
    import_module("databricks.sdk")
    async with workspace() as fake:
        monkeypatch.setenv("DATABRICKS_HOST", fake.url)
        fake.hanging.add(ENDPOINT)
        compilation = compile_agents(Project.at(project), context=CompileContext(origins=True))
        found = await verified(compilation, Project.at(project), environment(), longest=3.0)
    late, gone = map(str, found["helper"])
    assert late == "agents/helper.yaml:1:15: there was no answer within 3 s [online-model]"
    assert gone.startswith("agents/helper.yaml:1:46: the serving endpoint 'gone' does not exist")


async def test_what_agents_share_is_asked_once_and_told_where_it_stands(online, helper, project):
    (project / "retinue.yaml").write_text("models:\n  main: databricks/claude\n")
    for name in ("one", "two"):
        (project / "agents" / f"{name}.yaml").write_text("model: main\ninstructions: Hi.\n")
    helper("model: offline/analyst\ninstructions: Hi.\n")
    async with workspace() as fake:
        done = await online(fake)
    assert len(fake.signed) == 1
    (headline,) = said(done)
    assert headline.startswith("retinue.yaml:2:9: ")
    assert done.stdout.startswith("ok      helper")
    assert done.stdout.count("ok ") == 1


async def test_mistakes_in_files_come_first(online, helper):
    helper("modell: databricks/claude\ninstructions: Hi.\n")
    async with workspace() as fake:
        done = await online(fake)
    assert done.returncode == 2
    assert fake.signed == []


def test_a_profile_alone_is_refused(retinue):
    done = retinue("validate", "--profile", "mine")
    assert done.returncode == 2
    assert "--profile goes with --online" in done.stderr
