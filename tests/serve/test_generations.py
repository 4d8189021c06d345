"""Apps that follow one another while requests come in, over real HTTP."""

import asyncio
import json
import sys
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from serving import QUESTION, LoopRuntime, app_with, eventually

from retinue.errors import UsageError
from retinue.run.events import TextDelta
from retinue.serve import app_for, create_app
from retinue.serve.control import Control
from retinue.serve.generations import Generations
from retinue.serve.options import ServeOptions
from retinue.serve.overload import Capacity, House
from retinue.serve.server import Server, listen, server_config
from retinue.store.address import Address
from retinue.testing import ScriptedModel, says

CHAT = "/v1/chat/completions"
BODY = {"messages": QUESTION}
ORACLE = Path(__file__).parents[1] / "run" / "servers" / "oracle.py"


class Site:
    """A server over generations, whose `reload` is called from the test's thread."""

    def __init__(self, generations: Generations, server: Server, url: str) -> None:
        self.generations = generations
        self.server = server
        self.http = httpx.Client(base_url=url, trust_env=False, timeout=30)

    def reload(self, make):
        loop = self.server.loop
        return asyncio.run_coroutine_threadsafe(self.generations.reload(make), loop).result(10)

    def answer(self, messages=QUESTION) -> str:
        body = {"messages": messages}
        return self.http.post(CHAT, json=body).json()["choices"][0]["message"]["content"]


class OurServer(Server):
    async def startup(self, sockets=None):
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)


@contextmanager
def site(first: LoopRuntime, **options):
    with serving_app(app_with(first, **options)) as served:
        yield served


@contextmanager
def serving_app(first: FastAPI):
    listener = listen("127.0.0.1", 0)
    generations = Generations(first)
    ready = threading.Event()
    server = OurServer(
        server_config(generations, log_level="info"), listener, lambda _url: ready.set()
    )
    thread = threading.Thread(target=server.run, args=([listener.socket],), daemon=True)
    thread.start()
    try:
        assert ready.wait(10)
        yield Site(generations, server, listener.url)
    finally:
        server.should_exit = True
        thread.join(15)
    assert not thread.is_alive()


def runtime(*script) -> LoopRuntime:
    return LoopRuntime(ScriptedModel(*script))


def test_the_next_app_answers_and_the_last_one_is_closed():
    old, new = runtime(says("old")), runtime(says("new"))
    with site(old) as served:
        assert served.answer() == "old"
        assert served.reload(lambda: app_for(new)) == ["tester"]
        assert served.answer() == "new"
        eventually(lambda: not old.open, 30)
        assert new.open
    assert not new.open


def test_a_run_under_way_ends_in_the_app_that_it_began_in():
    old, new = runtime([TextDelta("slow "), 1.0, *says("end")]), runtime(says("new"))
    with site(old) as served, served.http.stream("POST", CHAT, json={**BODY, "stream": True}) as it:
        lines = it.iter_lines()
        assert "slow" in next(line for line in lines if "content" in line and "slow" in line)
        served.reload(lambda: app_for(new))
        assert served.answer() == "new"
        assert old.open
        assert any("end" in line for line in lines)
        eventually(lambda: not old.open, 30)


def broken():
    raise UsageError("no such agent")


class Unopened(LoopRuntime):
    async def __aenter__(self):
        raise UsageError("can't be opened")


@pytest.mark.parametrize(
    "make", [broken, lambda: app_for(Unopened(ScriptedModel()))], ids=["made", "opened"]
)
def test_what_cannot_be_made_or_opened_changes_nothing(make):
    old = runtime(says("old"), says("still old"))
    with site(old) as served:
        assert served.answer() == "old"
        with pytest.raises(UsageError):
            served.reload(make)
        assert served.answer() == "still old"
        assert old.open


class Slow(LoopRuntime):
    """One whose opening takes until it is cancelled."""

    opening = False

    async def __aenter__(self):
        await super().__aenter__()
        self.opening = True
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            await self.__aexit__()


