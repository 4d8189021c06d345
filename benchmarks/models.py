"""What asking a model costs: CPU of the server per request and per streamed chunk.

    python benchmarks/models.py

One fast upstream in a process of its own, and three servers that ask it: a bare ASGI app that
passes bytes through with aiohttp, and this app over its direct adapter and over LiteLLM. They are
asked in turn, round by round; the ratios are medians over the rounds. Takes about a minute.
"""

import asyncio
import multiprocessing
import os
import statistics
from collections.abc import Callable
from multiprocessing.connection import Connection

import aiohttp
import orjson
from starlette.types import Receive, Scope, Send

from retinue.agent import Agent, Instructions
from retinue.run.runtime import Runtime
from retinue.serve import app_for
from retinue.testing import route
from serve import CHUNKS, CONNECTIONS, Child

ROUNDS = 7
REQUESTS = 800
STREAMS = 40
# Seconds between a paced stream's chunks: each is read by itself, as from a model.
PACE = 0.001
QUESTIONS = {"short answer": "short", "paced chunk": "paced", "burst of chunks": "burst"}


def question(text: str) -> bytes:
    message = {"role": "user", "content": text}
    return orjson.dumps({"messages": [message], "stream": text != "short"})


def chunk(delta: dict, finish: str | None = None, **more: object) -> bytes:
    choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    frame = {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "m",
        "system_fingerprint": None,
        "choices": choices,
        **more,
    }
    return b"data: " + orjson.dumps(frame) + b"\n\n"


USAGE = {"prompt_tokens": 10, "completion_tokens": CHUNKS, "total_tokens": 10 + CHUNKS}
WORDS = [chunk({"content": f"word {n} "}) for n in range(CHUNKS)]
END = chunk({}, "stop") + chunk({}, None, usage=USAGE) + b"data: [DONE]\n\n"
WHOLE = orjson.dumps(
    {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "word 0 "},
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE,
    }
)
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
WHOLE_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(WHOLE)
)


def framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection of the upstream."""
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        body = orjson.loads(await reader.readexactly(int(length)))
        text = body["messages"][-1]["content"]
        if not body.get("stream"):
            writer.write(WHOLE_HEAD + WHOLE)
        elif text == "short":
            writer.write(STREAM_HEAD + framed(WORDS[0] + END) + framed(b""))
        elif text == "burst":
            writer.write(STREAM_HEAD + b"".join(map(framed, [*WORDS, END, b""])))
        else:
            writer.write(STREAM_HEAD)
            for word in WORDS:
                writer.write(framed(word))
                await asyncio.sleep(PACE)
            writer.write(framed(END) + framed(b""))


def upstream(pipe: Connection) -> None:
    async def main() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def bare_app(url: str) -> Callable:
    """What the upstream sends, as it comes."""
    session: list[aiohttp.ClientSession] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            session.append(aiohttp.ClientSession())
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await session[0].close()
            await send({"type": "lifespan.shutdown.complete"})
            return
        body = (await receive())["body"]
        headers = {"content-type": "application/json", "authorization": "Bearer k"}
        async with session[0].post(
            f"{url}/chat/completions", data=body, headers=headers
        ) as response:
            names = ("content-type", "content-length")
            head = [
                (name.encode(), response.headers[name].encode())
                for name in names
                if name in response.headers
            ]
            await send({"type": "http.response.start", "status": 200, "headers": head})
            async for piece in response.content.iter_any():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    return app


def retinue_app(adapter_and_url: str) -> Callable:
    adapter, _, url = adapter_and_url.partition(" ")
    agent = Agent(
        name="words",
        description="",
        model=route("openai/m", api_base=url, api_key="k", adapter=adapter),
        instructions=Instructions(text="Be brief.", origin="benchmark", literal=True),
        digest="0" * 16,
    )
    return app_for(Runtime([agent]))


def main() -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=upstream, args=(theirs,), daemon=True)
    process.start()
    url = f"http://127.0.0.1:{ours.recv()}/v1"
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    children = {
        "bare ASGI + aiohttp": Child(bare_app, url),
        "retinue, direct": Child(retinue_app, f"direct {url}"),
        "retinue, litellm": Child(retinue_app, f"litellm {url}"),
    }
    costs = {name: {kind: [] for kind in QUESTIONS} for name in children}
    for number in range(ROUNDS + 1):
        for name, served in children.items():
            for kind, text in QUESTIONS.items():
                most = REQUESTS if text == "short" else STREAMS
                few = CONNECTIONS * 2
                count = most if number and "litellm" not in name else few
                cost = served.cost(count, question(text)) / (1 if text == "short" else CHUNKS)
                if number:
                    costs[name][kind].append(cost)
    for served in children.values():
        served.close()
    process.kill()
    print(f"{'CPU, medians of ' + str(ROUNDS):<20}" + "".join(f"{kind:>26}" for kind in QUESTIONS))
    for name in children:
        print(f"{name:<20}" + "".join(f"{cell(costs, name, kind):>26}" for kind in QUESTIONS))


def cell(costs: dict[str, dict[str, list[float]]], name: str, kind: str) -> str:
    bare = costs["bare ASGI + aiohttp"][kind]
    ratio = statistics.median(a / b for a, b in zip(costs[name][kind], bare, strict=True))
    return f"{statistics.median(costs[name][kind]):10.1f} µs ({ratio:5.2f})"


if __name__ == "__main__":
    main()
