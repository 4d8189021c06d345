"""A server in a thread, clients for it, and what to wait for."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields

import httpx
import openai
from fastapi import FastAPI

from retinue.serve import app_for
from retinue.serve.options import ServeOptions
from retinue.serve.server import Server, listen, server_config
from retinue.testing import ScriptedModel
from serve.loop_runtime import LoopRuntime

_OPTIONS = frozenset(field.name for field in fields(ServeOptions))
QUESTION = [{"role": "user", "content": "hi"}]


class Stage:
    """A Runtime that plays another one, so that one server can serve many tests."""

    def __init__(self) -> None:
        self.plays = LoopRuntime(ScriptedModel())

    def __getattr__(self, name: str):
        return getattr(self.plays, name)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass


def eventually(condition: Callable[[], bool], within: float) -> float:
    """Seconds until the condition held; fails where it did not in time."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < within, "it did not happen in time"
        time.sleep(0.005)
    return time.monotonic() - start


class Slow:
    """A tool that takes its time and notices when it is cancelled."""

    def __init__(self, seconds: float = 30) -> None:
        self.seconds = seconds
        self.started = 0
        self.cancelled = 0

    @property
    def function(self):
        async def wait() -> str:
            """Wait."""
            self.started += 1
            try:
                await asyncio.sleep(self.seconds)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            return "waited"

        return wait


@dataclass
class Running:
    """A server that runs, and clients for it."""

    url: str
    runtime: LoopRuntime | Stage

    @property
    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=30)

    @property
    def async_client(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=30
        )

    @property
    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30, trust_env=False)

    @property
    def async_http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, timeout=30, trust_env=False)


def app_with(runtime: LoopRuntime | Stage, **said) -> FastAPI:
    """What `app_for` makes of its own arguments and of what ServeOptions are made of."""
    options = {name: said.pop(name) for name in list(said) if name in _OPTIONS}
    return app_for(runtime, **said, options=ServeOptions(**options))


@contextmanager
def running(runtime: LoopRuntime | Stage, *, protocol=None, **options) -> Iterator[Running]:
    """A server with these options, as `app_with` takes them."""
    listener = listen("127.0.0.1", 0)
    config = server_config(app_with(runtime, **options), log_level="info")
    config.http = protocol or config.http
    config.timeout_graceful_shutdown = 1
    ready = threading.Event()
    server = Server(config, listener, lambda _url: ready.set())
    thread = threading.Thread(target=server.run, args=([listener.socket],), daemon=True)
    thread.start()
    try:
        assert ready.wait(30), "the server did not start"
        yield Running(listener.url, runtime)
    finally:
        server.should_exit = True
        thread.join(30)
    assert not thread.is_alive()
