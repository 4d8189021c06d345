"""Agents → an MCP server with a tool for each, over streamable HTTP of either era."""

import asyncio
import logging
from collections import OrderedDict
from contextlib import AsyncExitStack, aclosing
from types import TracebackType
from typing import Any, Self

import anyio
from mcp import MCPError
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.caching import CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
)
from sse_starlette.sse import AppStatus
from starlette.types import Message, Receive, Scope, Send

from retinue import __version__
from retinue.agent import Agent
from retinue.run.events import RunFinished, ToolFinished, ToolProgressed, ToolStarted
from retinue.run.options import RunOptions
from retinue.run.runtime import Runtime
from retinue.serve.access import HUNG_UP, record_of
from retinue.serve.exchange import header
from retinue.serve.mcp_tools import Asked, asked, failure, result_of, tool_of
from retinue.serve.wire.errors import answer
from retinue.serve.wire.models import open_agents
from retinue.serve.wire.session import HEADER as SESSION_HEADER
from retinue.serve.wire.session import session_name
from retinue.serve.wire.steps import step

log = logging.getLogger("retinue.serve")

# Of clients of the older protocol, which a session is kept for.
_MOST_SESSIONS = 2_000
_IDLE = 600.0
_MOST_REMEMBERED = 10 * _MOST_SESSIONS
_SESSION = "mcp-session-id"
_LEFT = "retinue.left"

# Its streams would break off at the first sign of the server's end, which gives them time.
AppStatus.enable_automatic_graceful_drain = False

Context = ServerRequestContext[Any, Any]


class AgentsServer:
    """`async with AgentsServer(runtime)`, entered and left by one task; others pass it requests."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._tools = {name: tool_of(agent) for name, agent in runtime.agents.items()}
        server: Server[Any] = Server(
            "retinue",
            version=__version__,
            on_list_tools=self._list,
            on_call_tool=self._call,
            # Some clients ask for every list there is, and take an error for the server's end.
            on_list_resources=_no_resources,
            on_list_resource_templates=_no_templates,
            on_list_prompts=_no_prompts,
            # Which agents there are depends on who asks.
            cache_hints={"tools/list": CacheHint(ttl_ms=60_000, scope="private")},
        )
        self._stateful = StreamableHTTPSessionManager(
            server, session_idle_timeout=_IDLE, max_sessions=_MOST_SESSIONS
        )
        self._stateless = StreamableHTTPSessionManager(server, stateless=True)
        self._sessions: OrderedDict[str, None] = OrderedDict()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._stateful.run())
        await self._stack.enter_async_context(self._stateless.run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, trace)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. A session belongs to whoever opened it.

        One that another process has opened is answered too, but for cancelling: nothing else is
        kept in it.
        """
        # uvicorn leaves the blanks after a value, and the protocol compares values with the body.
        scope["headers"] = [(name, value.strip(b" \t")) for name, value in scope["headers"]]
        subject = record_of(scope).identity.subject
        if subject:
            scope["user"] = AuthenticatedUser(AccessToken(token="", client_id=subject, scopes=[]))
        left = scope[_LEFT] = asyncio.Event()

        async def noticing() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                left.set()
            return message

        async def remembering(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._remember(dict(message["headers"]).get(_SESSION.encode()))
            await send(message)

        session = header(scope, _SESSION)
        if session is None or session in self._sessions:
            await self._stateful.handle_request(scope, noticing, remembering)
        else:
            await self._stateless.handle_request(scope, noticing, send)

    def _remember(self, session: bytes | None) -> None:
        if session:
            self._sessions[session.decode("latin-1")] = None
        if len(self._sessions) > _MOST_REMEMBERED:
            self._sessions.popitem(last=False)

    def _open(self, scope: Scope) -> dict[str, Agent]:
        return dict(open_agents(self._runtime.agents, record_of(scope).identity.closed))

    async def _list(
        self, context: Context, _params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        return ListToolsResult(tools=[self._tools[name] for name in self._open(_scope(context))])

    async def _call(self, context: Context, params: CallToolRequestParams) -> CallToolResult:
        scope = _scope(context)
        agent = self._open(scope).get(params.name)
        if agent is None:
            raise MCPError(INVALID_PARAMS, f"Unknown tool: {params.name[:100]}")
        arguments = asked(self._tools[agent.name], params.arguments or {})
        if isinstance(arguments, str):
            return failure(arguments)
        running = asyncio.create_task(self._answered(context, scope, agent, arguments))
        # The older protocol lets a call go on whose caller is gone: its answer would go nowhere.
        leaving = asyncio.create_task(scope[_LEFT].wait())
        try:
            await asyncio.wait({running, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                return running.result()
            record_of(scope).status = HUNG_UP
            return failure("The caller went away.")
        finally:
            running.cancel()
            leaving.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait({running, leaving})

    async def _answered(
        self, context: Context, scope: Scope, agent: Agent, given: Asked
    ) -> CallToolResult:
        record = record_of(scope)
        try:
            return await self._run(context, scope, agent, given)
        except Exception as error:
            told = answer(error)
            record.fault = told.code or told.type
            if told.unexpected:
                log.error("request_id=%s failed", record.id, exc_info=error)
            return failure(told)
        finally:
            record.over()

    async def _run(
        self, context: Context, scope: Scope, agent: Agent, given: Asked
    ) -> CallToolResult:
        record = record_of(scope)
        identity = record.identity
        record.agent, record.said = agent.name, given.conversation
        record.session = session_name(
            header(scope, SESSION_HEADER), given.metadata, identity.subject, given.conversation
        )
        run = self._runtime.run(
            agent.name,
            given.conversation,
            options=RunOptions(),
            caller=record.caller(given.metadata),
            request=record,
        )
        steps = 0
        async with aclosing(run) as events:
            async for event in events:
                if isinstance(event, RunFinished):
                    record.finish, record.usage = event, event.usage
                    return result_of(agent, event)
                if isinstance(event, ToolStarted | ToolProgressed | ToolFinished):
                    steps += 1
                    await _tell(context, agent, steps, step(event).line)
        raise RuntimeError("the run ended without saying so")


async def _no_resources(
    _context: Context, _params: PaginatedRequestParams | None
) -> ListResourcesResult:
    return ListResourcesResult(resources=[])


async def _no_templates(
    _context: Context, _params: PaginatedRequestParams | None
) -> ListResourceTemplatesResult:
    return ListResourceTemplatesResult(resource_templates=[])


async def _no_prompts(
    _context: Context, _params: PaginatedRequestParams | None
) -> ListPromptsResult:
    return ListPromptsResult(prompts=[])


async def _tell(context: Context, agent: Agent, steps: int, line: str) -> None:
    """A step of the run, where the agent shows its steps and the caller asked for progress."""
    if line and agent.serving.steps != "off":
        await context.session.report_progress(steps, None, line)


def _scope(context: Context) -> Scope:
    if context.request is None:
        raise RuntimeError("a request over HTTP has a scope")
    found: Scope = context.request.scope
    return found
