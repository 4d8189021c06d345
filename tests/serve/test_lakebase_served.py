"""Two servers on one Lakebase, whose token is another one every four seconds."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from databases import Postgres
from lakes import LakeGate, LakeWorkspace

LIFE = 4.0
SECONDS = 60
CLIENTS = 6


@asynccontextmanager
async def server(project: Path, env: dict[str, str]) -> AsyncIterator[str]:
    """`retinue serve` in a process of its own; its URL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "retinue", "serve", "--offline", "--port", "0",
        "--log-format", "json", "--project", str(project),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **env},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        url = ""
        async with asyncio.timeout(90):
            while not url and (line := await process.stdout.readline()):
                url = json.loads(line)["message"].partition(" at ")[2] if b"Serving" in line else ""
        assert url, "the server did not start"
        drained = asyncio.create_task(_drain(process.stdout))
        yield url
        drained.cancel()
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.readline():
        pass


async def talk(urls: list[str], until: float) -> list[str]:
    """One caller's thread of stored responses, each turn asked of the other server; its ids."""
    ids: list[str] = []
    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
        while time.monotonic() < until:
            url = urls[len(ids) % len(urls)]
            body = {"model": "tester", "input": "hi", "store": True}
            if ids:
                body["previous_response_id"] = ids[-1]
            answer = await http.post(f"{url}/v1/responses", json=body)
            assert answer.status_code == 200, answer.text
            ids.append(answer.json()["id"])
            await asyncio.sleep(0.2)
        for number, each in enumerate(ids):
            kept = await http.get(f"{urls[number % len(urls)]}/v1/responses/{each}")
            assert kept.status_code == 200, kept.text
    return ids


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_a_token_that_rotates_is_never_noticed_by_a_caller(
    postgres: Postgres, tmp_path: Path
) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "tester.yaml").write_text(
        "name: tester\nmodel: databricks/x\ninstructions: Answer.\n"
    )
    (tmp_path / "retinue.yaml").write_text("store: {lakebase: {name: agents}}\n")
    workspace = LakeWorkspace(LIFE)
    try:
        async with (
            LakeGate(postgres.new_database(), workspace, tmp_path, most=2.0) as lake,
            AsyncExitStack() as stack,
        ):
            env = {
                "DATABRICKS_HOST": workspace.url,
                "DATABRICKS_TOKEN": "none",
                "PGHOST": "127.0.0.1",
                "PGPORT": str(lake.port),
                "PGUSER": "app",
                "PGDATABASE": lake.database,
            }
            urls = [await stack.enter_async_context(server(tmp_path, env)) for _ in range(2)]
            until = time.monotonic() + SECONDS
            answered = await asyncio.gather(*(talk(urls, until) for _ in range(CLIENTS)))
    finally:
        workspace.close()
    assert sum(map(len, answered)) >= CLIENTS * 2
    # It was as hard as it is meant to be: tokens died, and connections ended in between.
    assert len(workspace.given) >= SECONDS // LIFE
    assert lake.ended > 0
    assert lake.refused == 0


class ProjectWorkspace(LakeWorkspace):
    """Gives tokens for endpoints of projects alone."""

    def answer(self, path: str) -> dict[str, Any]:
        if path != "/api/2.0/postgres/credentials":
            return {}
        given = super().answer("/api/2.0/database/credentials")
        return {"token": given["token"], "expire_time": given["expiration_time"]}


async def _kept(http: httpx.AsyncClient, method: str, url: str, **more: Any) -> str:
    """The id of a response that is kept: a first token may take longer than a request waits."""
    for _ in range(60):
        answer = await http.request(method, url, **more)
        if answer.status_code == 200 and answer.json()["store"]:
            return str(answer.json()["id"])
        assert answer.status_code in (200, 503), answer.text
        await asyncio.sleep(1)
    raise AssertionError(answer.text)


@pytest.mark.timeout(180)
async def test_an_app_keeps_its_state_in_the_database_that_its_bundle_made(
    postgres: Postgres, tmp_path: Path
) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "tester.yaml").write_text(
        "name: tester\nmodel: databricks/x\ninstructions: Answer.\n"
    )
    (tmp_path / "retinue.yaml").write_text("store: {lakebase: {project: agents}}\n")
    workspace = ProjectWorkspace(3600)
    try:
        async with LakeGate(postgres.new_database(), workspace, tmp_path, most=60.0) as lake:
            env = {
                "DATABRICKS_APP_NAME": "tester",
                "DATABRICKS_APP_PORT": "8000",
                "DATABRICKS_HOST": workspace.url,
                "DATABRICKS_TOKEN": "none",
                "RETINUE_STORE_ENDPOINT": "projects/agents/branches/production/endpoints/primary",
                "PGHOST": "127.0.0.1",
                "PGPORT": str(lake.port),
                "PGUSER": "app",
                "PGDATABASE": "retinue",
            }
            who = {"x-forwarded-user": "ana", "x-forwarded-email": "ana@example.com"}
            body = {"model": "tester", "input": "hi", "store": True}
            async with httpx.AsyncClient(timeout=60, trust_env=False, headers=who) as http:
                async with server(tmp_path, env) as url:
                    made = await _kept(http, "POST", f"{url}/v1/responses", json=body)
                async with server(tmp_path, env) as url:
                    assert await _kept(http, "GET", f"{url}/v1/responses/{made}") == made
    finally:
        workspace.close()
    assert lake.logins > 0
    assert not (tmp_path / ".retinue" / "state.db").exists()
