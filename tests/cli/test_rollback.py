"""`retinue rollback`: an earlier deployment of an agent's app, once more."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cli.shipping import Machine, machine
from retinue.testing import ScriptedModel
from serve.serving import LoopRuntime, running
from workspace.ingress import ingress

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the stand-in CLI is a script")

AGENT = "model: databricks/small\ninstructions: Be brief.\n"
SERVER = 'mcp_servers: {{it: {{url: "{url}"{more}}}}}\n'


def write(project: Path, more: str = "", instructions: str = "Be brief.") -> None:
    text = f"model: databricks/small\ninstructions: {instructions}\n{more}"
    (project / "agents" / "helper.yaml").write_text(text)


@asynccontextmanager
async def deployed(project: Path, retinue, *forms: dict[str, str]) -> AsyncIterator[Machine]:
    """An agent that was deployed in one form after the other."""
    async with machine(project) as at:
        with running(LoopRuntime({"helper": ScriptedModel()})) as served:
            async with ingress(at.cloud.workspace, at.cloud.apps, "helper-dev", served.url):
                for form in forms:
                    write(project, **form)
                    done = await asyncio.to_thread(retinue, "deploy", "-t", "dev", **at.env)
                    assert done.returncode == 0, done.stderr
                yield at


async def back(retinue, at: Machine, *words: str):
    return await asyncio.to_thread(retinue, "rollback", "-t", "dev", *words, "helper", **at.env)


def running_text(at: Machine) -> str:
    """What the files of the active deployment say."""
    folder = at.cloud.apps.deployments["helper-dev"][-1]["source_code_path"]
    return at.cloud.files.files[f"{folder}/agents/helper.yaml"].decode()


async def test_the_files_that_ran_before_run_again(project, retinue):
    one = {"more": SERVER.format(url="https://${var.space}.example/mcp", more="")}
    async with deployed(project, retinue, one, {"instructions": "Be long."}) as at:
        done = await back(retinue, at)
        assert done.returncode == 0, done.stderr
        assert "helper-dev goes back to the deployment 1 of 2026-11-01" in done.stdout
        assert "  ~ prompt: Be long. -> Be brief." in done.stdout
        assert "  + tools.it" in done.stdout
        assert "helper answers at http://127.0.0.1" in done.stdout
        assert "git revert" in done.stderr
        assert "Be brief." in running_text(at)
        made = at.cloud.apps.deployments["helper-dev"]
        assert (len(made), made[2]["command"]) == (3, made[0]["command"])
        env = {variable["name"]: variable["value"] for variable in made[2]["env_vars"]}
        assert env == {
            "BUNDLE_VAR_space": "01ef0123456789abcdef0123456789ab",
            "RETINUE_SOURCE_DIGEST": "rollback-1",
        }


async def test_what_is_uploaded_since_isn_t_what_runs_again(project, retinue):
    forms = [{"instructions": text} for text in ("one", "two", "three")]
    async with deployed(project, retinue, *forms) as at:
        assert (await back(retinue, at, "--to", "1")).returncode == 0
        assert "instructions: one\n" in running_text(at)
        assert (await back(retinue, at)).returncode == 0
        assert "instructions: three\n" in running_text(at)


async def test_a_dry_run_only_tells(project, retinue):
    async with deployed(project, retinue, {}, {"instructions": "two"}) as at:
        done = await back(retinue, at, "--dry-run")
        assert (done.returncode, "~ prompt: two -> Be brief." in done.stdout) == (0, True)
        assert len(at.cloud.apps.deployments["helper-dev"]) == 2


async def test_what_can_t_be_gone_back_to_is_told(project, retinue):
    secret = {"more": SERVER.format(url="https://x.example/mcp",
        more=', headers: {x-key: "${secret.keeper/key}"}')}  # fmt: skip
    async with deployed(project, retinue, secret) as at:
        assert "it has no other" in (await back(retinue, at)).stderr
        assert "there is no deployment '9'" in (await back(retinue, at, "--to", "9")).stderr
        write(project)
        await asyncio.to_thread(retinue, "deploy", "-t", "dev", **at.env)
        done = await back(retinue, at)
        assert (done.returncode, "the app has no more: take the change back" in done.stderr) == (
            1,
            True,
        )
        copies = [path for path in at.cloud.files.files if path.endswith("/src/1/agent.json")]
        del at.cloud.files.files[copies[0]]
        assert "has files that can be read" in (await back(retinue, at)).stderr
        assert len(at.cloud.apps.deployments["helper-dev"]) == 2


async def test_an_app_that_isn_t_there_or_is_stopped_is_told(project, retinue):
    async with machine(project) as at:
        assert "there is no app 'helper-dev'" in (await back(retinue, at)).stderr
    async with deployed(project, retinue, {}, {"instructions": "two"}) as at:
        at.cloud.apps.apps["helper-dev"]["compute_status"] = {"state": "STOPPED"}
        done = await back(retinue, at)
        assert (done.returncode, "status 400 INVALID_STATE" in done.stderr) == (1, True)
