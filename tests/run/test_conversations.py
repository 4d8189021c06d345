"""Genie goes on with a session's conversation, and with nobody else's."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from retinue.agent import Databricks, ToolServer
from retinue.run.caller import Caller
from retinue.run.events import ToolResult
from retinue.run.mcp import Connection, UserConnection
from retinue.run.messages import ToolCall
from retinue.run.references import environment
from retinue.run.sessions import SessionsInMemory
from retinue.run.toolbox import AgentToolbox
from retinue.serve.identity import Identity
from retinue.testing import run_context
from run.fake_workspace import opened
from run.managed_servers import ManagedServers

pytestmark = pytest.mark.usefixtures("in_an_app")

ASK = "query_space_01ef"
TEXT = {"type": "string"}
TOOLS = [
    {"name": name, "inputSchema": {"type": "object", "properties": dict.fromkeys(taken, TEXT)}}
    for name, taken in {
        ASK: ("query", "conversation_id"),
        "poll_response_01ef": ("conversation_id", "message_id"),
    }.items()
]
SPACE = Databricks(kind="genie_space", target="01ef")


class GenieSpaces(ManagedServers):
    """A space whose conversations belong to who began them."""

    def __init__(self) -> None:
        super().__init__()
        self.tools = TOOLS
        self.conversations: dict[str, list[tuple[str, str]]] = {}
        self.stolen: list[str] = []

    def _call(self, params: dict[str, Any], who: str) -> dict[str, Any]:
        given = params["arguments"]
        name = given.get("conversation_id") or f"c{len(self.conversations) + 1}"
        said = self.conversations.setdefault(name, [])
        if any(other != who for other, _ in said):
            self.stolen.append(who)
        if given["query"] == "fail":
            return {"content": [{"type": "text", "text": "no"}], "isError": True}
        said.append((who, given["query"]))
        body = {"conversationId": name, "messageId": "m", "status": "COMPLETED"}
        return {"content": [{"type": "text", "text": json.dumps(body)}]}


@asynccontextmanager
async def space(fake: GenieSpaces, auth: Any) -> AsyncIterator[AgentToolbox]:
    server = ToolServer(name="s", transport=SPACE, auth=auth, timeout=10)
    lookup = environment({"DATABRICKS_HOST": fake.url, "DATABRICKS_APP_NAME": "agent"})
    connection = (UserConnection if auth == "user" else Connection)(server, lookup)
    try:
        await connection.start()
        yield AgentToolbox([connection])
    finally:
        await connection.aclose()


def caller(user: str, session: str = "s") -> Caller:
    return Identity(user_id=user, access_token=f"the-token-of-{user}").caller({}, session)


class Asking:
    """Runs of many callers that share what a process keeps."""

    def __init__(self, toolbox: AgentToolbox) -> None:
        self.toolbox = toolbox
        self.sessions = SessionsInMemory()

    async def ask(self, who: Caller, query: str, **more: str) -> ToolResult:
        context = run_context(caller=who)
        context.sessions = self.sessions
        arguments = json.dumps({"query": query, **more})
        return await self.toolbox.call(ToolCall("c", f"s__{ASK}", arguments), context)


@pytest.mark.parametrize("auth", ["user", "app"])
async def test_thirty_users_at_once_each_have_their_own(auth: str) -> None:
    users = [f"user-{n}" for n in range(30)]
    async with opened(GenieSpaces()) as fake, space(fake, auth) as toolbox:
        asking = Asking(toolbox)
        for turn in ("one", "two", "three"):
            # All of them call their session the same.
            asked = (asking.ask(caller(user), f"{turn} of {user}") for user in users)
            assert not any(result.is_error for result in await asyncio.gather(*asked))
    assert len(fake.conversations) == 30
    for said in fake.conversations.values():
        (user,) = {query.partition(" of ")[2] for _, query in said}
        assert [query for _, query in said] == [f"{t} of {user}" for t in ("one", "two", "three")]
        if auth == "user":
            assert {who for who, _ in said} == {f"Bearer the-token-of-{user}"}
    assert fake.stolen == []


async def test_each_session_has_its_own_and_so_has_a_run_without() -> None:
    async with opened(GenieSpaces()) as fake, space(fake, "app") as toolbox:
        asking = Asking(toolbox)
        for session in ("a", "b", "a"):
            await asking.ask(caller("ada", session), f"in {session}")
        for _ in range(2):
            await asking.ask(Caller(user_id="ada"), "in none")
    said = [[query for _, query in said] for said in fake.conversations.values()]
    assert said == [["in a", "in a"], ["in b"], ["in none"], ["in none"]]


async def test_a_conversation_that_failed_is_not_gone_on_with() -> None:
    async with opened(GenieSpaces()) as fake, space(fake, "app") as toolbox:
        asking = Asking(toolbox)
        for query in ("one", "fail", "two"):
            await asking.ask(caller("ada"), query)
    assert [len(said) for said in fake.conversations.values()] == [1, 1]


async def test_questions_at_the_same_time_do_not_wait_for_one_another() -> None:
    async with opened(GenieSpaces()) as fake, space(fake, "app") as toolbox:
        asking = Asking(toolbox)
        await asking.ask(caller("ada"), "first")
        await asyncio.gather(*(asking.ask(caller("ada"), "more") for _ in range(3)))
        assert len(fake.conversations) == 3
        # What the model names goes before.
        await asking.ask(caller("ada"), "chosen", conversation_id="c1")
    assert fake.conversations["c1"][-1][1] == "chosen"


async def test_sessions_are_kept_for_a_time_and_not_all_of_them() -> None:
    now = 0.0
    sessions = SessionsInMemory(most=2, life=10.0, clock=lambda: now)
    for number in range(3):
        await sessions.put(f"s{number}", "name", "text")
    assert [await sessions.take(f"s{n}", "name") for n in range(3)] == [None, "text", "text"]
    assert [await sessions.take(f"s{n}", "name") for n in range(3)] == [None, None, None]
    await sessions.put("s1", "name", "text")
    await sessions.put("s1", "name", "x" * 1001)
    assert await sessions.take("s1", "name") is None
    await sessions.put("s1", "name", "text")
    now = 11.0
    assert await sessions.take("s1", "name") is None


def test_a_session_is_bound_to_its_user() -> None:
    ada = Identity(user_id="ada")
    assert ada.caller({}, "s").session == Identity(user_id="ada").caller({}, "s").session
    others = [
        Identity(user_id="bob"), Identity(user_email="ada"), Identity(key="ada"), Identity(),
    ]  # fmt: skip
    assert len({each.caller({}, "s").session for each in (ada, *others)}) == 5
    # A name that nobody gave may be another's behind the same key.
    assert ada.caller({}, "auto-1").session is not None
    assert Identity(key="k").caller({}, "auto-1").session is None
    assert Identity().caller({}, "auto-1").session is None
    assert ada.caller({}).session is None
