"""Our own MCP server of a Genie space, over the REST API of a workspace that has no managed one."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from aiohttp import web
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from retinue.agent import Stdio, ToolServer
from retinue.errors import ToolError
from retinue.run.genie_api import GenieApi, message_of
from retinue.run.mcp import Connection
from retinue.run.references import environment
from run.fake_workspace import opened
from workspace.fake import Caller, RefusedError, Workspace
from workspace.genie import Genie

SPACE = "01ef0123"
ASK, POLL = f"query_space_{SPACE}", f"poll_response_{SPACE}"
ROWS = [["7", "loaves"]]


def env(fake: Workspace, folder: Path, token: str | None = None) -> dict[str, str]:
    """The environment of somebody who is logged in, or of nobody."""
    own = {"DATABRICKS_TOKEN": token} if token else {}
    return {
        "PATH": os.environ["PATH"],
        "DATABRICKS_HOST": fake.url,
        "DATABRICKS_CONFIG_FILE": str(folder / "profiles"),
        **own,
    }


async def said_nothing(_: str) -> None:
    pass


async def test_over_stdio_it_is_a_tool_like_a_managed_one(tmp_path: Path) -> None:
    async with opened(Workspace()) as fake:
        genie = Genie(fake, **{SPACE: ROWS})
        token = fake.sign_in("ada", kind="pat")
        given = tuple(env(fake, tmp_path, token).items())
        command = Stdio(
            command=sys.executable,
            args=("-m", "retinue", "mcp", "genie", "--space", SPACE, "--wait", "0"),
            env=given,
        )
        server = ToolServer(name="sales", transport=command, timeout=60)
        connection = Connection(server, environment())
        try:
            await connection.start()
            assert connection.problem is None
            # The one to poll is the runtime's own affair.
            (ask,) = connection.tools
            assert ask.name == ASK
            assert SPACE in ask.description
            first = await connection.call(ASK, {"query": "How much was sold?"})
            assert isinstance(first.structured, dict)
            again = {"query": "And where?", "conversation_id": first.structured["conversationId"]}
            second = await connection.call(ASK, again)
        finally:
            await connection.aclose()
    assert first.structured["status"] == "COMPLETED"
    (query,) = first.structured["content"]["queryAttachments"]
    assert query["query"] == "SELECT 1"
    assert query["statement_response"]["result"]["data_array"] == ROWS
    assert isinstance(second.structured, dict)
    assert second.structured["conversationId"] == first.structured["conversationId"]
    assert len(genie.spaces) == 1
    assert fake.refused == []
    assert {who for _, who in fake.signed} == {f"Bearer {token}"}
    assert token not in repr((first, second))


@asynccontextmanager
async def over_http(
    fake: Workspace, folder: Path, token: str | None, *more: str
) -> AsyncIterator[str]:
    command = ("-m", "retinue", "mcp", "genie", "--space", SPACE, "--http", "0", *more)
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, env=env(fake, folder, token), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr
    heard = b""
    try:
        while b"is at http" not in heard:
            line = await asyncio.wait_for(process.stderr.readline(), 60)
            assert line, heard
            heard += line
        yield line.decode().split()[-1]
    finally:
        process.terminate()
        rest = await asyncio.wait_for(process.stderr.read(), 20)
        await process.wait()
        assert b"user-" not in rest


@asynccontextmanager
async def client(url: str, token: str | None = None) -> AsyncIterator[Client]:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode="legacy", cache=None) as asking:
            yield asking


async def test_over_http_each_caller_is_asked_for_with_their_own_token(tmp_path: Path) -> None:
    async with opened(Workspace()) as fake:
        Genie(fake, **{SPACE: ROWS})
        ada, bob = fake.sign_in("ada"), fake.sign_in("bob")
        async with over_http(fake, tmp_path, None) as url:
            before = len(fake.signed)
            told: list[str | None] = []

            async def progress(_done: float, _total: float | None, message: str | None) -> None:
                told.append(message)

            async with client(url, ada) as asking:
                result = await asking.call_tool(ASK, {"query": "?"}, progress_callback=progress)
            assert not result.is_error
            assert {who for _, who in fake.signed[before:]} == {f"Bearer {ada}"}
            assert told == ["executing query"]
            async with client(url, bob) as asking:
                assert not (await asking.call_tool(ASK, {"query": "?"})).is_error
                assert (await asking.call_tool(ASK, {"query": " "})).is_error
                ids = {"conversation_id": "..", "message_id": "m1"}
                assert "no id of Genie's" in (await asking.call_tool(POLL, ids)).content[0].text
            async with client(url) as nobody:
                refused = await nobody.call_tool(ASK, {"query": "?"})
                assert refused.is_error
                assert "databricks auth login" in refused.content[0].text
            async with httpx2.AsyncClient() as http:
                elsewhere = await http.post(url, json={}, headers={"host": "evil.example.com"})
                assert elsewhere.status_code == 421


@pytest.mark.parametrize(("space", "words"), [("unknown", "can't be served"), (SPACE, "log in")])
async def test_over_stdio_what_is_wrong_is_told_at_once(
    tmp_path: Path, space: str, words: str
) -> None:
    async with opened(Workspace()) as fake:
        Genie(fake, **{SPACE: ROWS})
        token = fake.sign_in("ada", kind="pat") if space == "unknown" else None
        command = [sys.executable, "-m", "retinue", "mcp", "genie", "--space", space]
        run = partial(subprocess.run, command, capture_output=True, check=False, timeout=60)
        given = env(fake, tmp_path, token)
        done = await asyncio.to_thread(run, env=given, stdin=subprocess.DEVNULL)
    assert done.returncode in (1, 2)
    assert words in done.stderr.decode()
    assert done.stdout == b""


class Odd(Workspace):
    """A workspace whose every answer is the next of these, the last for ever."""

    def __init__(self, *answers: tuple[int, Any]) -> None:
        super().__init__()
        self.answers_left = list(answers)
        self.on("*", ".*", self._next)

    async def _next(self, _request: web.Request, _caller: Caller) -> web.Response:
        left = self.answers_left
        status, body = left.pop(0) if len(left) > 1 else left[0]
        if status == 0:
            raise RefusedError(500, "INTERNAL", "secret text of the workspace")
        headers = {"retry-after": "0"} if status == 429 else {}
        return web.json_response(body, status=status, headers=headers)


def message(status: str, **more: Any) -> tuple[int, dict[str, Any]]:
    return 200, {"conversation_id": "c", "id": "m", "status": status, **more}


@asynccontextmanager
async def api(*answers: tuple[int, Any]) -> AsyncIterator[tuple[GenieApi, dict[str, str], Odd]]:
    async with opened(Odd(*answers)) as fake:
        signed = {"Authorization": f"Bearer {fake.sign_in('ada')}"}
        async with GenieApi(fake.url, SPACE) as asking:
            yield asking, signed, fake


async def test_a_question_that_failed_says_why() -> None:
    failed = message("FAILED", error={"error": "no such column", "type": "SQL", "x": 1})
    async with api(failed) as (asking, signed, _):
        told = await asking.answer("c", "m", 5, signed, said_nothing)
    assert told["status"] == "FAILED"
    assert told["error"] == {"error": "no such column", "type": "SQL"}


async def test_polls_may_fail_and_questions_are_asked_once() -> None:
    done = message("COMPLETED", attachments=[{"text": {"content": "42"}}, "odd", {}])
    async with api((500, {}), (200, []), done) as (asking, signed, _):
        told = await asking.answer("c", "m", 30, signed, said_nothing)
    assert told["content"] == {"queryAttachments": [], "textAttachments": ["42"]}
    async with api((0, None)) as (asking, signed, fake):
        with pytest.raises(ToolError, match="status 500") as caught:
            await asking.start("?", None, signed)
        assert len(fake.signed) == 1
        assert "secret text" not in str(caught.value)
        with pytest.raises(ToolError, match="status 500"):
            await asking.answer("c", "m", 30, signed, said_nothing)
        assert len(fake.signed) == 4


async def test_one_that_was_too_early_is_sent_again() -> None:
    async with api((429, {}), message("SUBMITTED")) as (asking, signed, _):
        assert message_of(await asking.start("?", "c", signed)) == ("c", "m")
    async with api((429, {})) as (asking, signed, fake):
        with pytest.raises(ToolError, match="too often"):
            await asking.start("?", "c", signed)
        assert len(fake.signed) == 2


async def test_rows_that_cannot_be_had_cost_no_answer() -> None:
    query = {"query": "SELECT 1", "description": "One."}
    attached = [{"attachment_id": "a", "query": query}]
    async with api(message("COMPLETED", attachments=attached), (403, {})) as (asking, signed, _):
        told: Any = await asking.answer("c", "m", 5, signed, said_nothing)
    (found,) = told["content"]["queryAttachments"]
    assert found["query"] == "SELECT 1"
    assert "status 403" in found["note"]
    rows = [["1"]] * 1_500
    statement = {"statement_response": {"result": {"data_array": rows}}}
    async with api(message("COMPLETED", attachments=attached), (200, statement)) as (
        asking,
        signed,
        _,
    ):
        told = await asking.answer("c", "m", 5, signed, said_nothing)
    (found,) = told["content"]["queryAttachments"]
    assert len(found["statement_response"]["result"]["data_array"]) == 1_000
    assert "500 rows" in found["statement_response"]["note"]


@pytest.mark.parametrize("told", [{}, {"message": {"id": "m"}}, {"conversation_id": 1, "id": "m"}])
async def test_a_message_without_ids_is_none(told: dict[str, Any]) -> None:
    async with api((200, told)) as (asking, signed, _):
        with pytest.raises(ToolError, match="no message"):
            message_of(await asking.start("?", None, signed))
