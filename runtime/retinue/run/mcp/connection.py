"""A `ToolServer` → a connection that stays: opened once, shared, reopened after a loss."""

import asyncio
import importlib
import logging
import random
from typing import TYPE_CHECKING, Literal

from retinue.agent import Stdio, ToolServer
from retinue.errors import ToolError
from retinue.run.events import ToolResult
from retinue.run.mcp.faults import BusyError, LinkError, LostAnswerError
from retinue.run.ports import Lookup, Tool
from retinue.values import JsonValue

if TYPE_CHECKING:
    from retinue.run.mcp.session import Session

log = logging.getLogger(__name__)

ConnectionState = Literal["connecting", "up", "down", "closed"]

# Seconds. A command may have to fetch its package first (uvx, npx).
CONNECT_TIMEOUT = 15.0
COMMAND_TIMEOUT = 20.0
_CLOSE_TIMEOUT = 6.0
_FIRST_DELAY = 0.25
_LONGEST_DELAY = 60.0
# A server that says when to come back is waited for so long.
_LONGEST_BUSY = 5.0
# A session shorter than this is a crash loop, not a life.
_HEALTHY = 5.0


class Connection:
    """One server. Many tasks may call it at once; none of them ever enters mcp's client.

    `tools` are the server's own names after `include` and `exclude`; they stay known through
    a loss. `problem` is one sentence while the server is not up, and holds no secret.
    `connecting` is the first attempt and the one right after a loss; later ones are `down`.
    `refused` tells a server that is there, and doesn't want this identity, from one that is lost.
    Tools are listed again when the server says that they have changed.
    With a `user_token` it is that user's, and else this process's own, also for a server with
    `auth: user`: `UserConnection` keeps the two apart. `era` saves the probe, where it is known.
    `latency` is what getting ready took last, in seconds; `protocol` the version of MCP spoken.
    """

    def __init__(
        self,
        server: ToolServer,
        lookup: Lookup,
        *,
        connect_timeout: float | None = None,
        user_token: str | None = None,
        era: str | None = None,
    ) -> None:
        self.server = server
        self.state: ConnectionState = "connecting"
        self.problem: str | None = None
        self.tools: tuple[Tool, ...] = ()
        self._lookup = lookup
        self._connect_timeout = (
            connect_timeout or server.connect_timeout or _default_timeout(server)
        )
        self.refused = False
        self.era = era
        self.latency: float | None = None
        self.protocol: str | None = None
        self._user_token = user_token
        self._session: Session | None = None
        self._supervisor: asyncio.Task[None] | None = None
        # Resolved when the attempt under way, or else the next one, has ended either way.
        self._outcome: asyncio.Future[None] | None = None
        self._hurry = asyncio.Event()

    async def start(self) -> None:
        """Connect. Returns when the server is up or the first attempt has failed; `state` tells.

        Further attempts go on in the background. Never raises for a server that is down.
        """
        outcome = self._begin()
        if self.state == "connecting":
            await asyncio.shield(outcome)

    async def call(self, name: str, arguments: dict[str, JsonValue]) -> ToolResult:
        """Call a tool by the server's own name for it.

        Raises ToolError, with text for the model, where the server is down, slow or broken.
        Cancelling the caller cancels the call at the server.
        """
        try:
            async with asyncio.timeout(self.server.timeout):
                return await self._call(name, arguments)
        except TimeoutError:
            if self._session:
                self._session.doubt()
            raise ToolError(
                f"The tool server '{self._name}' did not answer within "
                f"{self.server.timeout:g} s. The call may still take effect."
            ) from None

    async def aclose(self) -> None:
        """End the session and its process. Idempotent, from any task."""
        first = self.state != "closed"
        self.state, self.problem = "closed", "the connection is closed"
        if self._supervisor is None:
            return
        if first:
            # Once only: a second cancellation would cut the closing short.
            self._supervisor.cancel()
        await asyncio.wait({self._supervisor})

    @property
    def available(self) -> bool:
        """Whether its tools can be called; right after a loss they can, once it is back."""
        return self.state == "up" or (self.state == "connecting" and bool(self.tools))

    @property
    def _name(self) -> str:
        return self.server.name

    async def _call(self, name: str, arguments: dict[str, JsonValue]) -> ToolResult:
        for last in (False, True):
            session = await self._live()
            again = not last and self.server.trusted and name in session.repeatable
            if name not in {tool.name for tool in self.tools}:
                raise ToolError(f"The tool server '{self._name}' offers no tool '{name}'.")
            try:
                return await session.call(name, arguments)
            except LinkError as fault:
                session.end(str(fault))
                # Sent again where the server certainly did not run it the first time, or may.
                if last or (fault.delivered and not again):
                    raise ToolError(self._lost(fault)) from fault
            except LostAnswerError:
                if not again:
                    raise
            except BusyError as busy:
                if last or busy.wait > _LONGEST_BUSY:
                    raise
                await asyncio.sleep(busy.wait)
        raise AssertionError("unreachable")

    def _lost(self, fault: LinkError) -> str:
        doubt = " The call may have taken effect." if fault.delivered else ""
        return f"The tool server '{self._name}' failed during the call: {fault}.{doubt}"

    async def _live(self) -> "Session":
        """The session; where there is none, the outcome of an attempt that is made at once."""
        if self._session is None or self._session.ended:
            outcome = self._begin()
            self._hurry.set()
            await asyncio.shield(outcome)
        if self._session is None:
            raise ToolError(
                f"The tool server '{self._name}' is not available: {self.problem}. "
                "Go on without it, and say so where it matters."
            )
        return self._session

    def _begin(self) -> asyncio.Future[None]:
        """Start the supervisor if there is none; the outcome of this attempt, or else the next."""
        if self._supervisor is None and self.state != "closed":
            self._supervisor = asyncio.create_task(self._supervise(), name=f"mcp {self._name}")
        if self._outcome is None:
            self._outcome = asyncio.get_running_loop().create_future()
        if (self._supervisor is None or self._supervisor.done()) and not self._outcome.done():
            self._outcome.set_result(None)
        return self._outcome

    async def _supervise(self) -> None:
        """Attempt, live, wait, for ever: the only task that changes the state."""
        failures = 0
        try:
            while True:
                try:
                    lived = await self._one_session()
                except Exception:
                    # A bug of ours: it costs this server, and says so.
                    log.exception("the session with '%s' failed unexpectedly", self._name)
                    self._down("its session failed unexpectedly", refused=False)
                    lived = 0.0
                failures = 0 if lived > _HEALTHY else failures + 1
                if failures:
                    delay = min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** (failures - 1))
                    await self._pause(delay * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
        finally:
            self._settle()

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._hurry.wait(), seconds)
        except TimeoutError:
            return

    async def _one_session(self) -> float:
        """One attempt and, where it succeeds, the life after it, in seconds."""
        # Imported here and in a thread: mcp costs half a second that start-up need not pay.
        module = await asyncio.to_thread(importlib.import_module, "retinue.run.mcp.session")
        session: Session = module.Session(
            self.server,
            self._lookup,
            user_token=self._user_token,
            era=self.era,
            relisted=lambda: self._relisted(session),
        )
        task = asyncio.create_task(session.run(), name=f"mcp session {self._name}")
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            waiting = {task, session.ready}
            await asyncio.wait(
                waiting, timeout=self._connect_timeout, return_when=asyncio.FIRST_COMPLETED
            )
            if not session.ready.done():
                self._down(session.problem or self._too_slow(), refused=session.refused)
                return 0.0
            self.latency = clock() - began
            self._up(session)
            began = clock()
            await asyncio.wait({task})
            self._dropped(session)
            return clock() - began
        finally:
            self._session = None
            await _end(session, task)

    def _too_slow(self) -> str:
        return f"it did not get ready within {self._connect_timeout:g} s"

    def _up(self, session: "Session") -> None:
        self.state, self.problem = "up", None
        self.tools, self._session, self.era = session.tools, session, session.era
        self.protocol = session.protocol
        self.refused = False
        log.info("tool server '%s' is up with %d tools", self._name, len(self.tools))
        self._settle()

    def _relisted(self, session: "Session") -> None:
        self.tools = session.tools
        log.info("tool server '%s' has changed to %d tools", self._name, len(self.tools))

    def _dropped(self, session: "Session") -> None:
        self.state = "connecting"
        self.problem = session.problem or "the connection was lost"
        log.warning("tool server '%s' was lost: %s", self._name, self.problem)

    def _down(self, problem: str, *, refused: bool) -> None:
        level = (
            logging.DEBUG if (self.state, self.problem) == ("down", problem) else logging.WARNING
        )
        log.log(level, "tool server '%s' is not available: %s", self._name, problem)
        self.state, self.problem, self.era = "down", problem, None
        self.refused = refused
        self._settle()

    def _settle(self) -> None:
        settled, self._outcome = self._outcome, None
        self._hurry.clear()
        if settled is not None and not settled.done():
            settled.set_result(None)


def _default_timeout(server: ToolServer) -> float:
    return COMMAND_TIMEOUT if isinstance(server.transport, Stdio) else CONNECT_TIMEOUT


async def _end(session: "Session", task: asyncio.Task[None]) -> None:
    """Leave no session behind: politely if it was up, by cancellation otherwise."""
    if task.done():
        return
    session.end(None)
    if not session.ready.done():
        task.cancel()
    done, _ = await asyncio.wait({task}, timeout=_CLOSE_TIMEOUT)
    if not done:
        task.cancel()
        await asyncio.wait({task}, timeout=_CLOSE_TIMEOUT)
