"""Responses in the tables: chains, and what is forgotten."""

import pytest

from retinue.store.records import Response, TooLongError
from retinue.store.responses import MAX_TURNS
from retinue.store.store import Store


def response(name: str, created_at: int = 100, status: str = "completed", **fields) -> Response:
    known = {"id": name, "owner": "me", "agent": "a", "body": "{}", "input": "[]"}
    return Response(
        created_at=created_at, status=status, messages=f'["{name}"]', **{**known, **fields}
    )


@pytest.fixture
async def store(address):
    opened = Store(address)
    yield opened
    await opened.aclose()


async def test_a_chain_from_its_beginning(store):
    for name, previous in (("a", None), ("b", "a"), ("c", "b"), ("fork", "a")):
        await store.keep(response(name, previous_id=previous))
    assert await store.history("c", "me") == ['["a"]', '["b"]', '["c"]']
    assert await store.history("fork", "me") == ['["a"]', '["fork"]']
    assert await store.history("c", "somebody else") == []


async def test_a_chain_ends_where_it_was_cut(store):
    for name, previous in (("a", None), ("b", "a"), ("c", "b")):
        await store.keep(response(name, previous_id=previous))
    assert await store.remove_response("b", "me")
    assert await store.history("c", "me") == ['["c"]']


@pytest.mark.parametrize("status", ["failed", "queued", "in_progress", "cancelled"])
async def test_nothing_goes_on_from_what_has_no_good_end(store, status):
    await store.keep(response("a", status=status))
    assert await store.history("a", "me") == []


async def test_a_chain_that_is_too_long_is_told(store):
    async def work(connection):
        from retinue.store.responses import add

        for n in range(MAX_TURNS + 1):
            await add(connection, response(f"r{n}", previous_id=f"r{n - 1}" if n else None))

    store.database._patience = 60
    await store.database.write(work)
    assert len(await store.history(f"r{MAX_TURNS - 2}", "me")) == MAX_TURNS - 1
    with pytest.raises(TooLongError):
        await store.history(f"r{MAX_TURNS}", "me")
