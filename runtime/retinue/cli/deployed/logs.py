"""A deployed app → the lines that it and its platform write, as they come.

The platform sends the last ones over a WebSocket at `/logz/stream` of the app's own address, then
the next, as JSON with `timestamp` in seconds, `source` (APP or SYSTEM) and `message`. It sends
nothing before it got a text to search for, which may be empty. Source: the Databricks CLI.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import aiohttp
import orjson

from retinue.cli.deployed.app import DeployedApp, DeployedError
from retinue.cli.deployed.told import told, unreachable
from retinue.diagnostics import printable
from retinue.run.workspace import Workspace

_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=10)
_BEAT = 30.0
# Seconds without a line after which those that were there already are taken to be through.
_QUIET = 2.0
# and after which they are taken to be, whatever comes.
_LONGEST_PAST = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0
# Seconds of failing after which it is given up.
_PATIENCE = 300.0
_END_OF_TIME = datetime.max.replace(tzinfo=UTC).timestamp()
_NO_ACCESS = (4401, 4403)


@dataclass(frozen=True, slots=True)
class Line:
    """`at` is in seconds since 1970; 0 where the platform didn't say."""

    at: float
    source: str
    text: str

    def __str__(self) -> str:
        when = datetime.fromtimestamp(self.at, UTC).strftime("%H:%M:%S") if self.at > 0 else "-" * 8
        return f"{when} {printable(self.source):<6} {printable(self.text)}"


@dataclass(slots=True)
class Logs:
    """The log of one app. `running` raises DeployedError where the app can write nothing more."""

    app: DeployedApp
    workspace: Workspace
    running: Callable[[], Awaitable[None]]
    _newest: float = 0.0
    _at_newest: set[str] = field(default_factory=set)

    async def last(self, most: int) -> list[Line]:
        """The last `most` lines that are kept. Raises DeployedError where none can be had."""
        kept: deque[Line] = deque(maxlen=most)
        async with aclosing(self._connected()) as lines:
            async for line in lines:
                if line is None:
                    break
                kept.append(line)
        return [*kept]

    async def follow(self, most: int) -> AsyncGenerator[Line, None]:
        """The last `most` lines and all that come, each once, over as many connections as it
        takes. Raises DeployedError where nobody is let in, the app stops, or nothing connects.
        """
        pause, failing_since = _FIRST_PAUSE, None
        kept: deque[Line] | None = deque(maxlen=most)
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with aclosing(self._connected()) as lines:
                    async for line in lines:
                        pause, failing_since = _FIRST_PAUSE, None
                        if line is None:
                            for old in kept or ():
                                yield old
                            kept = None
                        elif not self._is_new(line):
                            continue
                        elif kept is not None:
                            kept.append(line)
                        else:
                            yield line
            except DeployedError as error:
                failing_since = failing_since or loop.time()
                if not error.passing or loop.time() - failing_since > _PATIENCE:
                    raise
            await self.running()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _connected(self) -> AsyncGenerator[Line | None, None]:
        """The lines of one connection; a None once, after those that were there already.

        Raises DeployedError; `passing` where another connection may go better.
        """
        signed = await self.workspace.headers()
        url = f"{self.app.url}/logz/stream".replace("http", "ws", 1)
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=True) as session,
                session.ws_connect(url, headers=signed, origin=self.app.url, heartbeat=_BEAT) as ws,
            ):
                await ws.send_str("")
                async for piece in _pieces(ws):
                    yield piece
                if ws.close_code in _NO_ACCESS:
                    raise _refused(401, self.app.name)
        except aiohttp.WSServerHandshakeError as error:
            raise _refused(error.status, self.app.name) from None
        except (aiohttp.ClientError, TimeoutError, OSError):
            raise DeployedError(unreachable(self.app.name).message, passing=True) from None

    def _is_new(self, line: Line) -> bool:
        """Each connection begins with lines that the last one had."""
        if line.at <= 0:
            return True
        if line.at > self._newest:
            self._newest, self._at_newest = line.at, set()
        elif line.at < self._newest or line.text in self._at_newest:
            return False
        self._at_newest.add(line.text)
        return True


async def _pieces(ws: aiohttp.ClientWebSocketResponse) -> AsyncGenerator[Line | None, None]:
    loop = asyncio.get_running_loop()
    end = loop.time() + _LONGEST_PAST
    past = True
    while True:
        if past and loop.time() >= end:
            past = False
            yield None
        left = min(_QUIET, end - loop.time()) if past else None
        try:
            message = await ws.receive(timeout=left)
        except TimeoutError:
            end = loop.time()
            continue
        if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            break
        for line in _lines(message.data):
            yield line
    if past:
        yield None


def _lines(data: str | bytes) -> list[Line]:
    raw = data.encode() if isinstance(data, str) else data
    if raw.strip(b"\0\r\n ") == b"":
        return []
    at, source, text = 0.0, "", raw.decode(errors="replace")
    with suppress(ValueError, TypeError):
        entry = orjson.loads(raw)
        if isinstance(entry, dict) and "message" in entry:
            text, source = str(entry["message"]), str(entry.get("source") or "")
            at = float(entry.get("timestamp") or 0)
    if not 0 < at < _END_OF_TIME:  # as good as none, and others would come before it
        at = 0.0
    return [Line(at, source, line) for line in text.splitlines()]


def _refused(status: int, app: str) -> DeployedError:
    """What stands between us and the log; a login page is one with status 200."""
    why = told(status, "text/html", b"", app) or unreachable(app)
    return DeployedError(why.message, passing=why.status >= 500)
