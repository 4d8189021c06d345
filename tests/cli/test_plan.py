"""`retinue plan`: what a deployment would change, compared with what is in the workspace."""

import asyncio
import json
import os
import shutil
from pathlib import Path

import pytest

from cli.shipping import BUNDLE, Machine, machine

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the stand-in CLI is a script")

AGENT = """
model: {name: databricks/small, settings: {temperature: 0.2}}
instructions: |
  Be brief.
  Be kind.
mcp_servers:
  sales: {databricks: {genie_space: "${var.space}"}}
limits: {max_turns: 7}
deploy:
  databricks_app:
    permissions: [{group: analysts, level: CAN_USE}]
"""
DOCUMENT = {"data_sources": {"tables": [{"identifier": "main.sales.orders-eu"}]}}


@pytest.fixture
def project(project: Path) -> Path:
    (project / "agents" / "helper.yaml").write_text(AGENT)
    return project


async def shipped(project: Path, at: Machine, *words: str, **env: str) -> str:
    """Deploy as the Databricks CLI does."""
    tool = shutil.which("databricks", path=at.env["PATH"])
    process = await asyncio.create_subprocess_exec(
        tool, "bundle", "deploy", "-t", "dev", *words, cwd=project,
        env={**at.env, "HOME": str(project), **env}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


async def plan(retinue, at: Machine, *words: str, **env: str):
    return await asyncio.to_thread(retinue, "plan", "-t", "dev", *words, **{**at.env, **env})


async def changes(retinue, at: Machine, *words: str) -> dict[str, dict]:
    """By the agent's name: its status, and each change's place with both values."""
    done = await plan(retinue, at, "-o", "json", *words)
    assert done.returncode == 0, done.stderr
    return {
        app["agent"]: {
            **app,
            "changes": {".".join(c["path"]): (c["before"], c["after"]) for c in app["changes"]},
        }
        for app in json.loads(done.stdout)["apps"]
    }


async def test_without_a_login_everything_is_new_and_that_is_said(project, retinue):
    (project / "databricks.yml").write_text(BUNDLE)
    done = await asyncio.to_thread(retinue, "plan", "--exit-code")
    assert done.returncode == 3
    assert "everything is shown as new: no Databricks credentials" in done.stderr
    assert "Plan for dev compared with nothing" in done.stdout
    assert "create    helper  (app helper-dev, 2 of 20 resources)" in done.stdout
    assert "  +   Be brief.\n" in done.stdout
    assert not (project / "bundles").exists()


async def test_a_profile_that_gives_no_login_fails(project, retinue):
    (project / "databricks.yml").write_text(BUNDLE)
    done = await asyncio.to_thread(retinue, "plan", "--profile", "nobody")
    assert (done.returncode, "log in with" in done.stderr) == (1, True)


async def test_what_is_deployed_is_unchanged(project, retinue):
    async with machine(project) as at:
        assert (await changes(retinue, at))["helper"]["status"] == "new"
        await shipped(project, at)
        done = await plan(retinue, at, "--exit-code")
        assert (done.returncode, done.stderr) == (0, "")
        assert "unchanged helper  (app helper-dev, 2 of 20 resources)" in done.stdout
        assert "0 to create, 0 to change, 0 to delete, 1 unchanged." in done.stdout


async def test_each_change_is_told_with_what_it_was(project, retinue):
    async with machine(project) as at:
        await shipped(project, at)
        text = AGENT.replace("0.2", "0.5").replace("max_turns: 7", "max_turns: 9")
        text = text.replace("Be kind.", "Be exact.").replace("analysts", "everyone")
        text = text.replace(
            "  sales: {", "  tickets: {url: https://t.example/mcp}\n  sales: {auth: user, "
        )
        (project / "agents" / "helper.yaml").write_text(text)
        helper = (await changes(retinue, at))["helper"]
        assert helper["status"] == "changed"
        own = "agents.helper"
        assert helper["changes"] == {
            f"{own}.instructions.text": ("Be brief.\nBe kind.\n", "Be brief.\nBe exact.\n"),
            f"{own}.limits.max_turns": (7, 9),
            f"{own}.mcp_servers.sales.auth": ("app", "user"),
            f"{own}.mcp_servers.tickets": (
                None,
                helper["changes"][f"{own}.mcp_servers.tickets"][1],
            ),
            f"{own}.model.settings.temperature": (0.2, 0.5),
            "app.grants.group analysts": ("CAN_USE", None),
            "app.grants.group everyone": (None, "CAN_USE"),
            "app.scopes": ([], ["genie"]),
        }
        done = await plan(retinue, at, "--exit-code")
        assert done.returncode == 3
        for line in (
            "  ~ limits.max_turns: 7 -> 9",
            "  ~ prompt:",
            "  -   Be kind.\n  +   Be exact.",
            "  ~ scopes: +genie",
            "  - grants.group analysts: CAN_USE",
        ):
            assert line in done.stdout


async def test_another_space_for_the_same_variable_is_seen(project, retinue):
    async with machine(project) as at:
        await shipped(project, at)
        other = "01ef" + "f" * 28
        helper = (await changes(retinue, at, "--var", f"space={other}"))["helper"]
        assert helper["changes"] == {
            "app.resources.sales.space_id": ("01ef0123456789abcdef0123456789ab", other)
        }


async def test_what_was_changed_by_hand_is_told(project, retinue):
    async with machine(project) as at:
        await shipped(project, at)
        at.cloud.apps.apps["helper-dev"]["compute_size"] = "LARGE"
        grant = {"user_name": "eve@example.com", "permission_level": "CAN_USE"}
        at.cloud.apps.grants["helper-dev"].append(grant)
        # Whoever made it may manage it, whoever looks.
        at.env["DATABRICKS_TOKEN"] = at.cloud.workspace.sign_in("reviewer@example.com")
        helper = (await changes(retinue, at))["helper"]
        assert helper["changes"] == {
            "app.compute_size": ("LARGE", "MEDIUM"),
            "app.grants.user eve@example.com": ("CAN_USE", None),
        }


async def test_a_target_s_own_words_count(project, retinue):
    more = "  dev:\n    default: true\n    permissions: [{level: CAN_VIEW, group_name: staff}]\n"
    more += (
        "    resources: {apps: {helper: {compute_size: LARGE}}}\n    variables: {app_suffix: -dev}"
    )
    bundle = BUNDLE.replace("  dev: {default: true, variables: {app_suffix: -dev}}", more)
    async with machine(project) as at:
        await shipped(project, at)
        (project / "databricks.yml").write_text(bundle)
        helper = (await changes(retinue, at))["helper"]
        assert helper["changes"] == {
            "app.compute_size": ("MEDIUM", "LARGE"),
            "app.grants.group staff": (None, "CAN_USE"),
        }


async def test_an_agent_that_is_gone_takes_its_app_along(project, retinue):
    (project / "agents" / "old.yaml").write_text("model: databricks/x\ninstructions: Hi.\n")
    async with machine(project) as at:
        await shipped(project, at)
        (project / "agents" / "old.yaml").unlink()
        found = await changes(retinue, at)
        assert (found["old"]["status"], found["old"]["app"]) == ("removed", "old-dev")
        assert "old" not in await changes(retinue, at, "helper")


async def test_an_app_of_another_bundle_is_told(project, retinue):
    async with machine(project) as at:
        await at.cloud.create("helper-dev")
        (warning, unread) = sorted((await changes(retinue, at))["helper"]["warnings"])
        assert "databricks bundle deployment bind helper helper-dev -t dev" in warning
        assert "what was deployed can't be read" in unread


async def test_the_grants_that_no_bundle_gives_are_statements(project, retinue):
    async with machine(project) as at:
        space = "01ef0123456789abcdef0123456789ab"
        at.cloud.genie.spaces[space] = []
        at.cloud.genie.serialized[space] = json.dumps(DOCUMENT)
        helper = (await changes(retinue, at))["helper"]
        assert helper["grants"][0].startswith("GRANT USE CATALOG ON CATALOG main TO `<service")
        await shipped(project, at)
        helper = (await changes(retinue, at))["helper"]
        assert helper["grants"][:3] == [
            "GRANT USE CATALOG ON CATALOG main TO `sp-of-helper-dev`;",
            "GRANT USE SCHEMA ON SCHEMA main.sales TO `sp-of-helper-dev`;",
            "GRANT SELECT ON TABLE main.sales.`orders-eu` TO `sp-of-helper-dev`;",
        ]
        assert "warehouses w1" in helper["grants"][3]


async def test_permissions_that_would_wipe_a_grant_are_told(project, retinue):
    (project / "retinue.yaml").write_text("observability: {mlflow_experiment: /Shared/traces}\n")
    uses = "{name: job, job: {id: '${resources.jobs.nightly.id}', permission: CAN_VIEW}}"
    mine = f"resources: {{apps: {{helper: {{resources: [{uses}]}}}}}}"
    given = "permissions: [{level: CAN_MANAGE, group_name: a}]"
    bundle = BUNDLE.replace("  prod: {}", f"  prod: {{{given}, {mine}}}")
    async with machine(project, bundle + "resources: {jobs: {nightly: {name: n}}}\n") as at:
        for target, told in (("dev", 0), ("prod", 1)):
            done = await asyncio.to_thread(retinue, "plan", "-t", target, **at.env)
            assert done.stdout.count("jobs.nightly has permissions") == told
            # The bundle's own has the app among them.
            assert "experiments.retinue_traces has" not in done.stdout


async def test_what_apps_share_is_told_and_that_it_goes(project, retinue):
    own = "observability: {mlflow_experiment: /Shared/t}\nstore: {lakebase: {project: lake}}\n"
    (project / "retinue.yaml").write_text(own)
    made = ["MLflow experiment /Shared/t-dev", "Lakebase project lake-dev"]
    async with machine(project) as at:
        done = await plan(retinue, at)
        assert all(f"create    {one}\n" in done.stdout for one in made)
        assert "+ resources.store: kind postgres, permission CAN_CONNECT_AND_CREATE" in done.stdout
        await shipped(project, at)
        done = await plan(retinue, at, "--exit-code")
        assert all(f"unchanged {one}\n" in done.stdout for one in made)
        assert done.returncode == 0, done.stdout
        assert "Lakebase" not in (await plan(retinue, at, "helper")).stdout
        (project / "retinue.yaml").unlink()
        done = await plan(retinue, at, "--exit-code")
        assert done.returncode == 3
        gone = "delete    Lakebase project retinue_store, and all that is in it\n"
        assert gone in done.stdout
        shared = json.loads((await plan(retinue, at, "-o", "json")).stdout)["shared"]
        assert {one["status"] for one in shared} == {"removed"}


@pytest.mark.parametrize(
    ("version", "told"),
    [("1.13.0", ""), ("1.14.0", "fails to update"), ("0.18.0", "1.13.0 or later")],
)
async def test_a_cli_that_can_t_deploy_is_told(project, retinue, version, told):
    async with machine(project) as at:
        done = await plan(retinue, at, FAKE_CLI_VERSION=version)
        assert done.returncode == 0
        assert told in done.stdout
        assert ("warning: the Databricks CLI" in done.stdout) == bool(told)


async def test_a_pull_request_gets_markdown_that_no_prompt_breaks(project, retinue):
    async with machine(project) as at:
        await shipped(project, at)
        (project / "agents" / "helper.yaml").write_text(
            AGENT.replace("Be kind.", "~~~~\n  # not a heading\n  ```")
        )
        done = await plan(retinue, at, "-o", "markdown")
        lines = done.stdout.splitlines()
        assert lines[0] == f"### Plan for dev at {at.cloud.url}"
        assert lines.count("~~~~diff") == 1
        assert "+   ~ ~ " in lines
        assert "+   # not a heading" in lines


async def test_one_who_may_not_see_the_files_is_told_so(project, retinue):
    async with machine(project) as at:
        await shipped(project, at)
        for path in [p for p in at.cloud.files.files if p.endswith("agent.json")]:
            del at.cloud.files.files[path]
        helper = (await changes(retinue, at))["helper"]
        assert helper["status"] == "changed"
        assert any("can't be read" in warning for warning in helper["warnings"])
        assert "agents.helper.mcp_servers.sales" in helper["changes"]
