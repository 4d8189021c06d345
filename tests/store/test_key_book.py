"""API keys: their digests alone are kept, each name once, and what was revoked stays so."""

import asyncio
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinue.store import keys
from retinue.store.api_key import (
    ApiKey,
    TakenError,
    TooManyKeysError,
    digest_of,
    id_of,
    is_ours,
    new_key,
)
from retinue.store.database import Database
from retinue.store.key_book import KeyBook

NOW = time.time()


def made(name: str = "ci", **fields) -> ApiKey:
    digest = digest_of(new_key().encode())
    known = {"scopes": frozenset(["chat"]), "created_at": NOW, **fields}
    return ApiKey(id=id_of(digest), digest=digest.hex(), name=name, **known)


@pytest.fixture
async def book(address):
    book = KeyBook(Database(address))
    yield book
    await book.database.aclose()


async def good(book) -> list[ApiKey]:
    return (await book.changed(None))[1]


async def test_a_key_comes_back_as_it_was(book):
    key = made(
        scopes=frozenset(["chat", "logs"]),
        agents=frozenset(["sales", "hr"]),
        expires_at=NOW + 86_400,
        rate="60/minute",
        tokens="1000/day",
        usd="5.00/month",
    )
    await book.add(key)
    assert await good(book) == [key]
    assert await book.page(after=None, limit=10) == [key]


async def test_what_is_revoked_or_over_is_not_good(book):
    one, two, over = made("one"), made("two"), made("over", expires_at=NOW - 1)
    for key in (one, two, over):
        await book.add(key)
    gone = await book.revoke("one")
    assert gone is not None
    assert gone.id == one.id
    assert gone.revoked_at == pytest.approx(time.time(), abs=60)
    assert not gone.good(time.time() + 60)
    assert await good(book) == [two]
    assert (await book.revoke(two.id)).name == "two"
    for word in ("one", two.id, "nobody", ""):
        assert await book.revoke(word) is None
    assert len(await book.page(after=None, limit=10)) == 3


async def test_a_name_is_free_again_when_its_key_was_revoked(book):
    await book.add(made("ci"))
    with pytest.raises(TakenError, match="'ci'"):
        await book.add(made("ci"))
    await book.revoke("ci")
    await book.add(made("ci"))
    (left,) = await good(book)
    assert (await book.revoke("ci")).id == left.id


async def test_of_two_who_take_a_name_at_once_one_has_it(book):
    await book.database.prepare()
    done = await asyncio.gather(*(book.add(made()) for _ in range(4)), return_exceptions=True)
    assert sorted(map(repr, map(type, done))) == [repr(type(None))] + [repr(TakenError)] * 3


async def test_marks_change_with_what_is_made_or_revoked_and_not_with_use(book):
    key = made()
    empty, none = await book.changed(None)
    assert none == []
    await book.add(key)
    one, found = await book.changed(empty)
    assert (one != empty, found) == (True, [key])
    await book.used({key.id: NOW})
    assert await book.changed(one) == (one, None)
    await book.revoke(key.id)
    two, found = await book.changed(one)
    assert (two != one, found) == (True, [])


async def test_the_latest_use_is_kept(book):
    one, two = made("one"), made("two")
    await book.add(one)
    await book.add(two)
    await book.used({one.id: NOW + 5, two.id: NOW + 1, "key_of_nobody": NOW})
    await book.used({one.id: NOW + 2, two.id: NOW + 3})
    await book.used({})
    times = {key.name: key.used_at for key in await good(book)}
    assert times == {"one": NOW + 5, "two": NOW + 3}


async def test_pages_follow_one_another_also_within_a_moment(book):
    every = [made(f"k{n}", created_at=NOW + n // 3) for n in range(7)]
    for key in every:
        await book.add(key)
    found, after = [], None
    while page := await book.page(after=after, limit=2):
        found += page
        after = page[-1].id
    assert sorted(key.name for key in found) == [key.name for key in every]
    assert [key.created_at for key in found] == sorted((k.created_at for k in every), reverse=True)
    assert await book.page(after="key_of_nobody", limit=2) == []


async def test_there_is_an_end_to_how_many(book):
    await book.add(made("first"))
    rows = [made(f"k{n}") for n in range(keys.MOST - 1)]

    async def fill(connection):
        values = [
            {"id": k.id, "digest": k.digest, "name": k.name, "scopes": "chat", "agents": ""}
            for k in rows
        ]
        await connection.execute(keys.api_keys.insert(), [{**v, "created_at": NOW} for v in values])

    await book.database.write(fill)
    with pytest.raises(TooManyKeysError, match="revoke some"):
        await book.add(made("one too many"))
    await book.revoke("k7")
    await book.add(made("fits"))
    assert len(await good(book)) == keys.MOST


def test_a_key_has_a_form_of_its_own():
    one, two = new_key(), new_key()
    assert one != two
    assert is_ours(one.encode())
    assert not any(map(is_ours, (one[:-1].encode(), b"x" + one.encode(), one.encode() + b"\n")))
    assert "rtn" not in id_of(digest_of(one.encode()))


@given(st.binary(max_size=80))
def test_anything_may_be_presented(presented):
    assert not is_ours(presented)


@given(st.floats(0, 1e11), st.one_of(st.none(), st.floats(0, 1e11)))
def test_no_key_is_good_from_the_moment_that_it_ends(at, ends):
    key = replace(made(), expires_at=ends)
    assert key.good(at) == (ends is None or at < ends)
    assert not replace(key, revoked_at=at).good(at)
