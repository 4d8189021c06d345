"""`retinue proxy` and `retinue chat --url`: a deployed agent, asked as whoever is logged in."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import mcp
import openai
import pytest

from retinue.run.events import TextDelta
from retinue.testing import ScriptedModel, says
from serve.serving import LoopRuntime, eventually, running
from workspace.deploying import Cloud, cloud, grant
from workspace.ingress import Ingress, ingress

USER = "ana@example.com"
BUNDLE = """
bundle: {name: tried}
variables: {app_suffix: {default: ""}}
targets: {dev: {default: true, variables: {app_suffix: -dev}}, prod: {}}
"""


@dataclass
class Deployed:
    """An agent behind the platform's proxy; `env` is that of someone who is logged in."""

    cloud: Cloud
    front: Ingress
    runtime: LoopRuntime
    env: dict[str, str]


@asynccontextmanager
async def deployed(model: ScriptedModel, project) -> AsyncIterator[Deployed]:
    (project / "databricks.yml").write_text(BUNDLE)
    runtime = LoopRuntime({"helper": model})
    async with cloud() as made:
        for name in ("another", "helper-dev", "last"):
            await made.create(name)
        with running(runtime) as served:
            async with ingress(made.workspace, made.apps, "helper-dev", served.url) as front:
                await grant(made, "helper-dev", USER)
                env = {
                    "PATH": os.defpath,
                    "HOME": str(project),
                    "DATABRICKS_HOST": made.url,
                    "DATABRICKS_TOKEN": made.workspace.sign_in(USER),
                }
                yield Deployed(made, front, runtime, env)


