"""Servers in processes of their own, on one store: killed, and side by side."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import openai
import pytest
from serving import eventually

SERVER = Path(__file__).with_name("store_server.py")


class Process:
    """A server, and a client for it."""

    def __init__(self, process: subprocess.Popen, url: str) -> None:
        self._process = process
        self.client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=30)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def started(address) -> Iterator:
    """`started("agent=script")`: a server in a process."""
    where = address.url or str(address.file)

    @contextmanager
    def start(*names: str) -> Iterator[Process]:
        words = [sys.executable, str(SERVER), where, *names]
        path = {"PYTHONPATH": str(SERVER.parent)}
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=path) as process:
            server = Process(process, process.stdout.readline().strip())
            yield server
            server.kill()

    with ExitStack() as stack:
        yield lambda *names: stack.enter_context(start(*names))


def ask(client, model, **options):
    return client.responses.create(**{"model": model, "input": "hi", **options})


def over(client, response_id):
    found = []

    def ended():
        found[:] = [client.responses.retrieve(response_id)]
        return found[0].status in ("completed", "failed")

    eventually(ended, within=60)
    return found[0]


def test_what_a_killed_process_worked_on_is_made_again_or_told(started):
    names = ("waits", "begins", "works")
    first = started(*names)
    talk = first.client.conversations.create()
    waiting = ask(first.client, "waits", background=True, conversation=talk.id)
    begun = ask(first.client, "begins", background=True, stream=True)
    answer = next(e.response.id for e in begun if e.type == "response.created")
    next(e for e in begun if e.type == "response.output_text.delta")
    used = ask(first.client, "works", background=True)
    tools = first.client.responses.retrieve(used.id)
    assert tools.status == "in_progress"
    with ask(first.client, "waits", background=True, stream=True) as silent:
        silent_id = next(iter(silent)).response.id
    eventually(lambda: first.client.responses.retrieve(waiting.id).status == "in_progress", 10)
    first.kill()

    second = started(*(f"{name}=answers" for name in names))
    made = over(second.client, waiting.id)
    assert (made.status, made.output_text) == ("completed", "It is 3.")
    items = second.client.conversations.items.list(talk.id, order="asc")
    assert [item.content[0].text for item in items] == ["hi", "It is 3."]
    assert over(second.client, silent_id).status == "completed"
    whole = list(second.client.responses.retrieve(silent_id, stream=True))
    assert [e.sequence_number for e in whole] == list(range(len(whole)))
    for response_id, why in ((answer, "amid the answer"), (used.id, "tools may have been used")):
        told = over(second.client, response_id)
        assert (told.status, told.error.code) == ("failed", "server_error")
        assert why in told.error.message
    with pytest.raises(openai.APIError, match="amid the answer"):
        list(second.client.responses.retrieve(answer, stream=True))


def test_a_conversation_that_a_killed_process_held_is_free_again(started):
    first = started("waits")
    talk = first.client.conversations.create()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, first.client, "waits", conversation=talk.id)
        second = started("answers")

        def held():
            try:
                ask(second.client, "answers", conversation=talk.id, store=False)
            except openai.ConflictError:
                return True
            return False

        eventually(held, within=20)
        first.kill()
        with suppress(openai.APIConnectionError):
            asked.result()
    before = len(second.client.conversations.items.list(talk.id).data)
    eventually(lambda: not held(), within=60)
    assert len(second.client.conversations.items.list(talk.id).data) == before + 2


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
