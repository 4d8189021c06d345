"""`retinue logs`: what a deployed app writes, from its platform's WebSocket."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from workspace.deploying import Cloud, cloud
from workspace.ingress import Ingress, ingress

OWNER = "owner@example.com"
BUNDLE = """
bundle: {name: tried}
variables: {app_suffix: {default: -dev}}
targets: {dev: {default: true}}
"""


@asynccontextmanager
async def deployed(project: Path) -> AsyncIterator[tuple[Cloud, Ingress, dict[str, str]]]:
    """An app that runs, and the environment of its owner."""
    (project / "databricks.yml").write_text(BUNDLE)
    async with cloud() as made:
        await made.create("helper-dev")
        async with ingress(made.workspace, made.apps, "helper-dev", "http://127.0.0.1:9") as front:
            token = made.workspace.sign_in(OWNER)
            env = {"DATABRICKS_HOST": made.url, "DATABRICKS_TOKEN": token}
            yield made, front, env


def entry(number: int, text: str = "", source: str = "APP") -> dict:
    return {
        "timestamp": 1_700_000_000 + number,
        "source": source,
        "message": text or f"line {number}\n",
    }


@asynccontextmanager
async def following(
    project: Path, env: dict[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "retinue", "logs", "--follow", "helper", cwd=project,
        env={"PATH": os.defpath, "HOME": str(project), **env},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout
    return (await process.stdout.readline()).decode().rstrip()


@pytest.mark.parametrize("at", [1e18, -1e18, 253_402_300_800, "soon", [1], True, 1e308])
async def test_a_line_from_no_time_at_all_is_printed_and_hides_no_other(project, retinue, at):
    async with deployed(project) as (_, front, env):
        front.logs += [entry(1) | {"timestamp": at}, entry(2)]
        done = await asyncio.to_thread(retinue, "logs", "helper", **env)
        assert (done.returncode, done.stderr) == (0, "")
        first, second = done.stdout.splitlines()
        assert first.endswith("APP    line 1")
        assert second == "22:13:22 APP    line 2"


async def test_the_last_lines_are_printed_and_that_is_all(project, retinue):
    async with deployed(project) as (_, front, env):
        front.logs += [entry(n) for n in range(300)]
        front.logs += [entry(300, "two\nof them\x1b[2J\n", "SYSTEM"), "not JSON", "\0"]
        done = await asyncio.to_thread(retinue, "logs", "helper", "-n", "5", **env)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "22:18:18 APP    line 298",
        "22:18:19 APP    line 299",
        "22:18:20 SYSTEM two",
        "22:18:20 SYSTEM of them [2J",
        "--------        not JSON",
    ]


async def test_lines_that_come_are_followed_over_a_lost_connection_each_once(project):
    async with deployed(project) as (_, front, env):
        front.logs += [entry(1), entry(2)]
        async with following(project, env) as process:
            assert await line(process) == "22:13:21 APP    line 1"
            assert await line(process) == "22:13:22 APP    line 2"
            front.logs.append(entry(3))
            assert await line(process) == "22:13:23 APP    line 3"
            (viewer,) = front.watching
            await viewer.close()
            front.logs += [entry(3, "another of that second"), entry(4)]
            assert await line(process) == "22:13:23 APP    another of that second"
            assert await line(process) == "22:13:24 APP    line 4"
            assert len(front.watching) == 2
            process.terminate()
            _, err = await process.communicate()
            assert (process.returncode, b"Traceback" in err) == (130, False)


async def test_it_ends_where_the_app_is_stopped(project):
    async with deployed(project) as (made, front, env):
        front.logs.append(entry(1))
        async with following(project, env) as process:
            assert await line(process) == "22:13:21 APP    line 1"
            made.apps.apps["helper-dev"]["compute_status"] = {"state": "STOPPED"}
            (viewer,) = front.watching
            await viewer.close()
            _, err = await process.communicate()
            assert process.returncode == 1
            assert b"the app 'helper-dev' is stopped" in err


@pytest.mark.parametrize("page", [False, True])
async def test_a_login_page_is_explained(project, retinue, page):
    async with deployed(project) as (made, front, env):
        front.page = page
        pat = made.workspace.sign_in(OWNER, kind="pat")
        for words in ((), ("--follow",)):
            done = await asyncio.to_thread(
                retinue, "logs", "helper", *words, **{**env, "DATABRICKS_TOKEN": pat}
            )
            assert (done.returncode, done.stdout) == (1, "")
            assert "no personal access tokens" in done.stderr
            assert "Sign In" not in done.stderr


async def test_a_stranger_and_an_unknown_app_are_told(project, retinue):
    async with deployed(project) as (made, _, env):
        eve = {**env, "DATABRICKS_TOKEN": made.workspace.sign_in("eve@example.com")}
        assert "Can use" in (await asyncio.to_thread(retinue, "logs", "helper", **eve)).stderr
        done = await asyncio.to_thread(retinue, "logs", "nobody", **env)
        assert "there is no app 'nobody-dev'" in done.stderr
