"""Runs in the tables: who works on which."""

import pytest
from sqlalchemy import update

from retinue.store import runs
from retinue.store.records import Batch, FullError, LostError, Response
from retinue.store.store import Store


@pytest.fixture
async def stores(address):
    """Two processes' stores."""
    opened = Store(address), Store(address)
    yield opened
    for one in opened:
        await one.aclose()


async def submit(store, name, *, here=False, owner="me"):
    response = Response(
        id=name,
        owner=owner,
        agent="a",
        created_at=1,
        status="queued",
        body="{}",
        input="[]",
        messages="[]",
    )
    await store.submit(response, "{}", streamed=True, here=here)


async def test_a_run_is_one_process_s_alone(stores):
    one, other = stores
    await submit(one, "a")
    assert await other.look(["a"]) == (True, set())
    (claim,) = await other.claim(5, ["a"])
    assert (claim.response_id, claim.attempts, claim.told) == ("a", 1, None)
    assert await one.claim(5, ["a"]) == []
    assert await other.look(["a"]) == (False, {"a"})
    with pytest.raises(LostError):
        await one.append("a", Batch(0, 0, b"x"))
    await other.append("a", Batch(0, 1, b"a\n\nb\n\n"))
    tail = await one.tail("a", "me", 0)
    assert (tail.over, [b.after(0) for b in tail.batches]) == (False, [b"b\n\n"])
    assert await one.tail("a", "somebody else", -1) is None


async def test_what_a_process_held_that_left_is_free_at_once(stores):
    one, other = stores
    await submit(one, "a", here=True)
    await one.append("a", Batch(0, 3, b"x"))
    await one.touch("a")
    assert await other.claim(5, ["a"]) == []
    await one.presence.end(one.database)
    (claim,) = await other.claim(5, ["a"])
    assert (claim.attempts, claim.touched, claim.told) == (2, True, 3)
    with pytest.raises(LostError):
        await one.touch("a")


async def test_a_run_is_left_to_who_serves_its_agent_and_ends_when_nobody_does(stores):
    one, other = stores
    await submit(one, "a")
    assert await other.look(["b"]) == (False, set())
    assert await other.claim(5, ["b"]) == []
    long_ago = update(runs.runs).values(created_at=runs.runs.c.created_at - 700)
    await one.database.write(lambda connection: connection.execute(long_ago))
    assert await other.look(["b"]) == (True, set())
    assert [claim.response_id for claim in await other.claim(5, ["b"])] == ["a"]


async def test_what_nobody_works_on_is_given_back(stores):
    one, other = stores
    await submit(one, "a", here=True)
    await other.give_back(["a"])
    assert await other.claim(5, ["a"]) == []
    await one.give_back(["a"])
    assert [claim.response_id for claim in await other.claim(5, ["a"])] == ["a"]


async def test_what_is_over_stays_so(stores):
    one, other = stores
    await submit(one, "a", here=True)
    end = {"status": "completed", "body": "{}", "messages": "[]"}
    await one.finish("a", None, **end)
    assert await other.cancel("a", lambda _: (None, "{}")) is False
    with pytest.raises(LostError):
        await one.finish("a", None, **end)
    assert (await one.response("a", "me")).status == "completed"


async def test_a_queue_has_an_end(stores):
    one, _ = stores
    for n in range(runs.MAX_OWNERS):
        await submit(one, f"r{n}")
    with pytest.raises(FullError):
        await submit(one, "more")
    assert await one.response("more", "me") is None
    await submit(one, "theirs", owner="somebody else")
