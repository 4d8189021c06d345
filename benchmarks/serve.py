"""What serving costs: CPU of the server per request and per streamed chunk, over bare ASGI's.

    python benchmarks/serve.py

Five servers on loopback answer the same bytes: a bare ASGI app, this app around a run whose events
are ready, this app around the whole loop with a model in the same process, that with every run
traced, to a collector in another process, and that with every run in the log of a store. They are
asked in turn, round by round; the ratios are medians over the rounds. Takes about 25 seconds.
"""

import asyncio
import atexit
import multiprocessing
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
import orjson
from starlette.types import Receive, Scope, Send

from retinue.agent import Agent, Instructions, Observability
from retinue.run.events import (
    Event,
    ModelEvent,
    ModelFinished,
    RunFinished,
    TextDelta,
    TurnStarted,
    Usage,
)
from retinue.run.messages import Message
from retinue.run.ports import ModelRequest
from retinue.run.runtime import Runtime
from retinue.serve import app_for
from retinue.serve.request_log import LogSettings
from retinue.serve.server import Server, listen, server_config
from retinue.store.address import Address
from retinue.testing import route

COLLECTOR = "BENCHMARK_COLLECTOR"
CHUNKS = 200
CONNECTIONS = 8
ROUNDS = 9
REQUESTS = 1600
STREAMS = 40
WORDS = [TextDelta(f"word {n} ") for n in range(CHUNKS)]
SHORT, LONG = "Say a word.", "Say two hundred words."


def words(messages: Sequence[Message]) -> list[TextDelta]:
    return WORDS if messages[-1].content == LONG else WORDS[:1]


def question(*, stream: bool) -> bytes:
    text = LONG if stream else SHORT
    return orjson.dumps({"messages": [{"role": "user", "content": text}], "stream": stream})


