"""What runs leave for one another: in the store for all processes, and what its absence costs."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from serving import eventually
from test_approval_served import ASK, YES, asked_in, chat, clerk, respond, went_on, word

from ledgers import Ledger
from retinue.errors import StoreDownError
from retinue.run.approvals import ApprovalsInMemory
from retinue.run.sessions import SessionsInMemory
from retinue.serve.shared import StoredApprovals, StoredSessions
from retinue.serve.state import State
from retinue.store.address import Address
from retinue.testing import says


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(tmp_path)


def test_an_answer_counts_once_on_all_instances(ledger, address):
    with ExitStack() as stack:
        servers = [
            stack.enter_context(clerk(ledger, *turns, store=address))[0]
            for turns in ((), (says("Booked."), says("Booked.")), (says("Booked."),))
        ]
        with servers[0].client as client:
            answered = went_on(ASK, chat(client, ASK, stream=False), YES)
        begin = threading.Barrier(len(servers))

        def answer(server) -> str:
            with server.client as client:
                begin.wait()
                return chat(client, answered, stream=False)

        with ThreadPoolExecutor() as pool:
            assert list(pool.map(answer, servers)) == ["Booked."] * len(servers)
    assert ledger.lines == ["count b", "book a"]


def test_an_answer_that_was_given_before_a_restart_counts_no_more(ledger, address):
    with clerk(ledger, store=address) as (server, _), server.http as http:
        first = respond(http, ASK)
        given = [*ASK, *first["output"], word(asked_in(first), approve=True)]
        respond(http, given)
    with clerk(ledger, says("?"), store=address) as (server, _), server.http as http:
        again = http.post("/v1/responses", json={"input": given})
    assert (again.status_code, again.json()["error"]["code"]) == (400, "approval_not_found")
    assert ledger.lines == ["count b", "book a"]


def test_while_the_database_is_away_an_answer_waits(ledger, postgres):
    store = Address(url=postgres.new_database())
    with clerk(ledger, store=store) as (server, _), server.http as http:
        body = {"input": ASK, "store": False}
        first = http.post("/v1/responses", json=body).json()
        given = {**body, "input": [*ASK, *first["output"], word(asked_in(first), approve=True)]}
        postgres.crash()
        try:
            for stream in (False, True):
                away = http.post("/v1/responses", json={**given, "stream": stream})
                error = away.json()["error"]
                assert (away.status_code, error["code"]) == (503, "store_unavailable")
                assert "send your answer again" in error["message"]
                assert int(away.headers["retry-after"]) >= 1
            assert ledger.lines == ["count b"]
        finally:
            postgres.start()

        def counts() -> bool:
            return http.post("/v1/responses", json=given).status_code == 200

        eventually(counts, within=60)
        assert http.post("/v1/responses", json=given).status_code == 400
    assert ledger.lines == ["count b", "book a"]


class Uncertain:
    """A state whose store does what it is asked, and tells nobody, as often as it is set to."""

    def __init__(self, state: State, times: int) -> None:
        self.state, self.times = state, times

    async def store(self, param: str):
        self.known = await self.state.store(param)
        return self

    async def spend(self, *given) -> bool:
        first = await self.known.spend(*given)
        self.times -= 1
        if self.times >= 0:
            raise StoreDownError("?")
        return first


async def test_a_key_that_may_be_spent_is_still_for_who_tried(address):
    until = int(time.time()) + 900
    async with State(address) as state:
        approvals = StoredApprovals(Uncertain(state, 2), ApprovalsInMemory())
        other = StoredApprovals(state, ApprovalsInMemory())
        for _ in range(2):
            with pytest.raises(StoreDownError):
                await approvals.spend("k", until)
        assert not await other.spend("k", until)
        tries = (approvals.spend("k", until) for _ in range(8))
        assert sorted(await asyncio.gather(*tries)) == [False] * 7 + [True]


async def test_a_session_goes_on_elsewhere_and_after_a_restart(address):
    async with State(address) as state:
        await StoredSessions(state, SessionsInMemory()).put("s", "genie", "c1")
    async with State(address) as here, State(address) as there:
        sessions = [StoredSessions(state, SessionsInMemory()) for state in (here, there)]
        assert await sessions[0].take("s", "genie") == "c1"
        assert await sessions[1].take("s", "genie") is None
        await sessions[1].put("s", "genie", "c2")
        await sessions[1].put("s", "genie", "x" * 1001)
        assert await sessions[0].take("s", "genie") == "c2"


async def test_asking_for_nothing_makes_no_store(tmp_path):
    file = tmp_path / "folder" / "state.db"
    async with State(Address(file=file)) as state:
        assert await StoredSessions(state, SessionsInMemory()).take("s", "genie") is None
    assert not file.parent.exists()


async def test_a_database_that_is_away_costs_the_memory_of_others_alone():
    nobody = Address(url="postgresql://nobody@127.0.0.1:9/none")
    async with State(nobody) as state:
        sessions = StoredSessions(state, SessionsInMemory())
        await sessions.put("s", "genie", "c1")
        assert await sessions.take("s", "genie") == "c1"
        assert await sessions.take("s", "genie") is None
