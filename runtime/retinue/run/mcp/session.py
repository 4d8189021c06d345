"""A `ToolServer` → one session with it: entered and left by one task, called by many."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus

from mcp import Client, MCPError
from mcp.types import (
    CONNECTION_CLOSED,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    UNSUPPORTED_PROTOCOL_VERSION,
    Implementation,
    ToolListChangedNotification,
)
from mcp.types.version import HANDSHAKE_PROTOCOL_VERSIONS

from retinue import __version__
from retinue.agent import Http, Stdio, ToolServer
from retinue.errors import RetinueError, ToolError
from retinue.run.events import ToolResult
from retinue.run.mcp.asking import asks_user
from retinue.run.mcp.faults import BusyError, LinkError, LostAnswerError, clip
from retinue.run.mcp.genie import Poll, answered, polls, waiting
from retinue.run.mcp.http import HttpLink
from retinue.run.mcp.link import Exchange, Link, exchange
from retinue.run.mcp.listening import listen
from retinue.run.mcp.listing import Tolerant, described, list_tools, selected
from retinue.run.mcp.offers import Offer, offers
from retinue.run.mcp.results import tool_result
from retinue.run.mcp.secrets import Secrets
from retinue.run.mcp.sse import SseLink
from retinue.run.mcp.stdio import StdioLink
from retinue.run.ports import Lookup, Tool
from retinue.values import JsonValue

log = logging.getLogger(__name__)

# Seconds: a server that changes several tools says so several times, and one may never stop.
_RELIST_DELAY = 0.1
_RELIST_PAUSE = 2.0

# Seconds that a server has to list its tools, once a call has had no answer.
_PROBE = 5.0

# A workspace answers 404 for what an identity may not see.
_REFUSALS = (401, 403, 404)

# What a server of the oldest protocol answers a POST with, as its stream is opened by GET. Source:
# https://modelcontextprotocol.io/specification/2025-06-18/basic/transports#backwards-compatibility
_OLDEST = (400, 404, 405)

# What a server of the other era may answer `initialize` with.
_ERA_REFUSED = (INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, UNSUPPORTED_PROTOCOL_VERSION)


class Session:
    """One session, from `run` being started to its end; single use.

    `ready` is resolved once `tools` are known; `problem` says in one clause why it ended.
    `era` is what to pass to the next session with the same server, to save its probe.
    With a `user_token`, for servers of the workspace alone, it is that user's session.
    `refused` tells a server that is there and gives this identity no tools from one that is lost.
    `relisted` is called when `tools` have changed since; the `repeatable` ones are those that the
    server says can be called twice.
    """

    def __init__(
        self,
        server: ToolServer,
        lookup: Lookup,
        *,
        user_token: str | None = None,
        era: str | None = None,
        relisted: Callable[[], None] = lambda: None,
    ) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.tools: tuple[Tool, ...] = ()
        self.repeatable: frozenset[str] = frozenset()
        self._problem: str | None = None
        self.era = era
        self._server = server
        self._user_token = user_token
        self._secrets = Secrets(lookup)
        self._client: Client | None = None
        self._relisted = relisted
        self._changed = asyncio.Event()
        self._over = asyncio.Event()
        self._done = asyncio.Event()
        self._connecting = self._exchange()
        self._polls: dict[str, Poll] = {}
        self._offers: dict[str, Offer] = {}
        self._probe: asyncio.Task[None] | None = None
        self.refused = False
        self.protocol: str | None = None
        # Whether the server took up the session: then its era was not the problem.
        self._spoken = False

    @property
    def problem(self) -> str | None:
        return self._problem

    @problem.setter
    def problem(self, problem: str | None) -> None:
        # It is published: in the log, in /health and in the system prompt.
        self._problem = problem and self._secrets.redacted(problem)

    @property
    def ended(self) -> bool:
        return self._over.is_set()

    def end(self, reason: str | None) -> None:
        """Ask the session's own task to leave; `reason` becomes its problem if it has none."""
        self.problem = self.problem or reason
        self._over.set()

    async def run(self) -> None:
        """Connect, list the tools, hold the session until its end. Raises nothing of mcp's."""
        exchange.set(self._connecting)
        try:
            for mode, last in _modes(self._server, self.era):
                link = self._link(mode)
                try:
                    await self._hold(link, mode)
                except Exception as error:  # noqa: BLE001 - it becomes `problem`
                    # mcp's exception groups may hold anything.
                    if not isinstance(link, SseLink) or link.opened or self.problem is None:
                        self.problem = self._why(error, link)
                        self.refused = self._is_refusal(error)
                    log.debug("session with '%s' ended: %s", self._server.name, self.problem)
                    if last or not self._is_era(error, link):
                        return
                    self._connecting = self._exchange()
                    exchange.set(self._connecting)
                else:
                    fault = link.fault()
                    self.problem = self.problem or (str(fault) if fault else None)
                    return
        finally:
            self._over.set()
            self._done.set()

    def doubt(self) -> None:
        """A call had no answer in time: end the session if the server answers nothing else either.

        One that hangs would take every later call with it.
        """
        if self._client and not self.ended and (self._probe is None or self._probe.done()):
            self._probe = asyncio.create_task(self._probed(self._client))

    async def _probed(self, client: Client) -> None:
        exchange.set(self._exchange())
        try:
            async with asyncio.timeout(min(_PROBE, self._server.timeout)):
                await client.list_tools(cache_mode="bypass")
        except TimeoutError:
            self.end("it stopped answering")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is an answer
            log.debug("'%s' answered a probe with %s", self._server.name, type(error).__name__)

    async def call(self, name: str, arguments: dict[str, JsonValue]) -> ToolResult:
        """Call a tool. Raises ToolError, and LinkError where the session can't go on."""
        try:
            return await self._answered(name, arguments)
        # Without their causes, which say it unredacted.
        except BusyError as busy:
            raise BusyError(self._secrets.redacted(str(busy)), busy.wait) from None
        except LostAnswerError as lost:
            raise LostAnswerError(self._secrets.redacted(str(lost))) from None
        except ToolError as error:
            raise ToolError(self._secrets.redacted(str(error))) from None
        except LinkError as fault:
            problem = self._secrets.redacted(str(fault))
            raise LinkError(problem, delivered=fault.delivered) from None

    async def _answered(self, name: str, arguments: dict[str, JsonValue]) -> ToolResult:
        clock = asyncio.get_running_loop().time
        began = clock()
        result = await self._called(name, arguments)
        poll = self._polls.get(name)
        if poll is None:
            return result
        # A little less than the call's own deadline, which would say less.
        patience = 0.95 * self._server.timeout - (clock() - began)
        return await answered(result, poll, self._polled, patience)

    async def _polled(self, name: str, arguments: dict[str, JsonValue]) -> ToolResult:
        try:
            return await self._called(name, arguments)
        except LinkError as fault:
            # The question was asked, whatever happened to the poll: it is not to be asked again.
            raise LinkError(str(fault)) from None

    async def _called(self, name: str, arguments: dict[str, JsonValue]) -> ToolResult:
        if self._client is None or self.ended:
            raise LinkError(self.problem or "the connection was lost", delivered=False)
        record = self._exchange()
        token = exchange.set(record)
        try:
            offer = self._offers.get(name)
            if offer:
                result = await offer.run(self._client, arguments)
            else:
                result = await self._client.call_tool(name, arguments)
        except MCPError as error:
            raise await self._explained(error, record) from error
        except Exception as error:
            # Wrong structured content is a RuntimeError, wrong content a ValidationError.
            log.debug("'%s' answered badly: %s", self._server.name, type(error).__name__)
            raise ToolError(
                f"The tool server '{self._server.name}' gave an answer that is not valid MCP."
            ) from error
        finally:
            exchange.reset(token)
        return tool_result(result, self._secrets)

    def _is_refusal(self, error: Exception) -> bool:
        record = self._connecting
        if record.refused or record.fault:
            return record.status in _REFUSALS
        return isinstance(next(_leaves(error)), MCPError)

    def _exchange(self) -> Exchange:
        return Exchange(as_user=self._user_token is not None)

    def _is_era(self, error: Exception, link: Link) -> bool:
        """Whether another way of speaking to the server may be its own."""
        if isinstance(link, StdioLink):
            return not (self._spoken or _spoken(error) or link.fault() is not None)
        return not self._spoken and self._connecting.status in _OLDEST

    def _link(self, mode: str) -> Link:
        transport = self._server.transport
        if isinstance(transport, Stdio):
            return StdioLink(self._server.name, transport, self._secrets, self._over.set)
        if mode == "sse":
            return SseLink(self._server, self._secrets, self._over.set)
        return HttpLink(self._server, self._secrets, self._user_token)

    async def _hold(self, link: Link, mode: str) -> None:
        info = Implementation(name="retinue", version=__version__)
        tolerant = Tolerant(link, self._server.name)
        spoken = "legacy" if mode == "sse" else mode
        async with Client(
            tolerant, mode=spoken, cache=None, client_info=info, message_handler=self._hear
        ) as client:
            self._spoken, self.problem = True, None
            self.tools = await self._list(client)
            self.protocol = client.protocol_version
            legacy = client.protocol_version in HANDSHAKE_PROTOCOL_VERSIONS
            self.era = "sse" if mode == "sse" else "legacy" if legacy else "auto"
            self._client = client
            self.ready.set_result(None)
            following = asyncio.create_task(self._follow(client))
            listening = asyncio.create_task(self._listen(client))
            try:
                await self._over.wait()
            finally:
                beside = {task for task in (following, listening, self._probe) if task}
                for task in beside:
                    task.cancel()
                await asyncio.wait(beside)

    async def _list(self, client: Client) -> tuple[Tool, ...]:
        listed, self.repeatable = await list_tools(client, self._server.name)
        self._polls = polls(listed)
        shown = described(waiting(selected(listed, self._server), self._polls), self._server)
        taken = {tool.name for tool in listed}
        self._offers = {
            o.tool.name: o for o in offers(client, self._server) if o.tool.name not in taken
        }
        return (*map(self._redacted, shown), *(offer.tool for offer in self._offers.values()))

    async def _hear(self, message: object) -> None:
        if isinstance(message, ToolListChangedNotification):
            self._changed.set()

    async def _listen(self, client: Client) -> None:
        """Hear of changes on a request that is held open, where the newer protocol is spoken.

        A user's own session is short, and lists anew: it isn't worth a request for each of them.
        """
        if self._user_token is None:
            exchange.set(self._exchange())
            await listen(client, self._server, self._changed.set)

    async def _follow(self, client: Client) -> None:
        """List the tools again when the server says that they have changed; not too often."""
        exchange.set(self._exchange())
        while await self._changed.wait():
            await asyncio.sleep(_RELIST_DELAY)
            self._changed.clear()
            try:
                async with asyncio.timeout(self._server.timeout):
                    tools = await self._list(client)
            except Exception as error:  # noqa: BLE001 - whatever it is, the tools known stay
                kind = type(error).__name__
                log.warning("'%s' could not list its tools again (%s)", self._server.name, kind)
            else:
                if tools != self.tools:
                    self.tools = tools
                    self._relisted()
            await asyncio.sleep(_RELIST_PAUSE)

    async def _explained(self, error: MCPError, record: Exchange) -> LinkError | ToolError:
        """What the error means: HTTP has the first word, then the link, then the server."""
        if asks_user(error):
            return ToolError(
                f"The tool server '{self._server.name}' asks the user for input in this call, and "
                "nobody can answer that here. Give it all that it needs, or go on without it."
            )
        if record.fault and not record.fault.delivered:
            return record.fault
        if self.era != "auto" and record.forgotten(error.message):
            return LinkError("the server no longer knows the session", delivered=False)
        if record.status == 401 and not record.as_user:
            return LinkError(record.words(), delivered=False)
        name = self._server.name
        if record.fault:
            return LostAnswerError(
                f"The tool server '{name}' failed during the call: {record.fault}. "
                "The call may have taken effect."
            )
        if _closed(error):
            # The session's own task is about to learn of it.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), 0.5)
        if self._over.is_set():
            await self._done.wait()
            return LinkError(self.problem or "the connection was lost")
        if record.refused:
            refusal = f"The call failed: the tool server '{name}' {record.words()}."
            wait = record.wait if record.status == HTTPStatus.TOO_MANY_REQUESTS else None
            return ToolError(refusal) if wait is None else BusyError(refusal, wait)
        said = self._clipped(error.message, 2000)
        return ToolError(f"The tool server '{name}' refused the call: {said}")

    def _clipped(self, text: str, limit: int = 300) -> str:
        # In this order, or half a secret could be left at the end.
        return clip(self._secrets.redacted(text), limit)

    def _redacted(self, tool: Tool) -> Tool:
        return replace(tool, description=self._secrets.redacted(tool.description))

    def _why(self, error: Exception, link: Link) -> str:
        """Why there is no session, in one clause."""
        record = self._connecting
        if fault := link.fault() or record.fault:
            return str(fault)
        if record.refused:
            return record.words()
        leaf = next(_leaves(error))
        if isinstance(leaf, RetinueError):
            return str(leaf)
        if isinstance(leaf, MCPError):
            return f"it refused the session: {self._clipped(leaf.message)}"
        return f"it does not speak MCP as expected ({type(leaf).__name__})"


def _modes(server: ToolServer, era: str | None) -> tuple[tuple[str, bool], ...]:
    """Ways of connecting to try, in order, and whether each is the last.

    A legacy command that ignores unknown methods would cost mcp's probe ten seconds, and those
    made with the Rust SDK before its version 3 end when anything else comes first, while nearly
    every command of either era answers `initialize` at once: so commands are asked that. At a URL
    that refuses both, the oldest protocol may be spoken.
    """
    if era:
        return ((era, True),)
    if isinstance(server.transport, Stdio):
        return (("legacy", False), ("auto", True))
    if isinstance(server.transport, Http):
        return (("auto", False), ("sse", True))
    return (("auto", True),)


def _spoken(error: Exception) -> bool:
    """Whether the server itself refused, and not for the era it was asked in."""
    leaf = next(_leaves(error))
    return isinstance(leaf, MCPError) and leaf.code not in _ERA_REFUSED and not _closed(leaf)


def _closed(error: MCPError) -> bool:
    """Whether mcp says so; servers use its code for errors of their own."""
    return error.code == CONNECTION_CLOSED and error.message == "Connection closed"


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error
