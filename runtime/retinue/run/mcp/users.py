"""A server with `auth: user` → a connection for each caller, which carries that caller's token."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from retinue.agent import Databricks, DatabricksKind, ToolServer
from retinue.errors import MissingReferenceError, RequestError, ToolError
from retinue.run.caller import Caller
from retinue.run.events import ToolResult
from retinue.run.mcp.connection import Connection, ConnectionState
from retinue.run.ports import Lookup, Tool
from retinue.run.workspace import is_person
from retinue.values import JsonValue

# Connections of users to one server, and the seconds for which an unused one is kept.
MOST_USERS = 200
IDLE = 300.0

# Of these a workspace lists what whoever asks may use.
_BY_GRANTS: tuple[DatabricksKind, ...] = ("functions", "vector_search")

_NOBODYS = (
    "it is used with the rights of each user, and this request brings no Databricks token of a "
    "user's: call the agent through its Databricks App as a signed-in user, with user "
    "authorization enabled for the app, or set `auth: app` for the server"
)


@dataclass(slots=True)
class _Users:
    """One user's connection, and how many calls use it now."""

    connection: Connection
    busy: int = 0
    timer: asyncio.TimerHandle | None = None


@dataclass(frozen=True, slots=True)
class UsersTools:
    """The server as one caller sees it, for a run of that caller."""

    source: "UserConnection"
    tools: tuple[Tool, ...]
    problem: str | None = None

    @property
    def server(self) -> ToolServer:
        return self.source.server

    @property
    def available(self) -> bool:
        return self.problem is None

    async def call(self, name: str, arguments: dict[str, JsonValue], caller: Caller) -> ToolResult:
        return await self.source.call(name, arguments, caller)


class UserConnection:
    """One server with `auth: user`, for all its callers.

    A call goes out in a session of the caller's own, opened for their token alone and closed when
    it is idle; no call goes out as the app. The app's own identity lists the tools, where it may;
    where it is refused the server still counts as up, and each caller's own session lists them.
    Where no Databricks App serves and a person is logged in, a caller without a name and a token
    is that person. `idle` is in seconds; `problem` may also say why each caller lists the tools.
    """

    def __init__(
        self,
        server: ToolServer,
        lookup: Lookup,
        *,
        most_users: int = MOST_USERS,
        idle: float = IDLE,
    ) -> None:
        self.server = server
        self._lookup = lookup
        self._most = most_users
        self._idle = idle
        self._own = Connection(server, lookup)
        # By the digest of their token, the least recently used first.
        self._users: OrderedDict[str, _Users] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """List the tools as the app. Returns as `Connection.start` does, and raises as little."""
        await self._own.start()

    @property
    def state(self) -> ConnectionState:
        return "up" if self._own.state == "down" and self._own.refused else self._own.state

    @property
    def problem(self) -> str | None:
        why = self._own.problem
        if self._own.state == "down" and self._own.refused:
            return f"its tools are listed for each user, as the app itself may not: {why}"
        return why

    @property
    def latency(self) -> float | None:
        return self._own.latency

    @property
    def protocol(self) -> str | None:
        return self._own.protocol

    @property
    def tools(self) -> tuple[Tool, ...]:
        """Those that the app may list."""
        return self._own.tools

    @property
    def available(self) -> bool:
        return self.state == "up" or self._own.available

    @property
    def listed(self) -> bool:
        """Whether what `tools` has is for all callers; of a server that is down, nothing is."""
        if self.state != "up":
            return True
        return bool(self.tools) and not self._own.refused and not self._by_grants

    @property
    def _by_grants(self) -> bool:
        transport = self.server.transport
        return isinstance(transport, Databricks) and transport.kind in _BY_GRANTS

    async def call(self, name: str, arguments: dict[str, JsonValue], caller: Caller) -> ToolResult:
        """Call a tool with the caller's rights. Raises ToolError, with text for the model."""
        if await self._is_person(caller):
            return await self._own.call(name, arguments)
        async with self._of(caller) as connection:
            return await connection.call(name, arguments)

    async def shown_to(self, caller: Caller) -> UsersTools:
        """The tools that the caller's own rights show. Raises nothing."""
        try:
            if await self._is_person(caller):
                return UsersTools(self, self._own.tools, self._own.problem)
            if not caller.token:
                return UsersTools(self, (), _NOBODYS)
            async with self._of(caller) as connection:
                await connection.start()
                return UsersTools(self, connection.tools, connection.problem)
        except ToolError as error:
            return UsersTools(self, (), str(error).rstrip("."))

    async def require(self, caller: Caller) -> None:
        """Raises RequestError where the caller brings no token to call it with."""
        try:
            known = caller.token or await self._is_person(caller)
        except ToolError:
            return  # nobody is logged in here: the server's own state decides
        if not known:
            message = f"The agent needs the tool server '{self.server.name}', and {_NOBODYS}."
            raise RequestError(message, code="user_token_missing", status=403)

    async def aclose(self) -> None:
        """Close every session. Idempotent."""
        while self._users:
            self._retire(next(iter(self._users)))
        await asyncio.gather(self._own.aclose(), *self._closing)

    async def _is_person(self, caller: Caller) -> bool:
        """Whether the caller is the person who is logged in here. Raises ToolError for nobody."""
        try:
            return await is_person(caller, self._lookup)
        except MissingReferenceError as missing:
            name = self.server.name
            raise ToolError(f"The tool server '{name}' is not available: {missing}.") from None

    @asynccontextmanager
    async def _of(self, caller: Caller) -> AsyncIterator[Connection]:
        if not caller.token:
            raise ToolError(f"The tool server '{self.server.name}' can't be called: {_NOBODYS}.")
        if self._own.state == "closed":
            raise ToolError(f"The tool server '{self.server.name}' is closed.")
        key = hashlib.sha256(caller.token.encode(errors="replace")).hexdigest()
        users = self._users.get(key) or self._opened(key, caller.token)
        self._users.move_to_end(key)
        if users.timer is not None:
            users.timer.cancel()
        users.busy += 1
        try:
            yield users.connection
        finally:
            users.busy -= 1
            if self._users.get(key) is users and not users.busy:
                # One that is down would be tried again and again for nobody.
                idle = 0.0 if users.connection.state == "down" else self._idle
                loop = asyncio.get_running_loop()
                users.timer = loop.call_later(idle, self._retire, key)

    def _opened(self, key: str, token: str) -> _Users:
        if len(self._users) >= self._most:
            unused = next((each for each, users in self._users.items() if not users.busy), None)
            if unused is None:
                raise ToolError(
                    f"The tool server '{self.server.name}' is in use by too many users: try later."
                )
            self._retire(unused)
        connection = Connection(self.server, self._lookup, user_token=token, era=self._own.era)
        users = self._users[key] = _Users(connection)
        return users

    def _retire(self, key: str) -> None:
        users = self._users.pop(key)
        if users.timer is not None:
            users.timer.cancel()
        closing = asyncio.create_task(users.connection.aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