@asynccontextmanager
async def proxy(project, env: dict[str, str], *words: str) -> AsyncIterator[str]:
    """`retinue proxy` as a process; the URL it tells."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "retinue", "proxy", "--port", "0", *words,
        cwd=project, env=env, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr
    try:
        line = (await asyncio.wait_for(process.stderr.readline(), 30)).decode()
        found = re.search(r"(http://127\.0\.0\.1:\d+)/v1", line)
        assert found, line + (await process.stderr.read()).decode()
        yield found[1]
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), 20)


def client(url: str) -> openai.AsyncOpenAI:
    http = httpx.AsyncClient(trust_env=False)
    return openai.AsyncOpenAI(
        base_url=f"{url}/v1", api_key="my-own-key", max_retries=0, timeout=30, http_client=http
    )


MESSAGES = [{"role": "user", "content": "hi"}]


async def test_openai_s_client_asks_a_deployed_agent_with_nothing_set_up(project):
    async with deployed(ScriptedModel(says("All is well.")), project) as there:
        async with proxy(project, there.env, "-t", "dev", "helper") as url:
            at = client(url)
            assert [model.id async for model in await at.models.list()] == ["helper"]
            whole = await at.chat.completions.create(model="helper", messages=MESSAGES)
            assert whole.choices[0].message.content == "All is well."
            stream = await at.chat.completions.create(
                model="helper", messages=MESSAGES, stream=True
            )
            words = [c.choices[0].delta.content or "" async for c in stream if c.choices]
            assert ("".join(words), len([w for w in words if w]) > 1) == ("All is well.", True)
            response = await at.responses.create(model="helper", input="hi")
            assert response.output_text == "All is well."
            with pytest.raises(openai.NotFoundError, match="nobody"):
                await at.chat.completions.create(model="nobody", messages=MESSAGES)
        assert set(there.front.tokens) == {f"Bearer {there.env['DATABRICKS_TOKEN']}"}


@pytest.mark.parametrize("era", ["legacy", "2026-07-28"])
async def test_a_client_of_mcp_finds_a_deployed_agent_with_nothing_set_up(project, era):
    async with deployed(ScriptedModel(says("All is well.")), project) as there:
        async with proxy(project, there.env, "-t", "dev", "helper") as url:
            async with mcp.Client(f"{url}/mcp", mode=era) as at:
                assert [tool.name for tool in (await at.list_tools()).tools] == ["helper"]
                result = await at.call_tool("helper", {"question": "?"})
                assert result.structured_content["answer"] == "All is well."
        assert set(there.front.tokens) == {f"Bearer {there.env['DATABRICKS_TOKEN']}"}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_caller_who_hangs_up_ends_the_run(project, stream):
    model = ScriptedModel([TextDelta("one "), 60.0, *says("late")])
    async with deployed(model, project) as there:
        async with proxy(project, there.env, "-t", "dev", "helper") as url:
            asked = asyncio.create_task(_ask(url, stream=stream))
            await asyncio.to_thread(eventually, lambda: bool(model.requests), 20)
            asked.cancel()
            await asyncio.wait([asked])
            await asyncio.to_thread(eventually, lambda: model.cancelled == 1, 20)


async def _ask(url: str, *, stream: bool) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        body = {"messages": MESSAGES, "stream": stream}
        await http.post(f"{url}/v1/chat/completions", json=body)


@pytest.mark.parametrize("page", [False, True])
async def test_a_login_page_is_explained_and_not_passed_on(project, page):
    async with deployed(ScriptedModel(), project) as there:
        there.front.page = page
        env = {**there.env, "DATABRICKS_TOKEN": there.cloud.workspace.sign_in(USER, kind="pat")}
        async with proxy(project, env, "-t", "dev", "helper") as url:
            with pytest.raises(openai.AuthenticationError, match="databricks auth login") as told:
                await client(url).chat.completions.create(model="helper", messages=MESSAGES)
        assert told.value.code == "login_required"
        assert "Sign In" not in str(told.value)
        assert there.runtime.callers == []


async def test_one_without_the_permission_is_told_so(project):
    async with deployed(ScriptedModel(), project) as there:
        env = {**there.env, "DATABRICKS_TOKEN": there.cloud.workspace.sign_in("eve@example.com")}
        async with proxy(project, env, "--url", there.front.url) as url:
            with pytest.raises(openai.PermissionDeniedError, match="Can use"):
                await client(url).models.list()


async def test_pages_of_elsewhere_and_other_names_reach_nothing(project):
    async with deployed(ScriptedModel(), project) as there:
        async with proxy(project, there.env, "-t", "dev", "helper") as url:
            async with httpx.AsyncClient(trust_env=False, base_url=url) as http:
                for headers in ({"origin": "https://evil.example"}, {"host": "evil.example"}):
                    assert (await http.get("/v1/models", headers=headers)).status_code == 403
                for path in ("/api/2.0/secrets/get", "/v1/../../x", "/"):
                    assert (await http.get(path)).status_code == 404
                from_here = {"origin": "http://localhost:3000"}
                assert (await http.get("/v1/models", headers=from_here)).status_code == 200
        assert len(there.front.tokens) == 1


async def test_a_token_goes_to_apps_of_the_workspace_alone(project, retinue):
    async with deployed(ScriptedModel(), project) as there:
        for words, wrong in (
            (("--url", "http://127.0.0.1:9/"), "has no app at"),
            (("--url", "https://evil.example"), "has no app at"),
            (("-t", "prod", "helper"), "there is no app 'helper'"),
            (("-t", "nowhere", "helper"), "there is no target 'nowhere'"),
            ((), "name the agent"),
        ):
            done = await asyncio.to_thread(retinue, "proxy", "--port", "0", *words, **there.env)
            assert done.returncode in (1, 2)
            assert wrong in done.stderr
        assert there.front.tokens == []


async def test_a_deployed_agent_can_be_talked_with(project, retinue):
    async with deployed(ScriptedModel(says("All is well.")), project) as there:
        words = ("chat", "--url", there.front.url)
        asked = await asyncio.to_thread(retinue, *words, stdin="hi\nagain\n", **there.env)
        assert (asked.returncode, asked.stdout.count("All is well.")) == (0, 2), asked.stderr
        conversation = there.runtime.models["helper"].requests[-1].messages
        assert [m.content for m in conversation if m.role != "system"] == [
            "hi",
            "All is well.",
            "again",
        ]
        done = await asyncio.to_thread(retinue, *words, "nobody", **there.env)
        assert "doesn't serve 'nobody'" in done.stderr
        there.front.page = True
        pat = there.cloud.workspace.sign_in(USER, kind="pat")
        env = {**there.env, "DATABRICKS_TOKEN": pat}
        done = await asyncio.to_thread(retinue, *words, **env)
        assert (done.returncode, "databricks auth login" in done.stderr) == (1, True)
        assert "Sign In" not in done.stderr