def test_a_reload_that_is_cancelled_leaves_nothing_half_open():
    old, slow, new = runtime(*[says("old")] * 2), Slow(ScriptedModel()), runtime(says("new"))
    with site(old) as served:
        reloading = asyncio.run_coroutine_threadsafe(
            served.generations.reload(lambda: app_for(slow)), served.server.loop
        )
        eventually(lambda: slow.opening, 30)
        reloading.cancel()
        eventually(lambda: not slow.open, 30)
        assert served.answer() == "old"
        assert served.generations.number == 1
        served.reload(lambda: app_for(new))
        assert served.answer() == "new"


async def test_a_hangup_whose_reload_fails_unexpectedly_is_logged_and_changes_nothing(capsys):
    generations = Generations(app_for(runtime()))
    first = generations.app

    def make():
        raise KeyError("a bug")

    listener = listen("127.0.0.1", 0)
    try:
        config = server_config(generations, log_level="info")
        server = Server(config, listener, on_hangup=lambda: generations.reload(make))
        server._hung_up()
        await asyncio.gather(*server._tasks)
    finally:
        listener.socket.close()
    assert generations.app is first
    log = capsys.readouterr().err
    assert "not reloaded for an unexpected reason" in log
    assert "KeyError: 'a bug'" in log


def test_many_reloads_under_load_lose_no_request():
    runtimes = [runtime(*[says("fine")] * 400)]
    with site(runtimes[0]) as served:
        answers, stop = [], threading.Event()

        def ask():
            while not stop.is_set():
                answers.append(served.answer())

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(5):
            runtimes.append(runtime(*[says("fine")] * 400))
            served.reload(lambda: app_for(runtimes[-1]))
        stop.set()
        for thread in threads:
            thread.join(10)
        eventually(lambda: [one.open for one in runtimes] == [False] * 5 + [True], 30)
    assert answers
    assert set(answers) == {"fine"}


def test_a_run_in_the_background_ends_in_the_app_that_it_began_in(tmp_path):
    store = Address(file=tmp_path / "state.db")
    old, new = runtime([*says("old")[:1], 1.0, *says(" answer")]), runtime(says("new"))
    with site(old, store=store) as served:
        body = {"input": "hi", "background": True}
        begun = served.http.post("/v1/responses", json=body).json()
        eventually(lambda: bool(old.models["tester"].requests), 10)
        served.reload(lambda: app_for(new, store=store))
        found = {}

        def done() -> bool:
            found.update(served.http.get(f"/v1/responses/{begun['id']}").json())
            return found["status"] == "completed"

        eventually(done, 20)
        assert found["output"][0]["content"][0]["text"] == "old answer"
        eventually(lambda: not old.open, 10)


def test_a_run_that_waits_for_its_user_goes_on_after_a_reload(tmp_path):
    ask = [{"role": "user", "content": "When?"}]
    asked = tmp_path / "asked.txt"
    (tmp_path / "agents").mkdir()
    args = json.dumps([str(ORACLE), str(asked)])
    (tmp_path / "agents" / "seer.yaml").write_text(
        "name: seer\nmodel: offline/analyst\ninstructions: Answer.\nmcp_servers:\n"
        f"  oracle: {{command: {sys.executable}, args: {args},\n"
        "    tools: {require_approval: [ask]}}\n"
    )
    make = partial(
        create_app, tmp_path, offline=True, store="off", options=ServeOptions(reach="local"),
        control=Control(House(Capacity())),
    )  # fmt: skip
    with serving_app(make()) as served:
        question = served.answer(ask)
        assert question.startswith("**May I call `oracle__ask`?**")
        served.reload(make)
        said = [
            *ask,
            {"role": "assistant", "content": question},
            {"role": "user", "content": "yes"},
        ]
        assert "asked: When?" in served.answer(said)
        served.reload(make)
        # Used up is used up, whatever has been loaded since.
        assert "May I call" in served.answer(said)
    assert asked.read_text() == "When?\n"
