"""An ASGI app and an address → a running server."""

import asyncio
import errno
import logging
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from ipaddress import ip_address
from types import FrameType
from typing import Any, Literal

import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from retinue.errors import RetinueError
from retinue.serve.log import LogFormat, logging_config

log = logging.getLogger("retinue.serve")

GRACE = 9
"""Seconds that running requests have after a stop is asked for. Databricks allows 15 in all."""
_BACKLOG = 2048
_KEEP_ALIVE = 75
_STUCK = 60
_LONGEST_START = 60.0
"""Seconds that a worker may take to replace another one: tool servers are waited for."""


class ServeError(RetinueError):
    """The address can't be listened on, or the app doesn't start."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that listens already: callers wait rather than fail while the app starts."""

    socket: socket.socket
    host: str

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return ip_address(self.socket.getsockname()[0].partition("%")[0]).is_loopback

    @property
    def url(self) -> str:
        """Where a client on this machine reaches it."""
        local = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - names, not a bind
        host = local.get(self.host, f"[{self.host}]" if ":" in self.host else self.host)
        return f"http://{host}:{self.port}"


def listen(host: str = "127.0.0.1", port: int = 8000) -> Listener:
    """Open the socket; port 0 takes a free one. Raises ServeError."""
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise ServeError(f"'{host}' is not an address of this machine") from error
    problem: OSError | None = None
    for family, kind, protocol, _, address in found:
        try:
            return Listener(_bound(socket.socket(family, kind, protocol), address), host)
        except OSError as error:
            # A name can have an address that is switched off here, such as localhost its ::1.
            problem = error
            if error.errno == errno.EADDRINUSE:
                break
    raise ServeError(_why(problem, host, port)) from problem


def _bound(listening: socket.socket, address: Any) -> socket.socket:
    try:
        if os.name == "posix":
            # A port whose last connections still time out is free; one that is used isn't.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # Accepted connections have it too: one whose caller takes nothing more is given up.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STUCK * 1000)
        listening.bind(address)
        listening.listen(_BACKLOG)
        listening.set_inheritable(True)
    except OSError:
        listening.close()
        raise
    return listening


def _why(error: OSError | None, host: str, port: int) -> str:
    number = error.errno if error else None
    if number == errno.EADDRINUSE:
        return f"port {port} is in use; choose another with --port"
    if number == errno.EACCES:
        return f"port {port} needs rights that this user lacks; choose another with --port"
    return f"can't listen on '{host}', port {port}: {error.strerror if error else 'no address'}"


def _say_nothing(_url: str) -> None:
    pass


def serve(
    app: ASGIApp | str,
    listener: Listener,
    *,
    workers: int = 1,
    on_ready: Callable[[str], None] = _say_nothing,
    on_hangup: Callable[[], Awaitable[object]] | None = None,
    log_level: str = "info",
    log_format: LogFormat = "text",
) -> None:
    """Serve until SIGINT or SIGTERM; `on_ready` gets the URL when requests are answered.

    With several workers, `app` is the import string of a factory, such as `worker.hand_over`
    gives, since each worker is a process that makes its own; they share the listener's socket.
    `on_hangup` is awaited after SIGHUP; several workers are replaced then, one after the other.
    Raises ServeError when the app doesn't start, and KeyboardInterrupt after SIGINT.
    """
    config = server_config(app, workers=workers, log_level=log_level, log_format=log_format)
    if workers > 1:
        group = _Workers(config, listener, on_ready)
        group.run()
        if group.interrupted:
            raise KeyboardInterrupt
        failed = any(process.exitcode == STARTUP_FAILURE for process in group.processes)
    else:
        failed = _failed(Server(config, listener, on_ready, on_hangup), listener)
    if failed:
        raise ServeError("the server did not start; the log above says why")


def _failed(server: "Server", listener: Listener) -> bool:
    try:
        server.run([listener.socket])
    except SystemExit:
        # uvicorn's way to say that the app's start has raised.
        return True
    return False


def server_config(
    app: ASGIApp | str, *, workers: int = 1, log_level: str, log_format: LogFormat = "text"
) -> uvicorn.Config:
    """How the app is served; uvloop and httptools are taken where they are installed."""
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        workers=workers,
        lifespan="on",
        http=_http(),
        ws="none",
        access_log=False,
        server_header=False,
        # Nothing here reads the client's address or scheme, so no header can forge them.
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
        log_config=logging_config(log_level, log_format),
    )


def _http() -> type[asyncio.Protocol] | Literal["auto"]:
    """Our own protocol where httptools is installed, which it isn't everywhere."""
    if find_spec("httptools") is None:
        return "auto"
    protocol: type[asyncio.Protocol] = import_module("retinue.serve.protocol").Protocol
    return protocol


class Server(uvicorn.Server):
    """One process's server. Setting `should_exit` stops it."""

    def __init__(
        self,
        config: uvicorn.Config,
        listener: Listener,
        on_ready: Callable[[str], None] = _say_nothing,
        on_hangup: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        super().__init__(config)
        self._listener = listener
        self._on_ready = on_ready
        self._on_hangup = on_hangup
        self._tasks: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            if self._on_hangup and hasattr(signal, "SIGHUP"):
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._hung_up)
            self._on_ready(self._listener.url)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A stop that was asked for is no failure: uvicorn would end the process by SIGTERM."""
        super().handle_exit(sig, frame)
        if sig == signal.SIGTERM:
            self._captured_signals.remove(sig)

    def _hung_up(self) -> None:
        task = asyncio.create_task(self._after_hangup())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _after_hangup(self) -> None:
        try:
            if self._on_hangup:
                await self._on_hangup()
        except RetinueError as error:
            log.error("not reloaded, everything stays as it was: %s", error)
        except Exception:
            log.exception("not reloaded for an unexpected reason, everything stays as it was")


_TICK = 0.05
_STOPS = {signal.SIGINT, signal.SIGTERM}


class _Workers(Multiprocess):
    """Several processes on one socket; tells when all are ready."""

    def __init__(
        self, config: uvicorn.Config, listener: Listener, on_ready: Callable[[str], None]
    ) -> None:
        super().__init__(config, [listener.socket])
        self._listener = listener
        self._on_ready = on_ready
        self.interrupted = False

    def handle_int(self) -> None:
        self.interrupted = True
        super().handle_int()

    def restart_all(self) -> None:
        """Replace each worker once another one answers, as uvicorn does; but let it take as long as
        a start may, and stop at once where that is asked for.
        """
        for index, old in enumerate(self.processes):
            new = Process(self.config, self.sockets)
            new.start()
            until = time.monotonic() + _LONGEST_START
            while not (ready := new.is_ready(timeout=0.5)):
                if self._stopping or not new.process.is_alive() or time.monotonic() > until:
                    break
                time.sleep(_TICK)
            if not ready:
                new.kill()
                new.join()
                if not self._stopping:
                    log.error("not reloaded: a new worker did not start; the log says why")
                return
            old.terminate()
            self.processes[index] = new
            while old.process.is_alive() and not self._stopping:
                old.process.join(_TICK)

    @property
    def _stopping(self) -> bool:
        """Whether the end was asked for, also where that has still to be seen to."""
        return self.should_exit.is_set() or bool({*self.signal_queue} & _STOPS)

    def init_processes(self) -> None:
        super().init_processes()
        for process in self.processes:
            while not process.is_ready(timeout=0.5):
                self.handle_signals()
                if self.should_exit.is_set() or not process.process.is_alive():
                    return
                time.sleep(_TICK)
        self._on_ready(self._listener.url)
