"""How much is taken on: runs at a time, of all callers and of one."""

import asyncio
import time

from serving import QUESTION, LoopRuntime, Slow, eventually

from retinue.serve.admission import Access
from retinue.serve.overload import Capacity
from retinue.testing import ScriptedModel, calls

CHAT = "/v1/chat/completions"
BODY = {"messages": QUESTION}
DATABRICKS = {"DATABRICKS_APP_NAME": "x", "DATABRICKS_APP_PORT": "1"}
ADA, BOB = {"x-forwarded-user": "ada"}, {"x-forwarded-user": "bob"}


def busy(slow: Slow) -> LoopRuntime:
    """Every run of it waits for a slow tool."""
    return LoopRuntime(ScriptedModel(*[calls(("wait", {}))] * 20), [slow.function])


async def test_beyond_its_runs_it_says_so_at_once_and_health_answers(serving):
    slow = Slow()
    server = serving(busy(slow), capacity=Capacity(max_concurrency=2))
    async with server.async_http as http:
        running = [asyncio.create_task(http.post(CHAT, json=BODY)) for _ in range(2)]
        await asyncio.to_thread(eventually, lambda: slow.started == 2, 10)
        started = time.monotonic()
        refused = await asyncio.gather(*(http.post(CHAT, json=BODY) for _ in range(10)))
        assert time.monotonic() - started < 5
        for answer in refused:
            assert answer.status_code == 503
            assert answer.json()["error"]["code"] == "server_overloaded"
            assert answer.headers["retry-after"] == "1"
        assert (await http.get("/health")).status_code == 200
        assert slow.started == 2
        for task in running:
            task.cancel()
    # Their places are free again once the callers are gone.
    await asyncio.to_thread(eventually, lambda: slow.cancelled == 2, 10)
    async with server.async_http as http, asyncio.timeout(10):
        asked = asyncio.create_task(http.post(CHAT, json=BODY))
        await asyncio.to_thread(eventually, lambda: slow.started == 3, 10)
        asked.cancel()


async def test_who_still_sends_takes_no_place_from_those_who_run(serving):
    server = serving(LoopRuntime(ScriptedModel()), capacity=Capacity(max_concurrency=2))
    host, port = server.url.removeprefix("http://").split(":")
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    slow = [await asyncio.open_connection(host, int(port)) for _ in range(3)]
    for _, writer in slow:
        writer.write(head + b"content-length: 100\r\n\r\n{")
    async with server.async_http as http:
        assert (await http.post(CHAT, json=BODY)).status_code == 200
        extra = [await asyncio.open_connection(host, int(port)) for _ in range(1)]
        extra[0][1].write(head + b"content-length: 100\r\n\r\n{")
        await asyncio.sleep(0.2)
        assert (await http.post(CHAT, json=BODY)).status_code == 503
        for _, writer in slow + extra:
            writer.close()
        for _ in range(100):
            answer = await http.post(CHAT, json=BODY)
            if answer.status_code == 200:
                break
            await asyncio.sleep(0.05)
        assert answer.status_code == 200


async def test_one_caller_leaves_room_for_the_others(serving):
    slow = Slow()
    runtime = busy(slow)
    access = Access(runtime.agents.values(), DATABRICKS)
    server = serving(runtime, access=access, capacity=Capacity(caller_concurrency=1))
    async with server.async_http as http:
        ada = asyncio.create_task(http.post(CHAT, json=BODY, headers=ADA))
        await asyncio.to_thread(eventually, lambda: slow.started == 1, 10)
        second = await http.post(CHAT, json=BODY, headers=ADA)
        assert (second.status_code, second.headers["retry-after"]) == (429, "1")
        assert second.json()["error"]["code"] == "rate_limit_exceeded"
        bob = asyncio.create_task(http.post(CHAT, json=BODY, headers=BOB))
        await asyncio.to_thread(eventually, lambda: slow.started == 2, 10)
        ada.cancel()
        bob.cancel()