class Ready:
    """A model that has its words ready."""

    def __init__(self, *_: object) -> None:
        pass

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        for word in words(request.messages):
            yield word
        yield ModelFinished("stop", Usage(10, CHUNKS))

    async def warm(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


class ReadyRuntime(Runtime):
    """A runtime without a loop: only what the server costs is left."""

    async def run(
        self, _name: str, conversation: Sequence[Message], **_: object
    ) -> AsyncGenerator[Event, None]:
        yield TurnStarted(1)
        for word in words(conversation):
            yield word
        yield RunFinished("stop", Usage(10, CHUNKS), 1, ())


class TracedRuntime(Runtime):
    """A runtime whose runs are traced."""

    def __init__(self, agents: Sequence[Agent], **options: Any) -> None:
        observability = Observability(otlp_endpoint=os.environ[COLLECTOR])
        super().__init__([replace(a, observability=observability) for a in agents], **options)


def retinue_app(kind: type[Runtime], **options: Any) -> Callable:
    instructions = Instructions(text="Be brief.", origin="benchmark", literal=True)
    agent = Agent(
        name="words",
        description="",
        model=route("ready/words"),
        instructions=instructions,
        digest="0" * 16,
    )
    return app_for(kind([agent], models={"ready": Ready}), **options)


def logged_app(kind: type[Runtime]) -> Callable:
    """The same, each request in the log of a store in SQLite."""
    folder = Path(tempfile.mkdtemp(prefix="retinue-benchmark-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return retinue_app(kind, store=Address(file=folder / "state.db"), log=LogSettings(folder))


def bare_app(_: object = None) -> Callable:
    """The same bytes, recorded beforehand, and as many sends."""
    whole, frames = recorded()
    json_head = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(whole)),
        (b"x-request-id", b"req_" + b"0" * 32),
    ]
    stream_head = [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-cache"),
        (b"x-accel-buffering", b"no"),
        (b"x-request-id", b"req_" + b"0" * 32),
    ]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for phase in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{phase}.complete"})
            return
        body = (await receive())["body"]
        if orjson.loads(body).get("stream"):
            await send({"type": "http.response.start", "status": 200, "headers": stream_head})
            for frame in frames:
                await send({"type": "http.response.body", "body": frame, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        else:
            await send({"type": "http.response.start", "status": 200, "headers": json_head})
            await send({"type": "http.response.body", "body": whole})

    return app


def recorded() -> tuple[bytes, list[bytes]]:
    """What this app answers, as bytes and as the pieces it sends."""

    async def ask() -> tuple[bytes, list[bytes]]:
        transport = httpx.ASGITransport(retinue_app(ReadyRuntime))
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            path = "/v1/chat/completions"
            headers = {"content-type": "application/json"}
            whole = await client.post(path, content=question(stream=False), headers=headers)
            stream = await client.post(path, content=question(stream=True), headers=headers)
        *frames, finish, done, _ = stream.content.split(b"\n\n")
        first, *rest = [frame + b"\n\n" for frame in frames]
        return whole.content, [first + rest[0], *rest[1:], finish + b"\n\n" + done + b"\n\n"]

    return asyncio.run(ask())


APPS = {
    "bare ASGI": (bare_app, None),
    "server": (retinue_app, ReadyRuntime),
    "server + loop": (retinue_app, Runtime),
    "server + loop, traced": (retinue_app, TracedRuntime),
    "server + loop, logged": (logged_app, Runtime),
}


def child(pipe: Connection, make: Callable, argument: object) -> None:
    """Serve until the pipe closes; every word on it is answered with the CPU seconds used."""
    listener = listen("127.0.0.1", 0)
    config = server_config(make(argument), log_level="info")
    # What is written is part of the cost; where it goes isn't.
    config.log_config["handlers"]["out"] = {"class": "logging.NullHandler"}
    config.configure_logging()
    server = Server(config, listener, pipe.send)
    thread = threading.Thread(target=server.run, args=([listener.socket],), daemon=True)
    thread.start()
    while pipe.recv():
        pipe.send(time.process_time())
    server.should_exit = True
    thread.join()


class Child:
    """A server in a process of its own, around the app that `make(argument)` returns there."""

    def __init__(self, make: Callable, argument: object = None) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=child, args=(theirs, make, argument), daemon=True)
        self._process.start()
        if not self._pipe.poll(30):
            self._process.kill()
            raise SystemExit("a server did not start")
        self.port = int(self._pipe.recv().rpartition(":")[2])

    def cpu(self) -> float:
        self._pipe.send("cpu")
        return float(self._pipe.recv())

    def close(self) -> None:
        self._pipe.send("")
        self._process.join(10)

    def cost(self, requests: int, body: bytes) -> float:
        """CPU microseconds per request."""
        before = self.cpu()
        asyncio.run(load(self.port, requests, body))
        return (self.cpu() - before) / requests * 1e6


async def load(port: int, requests: int, body: bytes) -> None:
    await asyncio.gather(*(caller(port, requests // CONNECTIONS, body) for _ in range(CONNECTIONS)))


async def caller(port: int, requests: int, body: bytes) -> None:
    """One kept-open connection that asks again and again."""
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    for _ in range(requests):
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in answer.split(b"\r\n", 1)[0], answer
        if b"content-length: " in answer.lower():
            length = answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
        else:
            await reader.readuntil(b"\r\n0\r\n\r\n")
    writer.close()


async def sink(scope: Scope, receive: Receive, send: Send) -> None:
    """A collector that throws away what it gets."""
    if scope["type"] == "lifespan":
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def sink_app(_: object = None) -> Callable:
    return sink


def main() -> None:
    collector = Child(sink_app)
    os.environ[COLLECTOR] = f"http://127.0.0.1:{collector.port}/v1/traces"
    children = {name: Child(*app) for name, app in APPS.items()}
    for served in children.values():
        served.cost(CONNECTIONS * 4, question(stream=False))
        served.cost(CONNECTIONS, question(stream=True))
    whole = {name: [] for name in APPS}
    chunk = {name: [] for name in APPS}
    for _ in range(ROUNDS):
        for name, served in children.items():
            whole[name].append(served.cost(REQUESTS, question(stream=False)))
            chunk[name].append(served.cost(STREAMS, question(stream=True)) / CHUNKS)
    for served in (*children.values(), collector):
        served.close()
    print(f"{'CPU, medians of ' + str(ROUNDS):<22} {'short answer':>22} {'streamed chunk':>22}")
    for name in APPS:
        print(f"{name:<22} {row(whole, name):>22} {row(chunk, name):>22}")


def row(costs: dict[str, list[float]], name: str) -> str:
    ratio = statistics.median(a / b for a, b in zip(costs[name], costs["bare ASGI"], strict=True))
    return f"{statistics.median(costs[name]):8.1f} µs ({ratio:.2f})"


if __name__ == "__main__":
    main()
