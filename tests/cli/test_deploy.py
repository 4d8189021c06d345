"""`retinue deploy`: from agents' files to apps that answer, by way of the Databricks CLI."""

import asyncio
import os
from pathlib import Path

import pytest

from cli.shipping import Machine, machine
from retinue.testing import ScriptedModel
from serve.serving import LoopRuntime, running
from workspace.ingress import ingress

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the stand-in CLI is a script")

AGENT = "model: databricks/small\ninstructions: Be brief.\n"
DEPLOY = "bundle deploy -t dev"


@pytest.fixture
def project(project: Path) -> Path:
    (project / "agents" / "helper.yaml").write_text(AGENT)
    return project


async def deploy(retinue, at: Machine, *words: str, **env: str):
    return await asyncio.to_thread(retinue, "deploy", "-t", "dev", *words, **{**at.env, **env})


async def test_each_step_is_done_and_the_agent_answers(project, retinue):
    async with machine(project) as at:
        with running(LoopRuntime({"helper": ScriptedModel()})) as served:
            async with ingress(
                at.cloud.workspace, at.cloud.apps, "helper-dev", served.url
            ) as front:
                done = await deploy(retinue, at, "--var", "space=abc")
        assert done.returncode == 0, done.stderr
        assert at.called == ["--version", f"{DEPLOY} --var space=abc"]
        assert f"answers helper at {front.url}" in done.stderr
        assert done.stdout.startswith(f"helper: {front.url}/api/v1\n")
        assert "retinue proxy -t dev --var space=abc helper" in done.stdout
        assert len(at.cloud.apps.deployments["helper-dev"]) == 1
        assert front.tokens == [f"Bearer {at.env['DATABRICKS_TOKEN']}"]


@pytest.mark.parametrize(
    ("found", "last"),
    [
        # The deployment itself finds that it was stopped.
        ({"compute_status": {"state": "STOPPED"}}, "bundle deploy -t dev"),
        ({"app_status": {"state": "CRASHED"}}, "bundle run helper -t dev"),
    ],
)
async def test_an_app_that_doesn_t_run_is_started(project, retinue, found, last):
    async with machine(project) as at:
        with running(LoopRuntime({"helper": ScriptedModel()})) as served:
            async with ingress(at.cloud.workspace, at.cloud.apps, "helper-dev", served.url):
                await deploy(retinue, at)
                at.cloud.apps.apps["helper-dev"].update(found)
                done = await deploy(retinue, at)
        assert done.returncode == 0, done.stderr
        assert at.called[-1] == last
        assert len(at.cloud.apps.deployments["helper-dev"]) == 2


async def test_a_dry_run_tells_the_steps_and_does_none(project, retinue):
    async with machine(project) as at:
        done = await deploy(retinue, at, "--dry-run", "--profile", "me")
        assert done.returncode == 0
        assert "run databricks bundle deploy -t dev --profile me\n" in done.stderr
        assert "start the app helper-dev" in done.stderr
        assert (at.called, at.cloud.workspace.signed) == ([], [])
        assert not (project / "bundles").exists()


async def test_a_mistake_in_a_file_stops_it_first(project, retinue):
    async with machine(project) as at:
        (project / "agents" / "helper.yaml").write_text("model: 3\n")
        done = await deploy(retinue, at)
        assert (done.returncode, at.called) == (2, [])
        assert "agents/helper.yaml:1:8" in done.stderr


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"FAKE_CLI_VERSION": "1.14.0"}, "1.14.0 fails to update an app that runs"),
        ({"FAKE_CLI_VERSION": "0.18.0"}, "1.13.0 or later is needed"),
        ({"PATH": os.defpath}, "not on the PATH: install it"),
        ({"DATABRICKS_TOKEN": ""}, "log in with"),
    ],
)
async def test_without_what_it_takes_nothing_is_begun(project, retinue, env, told):
    async with machine(project) as at:
        done = await deploy(retinue, at, **env)
        assert (done.returncode, told in done.stderr) == (1, True), done.stderr
        assert not [line for line in at.called if line.startswith("bundle")]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("An app with the same name already exists: helper-dev", "retinue plan"),
        ("cannot configure default credentials", "databricks auth login"),
        ("something that nobody has seen", "docs/deploy.md"),
    ],
)
async def test_a_failure_of_the_cli_is_told_with_what_to_do(project, retinue, said, told):
    async with machine(project) as at:
        done = await deploy(retinue, at, FAKE_CLI_FAILS=said)
        assert done.returncode == 1
        assert f"Error: {said}" in done.stderr
        (error,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
        assert error.startswith("error: `databricks bundle deploy -t dev` failed (1): ")
        assert told in error


async def test_apps_of_agents_that_are_gone_need_a_word(project, retinue):
    old = project / "agents" / "old.yaml"
    old.write_text(AGENT)
    async with machine(project) as at:
        with running(LoopRuntime({"helper": ScriptedModel()})) as served:
            async with ingress(at.cloud.workspace, at.cloud.apps, "helper-dev", served.url):
                # The address of `old` is a real one, where nothing may answer.
                at.cloud.apps.addresses["old-dev"] = served.url
                first = await deploy(retinue, at)
                old.unlink()
                refused = await deploy(retinue, at)
                done = await deploy(retinue, at, "--auto-approve")
        assert "the app 'old-dev' serves helper, and not 'old'" in first.stderr
        assert (first.returncode, "answers helper" in first.stderr) == (1, True)
        assert (refused.returncode, "give --auto-approve" in refused.stderr) == (1, True)
        assert (done.returncode, [*at.cloud.apps.apps]) == (0, ["helper-dev"])


async def test_one_who_may_deploy_with_a_token_that_apps_refuse_is_told(project, retinue):
    async with machine(project) as at:
        with running(LoopRuntime({"helper": ScriptedModel()})) as served:
            async with ingress(at.cloud.workspace, at.cloud.apps, "helper-dev", served.url):
                pat = at.cloud.workspace.sign_in("deployer@example.com", kind="pat")
                done = await deploy(retinue, at, DATABRICKS_TOKEN=pat)
                assert done.returncode == 1
                assert "helper was deployed and doesn't answer you" in done.stderr
                assert "OAuth" in done.stderr


async def test_an_interrupted_deployment_lets_the_cli_end(project):
    async with machine(project) as at:
        tool = Path(at.env["PATH"].split(":")[0]) / "databricks"
        ended = project / "ended"
        tool.write_text(
            '#!/bin/sh\n[ "$1" = --version ] && echo v1.13.0 && exit\n'
            f"trap 'echo INT >> \"{ended}\"; exit 1' INT\necho begun >&2\n"
            "while true; do sleep 0.1; done\n"
        )
        process = await asyncio.create_subprocess_exec(
            "retinue", "deploy", "-t", "dev", cwd=project, env={**at.env, "HOME": str(project)},
            stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(60):
            while b"begun" not in await process.stderr.readline():
                pass
            process.terminate()
            await process.communicate()
        assert process.returncode == 130
        assert ended.read_text() == "INT\n"
