"""Servers in processes of their own, on one store: killed, and side by side."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import openai
import pytest
from serving import eventually

from databases import KINDS, empty
from retinue.store.address import Address

SERVER = Path(__file__).with_name("store_server.py")


class Process:
    """A server that starts, and a client for it."""

    def __init__(self, process: subprocess.Popen) -> None:
        self._process = process

    @cached_property
    def client(self) -> openai.OpenAI:
        url = self._process.stdout.readline().strip()
        return openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=30)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def starting(address: Address) -> Iterator[Callable[..., Process]]:
    """`start("agent=script")`: a server in a process."""
    where = address.url or str(address.file)

    @contextmanager
    def start(*names: str) -> Iterator[Process]:
        words = [sys.executable, str(SERVER), where, *names]
        path = {"PYTHONPATH": str(SERVER.parent)}
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=path) as process:
            server = Process(process)
            try:
                yield server
            finally:
                server.kill()

    with ExitStack() as stack:
        yield lambda *names: stack.enter_context(start(*names))


@pytest.fixture
def started(address) -> Iterator[Callable[..., Process]]:
    with starting(address) as start:
        yield start


def ask(client, model, **options):
    return client.responses.create(**{"model": model, "input": "hi", **options})


def over(client, response_id):
    found = []

    def ended():
        found[:] = [client.responses.retrieve(response_id)]
        return found[0].status in ("completed", "failed")

    eventually(ended, within=60)
    return found[0]


@dataclass
class Killed:
    """What a process had begun when it was killed, and the one that came after it."""

    client: openai.OpenAI
    talk: str
    held: str
    waiting: str
    silent: str
    answer: str
    used: str


@pytest.fixture(scope="module", params=KINDS)
def killed(request, tmp_path_factory) -> Iterator[Killed]:
    """Shared, as what a killed process held is free no sooner than after fifteen seconds."""
    names = ("waits", "begins", "works")
    store = empty(request, tmp_path_factory.mktemp("store"))
    with starting(store) as start, ThreadPoolExecutor(1) as pool:
        first, second = start(*names), start("waits=answers")
        talk, held = (first.client.conversations.create().id for _ in range(2))
        waiting = ask(first.client, "waits", background=True, conversation=talk)
        begun = ask(first.client, "begins", background=True, stream=True)
        answer = next(e.response.id for e in begun if e.type == "response.created")
        next(e for e in begun if e.type == "response.output_text.delta")
        used = ask(first.client, "works", background=True)
        assert first.client.responses.retrieve(used.id).status == "in_progress"
        with ask(first.client, "waits", background=True, stream=True) as silent:
            silent_id = next(iter(silent)).response.id
        asked = pool.submit(ask, first.client, "waits", conversation=held)
        eventually(lambda: is_held(second.client, held), within=60)
        second.kill()
        eventually(lambda: first.client.responses.retrieve(waiting.id).status == "in_progress", 60)
        first.kill()
        with suppress(openai.APIConnectionError):
            asked.result()
        after = start(*(f"{name}=answers" for name in names)).client
        yield Killed(after, talk, held, waiting.id, silent_id, answer, used.id)


def is_held(client, talk: str) -> bool:
    """Whether a turn of another process keeps the conversation from being gone on with."""
    try:
        ask(client, "waits", conversation=talk, store=False)
    except openai.ConflictError:
        return True
    return False


def test_what_a_killed_process_had_not_begun_to_answer_is_made_again(killed):
    client = killed.client
    made = over(client, killed.waiting)
    assert (made.status, made.output_text) == ("completed", "It is 3.")
    items = client.conversations.items.list(killed.talk, order="asc")
    assert [item.content[0].text for item in items] == ["hi", "It is 3."]
    assert over(client, killed.silent).status == "completed"
    whole = list(client.responses.retrieve(killed.silent, stream=True))
    assert [e.sequence_number for e in whole] == list(range(len(whole)))


def test_what_a_killed_process_was_amid_is_told(killed):
    client = killed.client
    answer, used = "amid the answer", "tools may have been used"
    for response_id, why in ((killed.answer, answer), (killed.used, used)):
        told = over(client, response_id)
        assert (told.status, told.error.code) == ("failed", "server_error")
        assert why in told.error.message
    with pytest.raises(openai.APIError, match=answer):
        list(client.responses.retrieve(killed.answer, stream=True))


def test_a_conversation_that_a_killed_process_held_is_free_again(killed):
    client = killed.client
    before = len(client.conversations.items.list(killed.held).data)
    eventually(lambda: not is_held(client, killed.held), within=60)
    assert len(client.conversations.items.list(killed.held).data) == before + 2


def test_what_was_acknowledged_is_there_after_a_kill(started):
    acknowledged = []

    def ask_on(client):
        with suppress(openai.APIError):
            while True:
                acknowledged.append(ask(client, "answers").id)

    for _ in range(2):
        server = started("answers")
        goal = len(acknowledged) + 20
        with ThreadPoolExecutor(4) as pool:
            for _ in range(4):
                pool.submit(ask_on, server.client)
            eventually(lambda goal=goal: len(acknowledged) >= goal, within=60)
            server.kill()
    server = started("answers")
    assert len(set(acknowledged)) == len(acknowledged) >= 40
    for response_id in acknowledged:
        assert server.client.responses.retrieve(response_id).status == "completed"


def test_two_processes_share_what_is_kept(started):
    one, other = started("answers"), started("answers")
    made = ask(one.client, "answers")
    assert other.client.responses.retrieve(made.id).output_text == "It is 3."
    more = ask(other.client, "answers", previous_response_id=made.id)
    assert one.client.responses.retrieve(more.id).previous_response_id == made.id
    talk = one.client.conversations.create()
    ask(other.client, "answers", conversation=talk.id)
    assert len(one.client.conversations.items.list(talk.id).data) == 2
    begun = ask(one.client, "answers", background=True, stream=True)
    told = list(other.client.responses.retrieve(next(iter(begun)).response.id, stream=True))
    assert told[-1].type == "response.completed"
