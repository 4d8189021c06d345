"""Bundled, uploaded, taken down again and started as the platform would: an app that answers."""

import asyncio
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import openai
import pytest
from bundling import REPOSITORY

from run.fake_workspace import CLIENT
from workspace.deploying import MODEL, AppProcess, Cloud, cloud, deploy, grant, started
from workspace.fake import Caller, Issued
from workspace.ingress import ingress

pytestmark = pytest.mark.skipif(os.name != "posix", reason="an app runs on Linux")

SPACE = "01ef0123456789abcdef0123456789ab"
SECRET = "a-secret-of-the-workspace"
USERS = ("ana@example.com", "bo@example.com")
ENDED = (0, -signal.SIGTERM)
QUESTION = "Which three franchises sold most in May 2024?"
KEEPER = f"""
model: {{name: databricks/{MODEL}, api_key: "${{secret.keeper/key}}"}}
instructions:
  text: You speak with {{{{ who }}}}.
  variables: {{who: {{source: user.email}}}}
"""


OWN = f"""
model: databricks/{MODEL}
instructions: Ask the space.
mcp_servers:
  own:
    databricks: {{genie_space: {{folder: samples/bakehouse, warehouse: w1}}}}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """This repository's project and one agent more, bundled by the command itself."""
    root = tmp_path_factory.mktemp("project")
    for name in ("agents", "prompts", "skills", "samples"):
        shutil.copytree(REPOSITORY / name, root / name)
    shutil.copy(REPOSITORY / "databricks.yml", root)
    (root / "agents/keeper.yaml").write_text(KEEPER)
    (root / "agents/own.yaml").write_text(OWN)
    done = subprocess.run(
        [sys.executable, "-m", "retinue", "bundle"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture(scope="module")
def python(project, tmp_path_factory) -> str:
    """This interpreter; with RETINUE_CLEAN_APP one that has an app's requirements and no more."""
    if not os.environ.get("RETINUE_CLEAN_APP"):
        return sys.executable
    place = tmp_path_factory.mktemp("clean") / "venv"
    uv = Path(sys.executable).with_name("uv")
    pins = project / "bundles/assistant/source/requirements.txt"
    install = [
        "pip",
        "install",
        "--quiet",
        "--no-config",
        "--compile-bytecode",
        "--require-hashes",
        "-r",
        pins,
    ]
    for words in (["venv", "--no-config", "--quiet", "--python", sys.executable, place],
                  [*install, "--python", place / "bin/python"]):  # fmt: skip
        subprocess.run([uv, *words], check=True, cwd=place.parent)
    return str(place / "bin/python")


@asynccontextmanager
async def genie() -> AsyncIterator[str]:
    """A managed MCP server of a Genie space, as the workspace has one."""
    pytest.importorskip("duckdb")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["-m", "retinue.offline.genie", REPOSITORY / "samples/bakehouse", "--http", str(port)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(60):
            while True:
                try:
                    (await asyncio.open_connection("127.0.0.1", port))[1].close()
                    break
                except OSError:
                    await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def deployed(
    project: Path, agent: str, place: Path, python: str, mcp_url: str = ""
) -> AsyncIterator[tuple[Cloud, AppProcess, str]]:
    """A workspace, the app in it, and the address that users know."""
    async with cloud() as made:
        made.workspace.mcp_url = mcp_url
        made.workspace.secrets["keeper", "key"] = b64encode(SECRET.encode()).decode()
        name = await deploy(made, project, agent, {"bakehouse_space_id": SPACE})
        await grant(made, name, *USERS)
        async with started(made, name, place, python) as app:
            async with ingress(made.workspace, made.apps, name, app.url) as front:
                yield made, app, front.url


def client(cloud: Cloud, url: str, user: str) -> openai.AsyncOpenAI:
    token = cloud.workspace.sign_in(user)
    return openai.AsyncOpenAI(
        base_url=f"{url}/api/v1",
        api_key=token,
        max_retries=0,
        timeout=60,
        http_client=httpx.AsyncClient(trust_env=False),
    )


async def said(at: openai.AsyncOpenAI, agent: str, question: str) -> str:
    messages = [{"role": "user", "content": question}]
    stream = await at.chat.completions.create(model=agent, messages=messages, stream=True)
    pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    return "".join(pieces)


async def test_it_answers_users_with_its_own_identity(project, tmp_path, python):
    async with deployed(project, "assistant", tmp_path, python) as (made, app, url):
        await app.ready()
        for user in USERS:
            assert "You said: hello" in await said(client(made, url, user), "assistant", "hello")
        callers = {caller.kind for caller, _ in made.serving.asked}
        assert (callers, made.workspace.refused) == ({"app"}, [])
        assert made.workspace.tokens == 1
        assert await app.stop() in ENDED


async def test_secrets_and_who_calls_reach_it(project, tmp_path, python):
    async with deployed(project, "keeper", tmp_path, python) as (made, app, url):
        made.workspace.issued[SECRET] = Issued(Caller("sp-2", "keeper"), math.inf)
        await app.ready()
        await asyncio.gather(*(said(client(made, url, user), "keeper", user) for user in USERS))
        heard = {
            body["messages"][-1]["content"]: (caller.name, body["messages"][0]["content"])
            for caller, body in made.serving.asked
        }
        assert heard == {user: ("keeper", f"You speak with {user}.") for user in USERS}
        assert SECRET not in app.log


async def test_a_question_goes_through_the_space_s_managed_server(project, tmp_path, python):
    async with genie() as mcp:
        async with deployed(project, "genie-analyst", tmp_path, python, mcp) as (made, app, url):
            await app.ready()
            await app.heard("'bakehouse' is up")
            ana = client(made, url, USERS[0])
            answer = await said(ana, "genie-analyst", QUESTION)
            assert "Sakura Oven" in answer, app.log
            asked = [by for path, by in made.workspace.signed if path.endswith(f"/genie/{SPACE}")]
            # The tools are listed as the app, and the question is asked as the user.
            assert asked[-1] == f"Bearer {ana.api_key}"
            assert asked[0] != asked[-1]
            assert made.workspace.refused == []


async def test_a_space_of_its_own_is_made_with_it_and_asked(project, tmp_path, python):
    async with genie() as mcp:
        async with deployed(project, "own", tmp_path, python, mcp) as (made, app, url):
            (space,) = made.genie.spaces
            await app.ready()
            await app.heard("'own' is up")
            answer = await said(client(made, url, USERS[0]), "own", QUESTION)
            assert "Sakura Oven" in answer, app.log
            asked = {path for path, _ in made.workspace.signed if "/api/2.0/mcp/" in path}
            assert asked == {f"/api/2.0/mcp/genie/{space}"}
            assert made.workspace.refused == []


async def test_an_expired_token_is_replaced(project, tmp_path, python):
    async with deployed(project, "assistant", tmp_path, python) as (made, app, url):
        made.workspace.life = 1
        await app.ready()
        ana = client(made, url, USERS[0])
        for _ in range(2):
            assert "You said: hi" in await said(ana, "assistant", "hi")
            await asyncio.sleep(1.1)
        assert made.workspace.tokens >= 2
        assert made.workspace.refused == []


async def test_sigterm_ends_it_in_time_with_a_stream_open(project, tmp_path, python):
    async with deployed(project, "assistant", tmp_path, python) as (made, app, url):
        await app.ready()
        made.serving.slow = 3
        messages = [{"role": "user", "content": "word " * 40}]
        stream = await client(made, url, USERS[0]).chat.completions.create(
            model="assistant", messages=messages, stream=True
        )
        await anext(aiter(stream))
        assert await app.stop(within=15) in ENDED
        assert made.serving.left == 1


async def test_nothing_is_left_outside_its_folder_and_no_secret_is_told(project, tmp_path, python):
    async with deployed(project, "assistant", tmp_path, python) as (made, app, url):
        before = set(app.folder.rglob("*"))
        await app.ready()
        await said(client(made, url, USERS[0]), "assistant", "a question of one's own")
        assert await app.stop() in ENDED
        assert set(app.folder.rglob("*")) == before
        assert [*app.home.rglob("*"), *(tmp_path / "tmp").rglob("*")] == []
        for told in (CLIENT[1], "token-1", "user-", "a question of one's own"):
            assert told not in app.log


async def test_every_line_that_it_writes_is_json_on_standard_output(project, tmp_path, python):
    async with deployed(project, "assistant", tmp_path, python) as (made, app, url):
        await app.ready()
        await said(client(made, url, USERS[0]), "assistant", "hello")
        assert await app.stop() in ENDED
    told = [json.loads(line) for line in app.written["stdout"]]
    assert app.written["stderr"] == []
    (asked,) = [line for line in told if line.get("path", "").endswith("/chat/completions")]
    assert (asked["status"], asked["caller"], asked["agent"]) == (
        200,
        f"id-{USERS[0]}",
        "assistant",
    )


async def test_it_is_reached_from_outside_its_machine_and_only_when_it_is_ready(
    project, tmp_path, python
):
    async with deployed(project, "assistant", tmp_path, python) as (_made, app, _url):
        # No address of loopback that is listened on by name: all are.
        elsewhere = app.url.replace("127.0.0.1", "127.0.0.2")
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http, asyncio.timeout(60):
            while True:
                try:
                    first = await http.get(f"{elsewhere}/health/ready")
                    break
                except httpx.ConnectError:
                    await asyncio.sleep(0.05)
        # Whoever comes while it starts waits, and is answered when agents are.
        assert (first.status_code, first.json()["status"]) == (200, "ready")


async def test_strangers_are_kept_out_by_the_platform(project, tmp_path, python):
    async with deployed(project, "assistant", tmp_path, python) as (made, app, url):
        await app.ready()
        with pytest.raises(openai.PermissionDeniedError):
            await said(client(made, url, "eve@example.com"), "assistant", "hello")
        assert made.serving.asked == []
