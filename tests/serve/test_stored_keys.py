"""Keys of a store as a server knows them: at once, for as long as they are good, and not asked for
one by one.
"""

import asyncio
import os
import time
from contextlib import asynccontextmanager
from inspect import isawaitable

import httpx
import pytest
from sqlalchemy import text
from starlette.responses import PlainTextResponse

from retinue.agent import Auth
from retinue.errors import StoreDownError, StoreError
from retinue.serve.access import AccessLog, record_of
from retinue.serve.admission import Access, Gate
from retinue.serve.key_snapshot import Snapshot
from retinue.serve.state import State
from retinue.serve.stored_keys import StoredKeys
from retinue.serve.wire.errors import RefusedError
from retinue.store.address import Address
from retinue.store.api_key import ApiKey, digest_of, id_of, new_key
from retinue.store.database import Database
from retinue.store.key_book import KeyBook
from retinue.testing import agent


def made(name: str = "ci", **fields) -> ApiKey:
    return made_with_secret(name, **fields)[0]


def made_with_secret(name: str = "ci", **fields) -> tuple[ApiKey, str]:
    secret = new_key()
    digest = digest_of(secret.encode())
    known = {"scopes": frozenset(["chat"]), "created_at": time.time(), **fields}
    return ApiKey(id=id_of(digest), digest=digest.hex(), name=name, **known), secret


def digest(key: ApiKey) -> bytes:
    return bytes.fromhex(key.digest)


@pytest.fixture
async def book(address):
    """As the command line has it, in another process."""
    book = KeyBook(Database(address))
    yield book
    await book.database.aclose()


@asynccontextmanager
async def known(address, snapshot=None, *, every=0.05, pause=0.0, used=300.0, idle=30.0):
    async with (
        asyncio.timeout(60),
        State(address) as state,
        StoredKeys(state, snapshot, every=every, pause=pause, used=used, idle=idle) as keys,
    ):
        yield keys


async def eventually(condition) -> None:
    async with asyncio.timeout(20):
        while not (await found if isawaitable(found := condition()) else found):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_what_is_made_and_revoked_is_noticed(address, book):
    one, two = made("one"), made("two")
    await book.add(one)
    async with known(address) as keys:
        await eventually(lambda: keys.find(digest(one)))
        assert keys.find(digest(one)) == one
        await book.add(two)
        await eventually(lambda: keys.find(digest(two)))
        await book.revoke("one")
        await eventually(lambda: not keys.find(digest(one)))
        assert keys.find(digest(two)) == two


async def test_one_made_a_moment_ago_is_known_when_it_is_asked_for(address, book):
    async with known(address, every=3600) as keys:
        for name in ("one", "two", "three"):
            key = made(name)
            await keys.refresh()
            assert keys.find(digest(key)) is None
            await book.add(key)
            await keys.look_for(digest(key))
            assert keys.find(digest(key)) == key


async def test_guesses_wait_for_one_look_and_are_remembered(address, book):
    key = made()
    await book.add(key)
    async with known(address, every=3600, pause=3600) as keys:
        await eventually(lambda: keys.find(digest(key)))
        # No other look comes: those that wait find out nothing, and beyond some nobody waits.
        waiting = [asyncio.create_task(keys.look_for(os.urandom(32))) for _ in range(300)]
        await eventually(lambda: sum(task.done() for task in waiting) == 300 - 256)
        done = [task for task in waiting if task.done()]
        assert {type(task.exception()) for task in done} == {RefusedError}
        assert keys.find(digest(key)) == key
        for task in waiting:
            task.cancel()
    async with known(address, every=3600, pause=0.2) as keys:
        guess = os.urandom(32)
        await asyncio.gather(*(keys.look_for(os.urandom(32)) for _ in range(200)))
        await keys.look_for(guess)
        keys.refresh = None  # Nothing is looked at from here on.
        await keys.look_for(guess)


async def test_of_strangers_only_some_are_remembered(address):
    async with known(address, every=3600) as keys:
        for _ in range(50):
            await asyncio.gather(*(keys.look_for(os.urandom(32)) for _ in range(100)))
        assert len(keys._strangers) == 4096


async def test_a_key_ends_when_it_is_over_also_without_a_look(address, book):
    key = made(expires_at=time.time() + 5)
    await book.add(key)
    async with known(address, every=3600) as keys:
        await keys.look_for(digest(key))
        assert keys.find(digest(key)) == key
        await eventually(lambda: time.time() > key.expires_at)
        assert keys.find(digest(key)) is None
        keys.refresh = None
        await keys.look_for(digest(key))


async def test_when_keys_were_used_is_told_now_and_then_and_at_the_end(address, book):
    one, two = made("one"), made("two")
    await book.add(one)
    await book.add(two)

    async def times():
        return {key.name: key.used_at for key in await book.page(after=None, limit=9)}

    async with known(address, used=0.0) as keys:
        await keys.refresh()
        keys.find(digest(one))

        async def told() -> bool:
            return (await times())["one"] is not None

        await eventually(told)
    async with known(address) as keys:
        await keys.refresh()
        keys.find(digest(two))
        keys.find(os.urandom(32))
        assert (await times())["two"] is None
    assert (await times())["two"] == pytest.approx(time.time(), abs=60)


async def test_it_rests_while_nobody_brings_a_key_and_the_first_who_does_waits_for_a_look(
    address, book
):
    key, secret = made_with_secret("one")
    await book.add(key)
    chosen = agent("tester", auth=Auth(mode="api_key"))

    async def inside(scope, _receive, send):
        await PlainTextResponse(record_of(scope).identity.key)(scope, _receive, send)

    async with known(address, idle=0.2) as keys:
        gate = Gate(Access([chosen], {}, stored=True), frozenset(), inside, keys)
        app = httpx.ASGITransport(AccessLog(gate))
        async with httpx.AsyncClient(transport=app, base_url="http://test") as http:
            headers = {"authorization": f"Bearer {secret}"}
            assert (await http.get("/v1/models", headers=headers)).text == key.id
            await eventually(lambda: keys.resting)
            told = await book.page(after=None, limit=1)
            assert told[0].used_at is not None
            await book.revoke("one")
            await asyncio.sleep(0.2)
            assert keys.find(digest(key)) == key
            assert (await http.get("/v1/models", headers=headers)).status_code == 401
            assert not keys.resting


async def test_where_nothing_is_kept_yet_nothing_is_made(tmp_path):
    address = Address(file=tmp_path / ".retinue" / "state.db")
    async with known(address) as keys:
        await keys.look_for(os.urandom(32))
    assert not address.file.exists()


async def test_while_the_database_is_away_nothing_changes_for_known_keys(postgres, tmp_path):
    address = Address(url=postgres.new_database())
    book = KeyBook(Database(address))
    key, ends = made(), made("ends", expires_at=time.time() + 4)
    await book.add(key)
    await book.add(ends)
    await book.database.aclose()
    snapshot = Snapshot(tmp_path / "keys" / "db.json")
    async with known(address, snapshot) as keys:
        await keys.refresh()
        await eventually(snapshot.read)
        postgres.crash()
        try:
            with pytest.raises(StoreDownError):
                await keys.look_for(os.urandom(32))
            assert keys.find(digest(key)) == key
            await eventually(lambda: time.time() > ends.expires_at)
            assert keys.find(digest(ends)) is None
            # And for a process that starts now.
            async with known(address, snapshot) as others:
                assert others.find(digest(key)) == key
                assert others.find(digest(ends)) is None
            async with known(address) as others:
                with pytest.raises(StoreDownError):
                    await others.look_for(digest(key))
        finally:
            postgres.start()

        async def back() -> bool:
            try:
                await keys.refresh()
            except StoreDownError:
                return False
            return True

        await eventually(back)


async def test_a_store_of_a_newer_version_opens_nothing_and_is_told_once(address, book, log):
    await book.add(made())

    async def age(connection):
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    await book.database.write(age)
    async with known(address, every=0.0) as keys:
        for _ in range(3):
            with pytest.raises(StoreError, match="newer version"):
                await keys.look_for(os.urandom(32))
    told = [id(r) for r in log.records if r.msg.startswith("the keys in the store")]
    assert len(set(told)) == 1


class TestSnapshot:
    def test_only_its_user_reads_it_and_it_holds_what_there_was(self, tmp_path):
        key = made(agents=frozenset(["sales"]), rate="60/minute", expires_at=2e9)
        snapshot = Snapshot(tmp_path / "keys" / "db.json")
        assert snapshot.read() == []
        snapshot.keep(None)
        snapshot.keep([made(), made()])
        snapshot.keep([key])
        assert snapshot.read() == [key]
        (file,) = (tmp_path / "keys").iterdir()
        assert file.stat().st_mode & 0o777 == 0o600

    def test_it_counts_for_a_day_after_it_was_last_right(self, tmp_path):
        snapshot = Snapshot(tmp_path / "db.json")
        snapshot.keep([made()])
        for age in (-90_000, 90_000):
            os.utime(tmp_path / "db.json", (time.time() - age, time.time() - age))
            assert snapshot.read() == []
        snapshot.keep(None)
        assert len(snapshot.read()) == 1

    def test_one_that_others_may_read_or_write_is_not_believed(self, tmp_path):
        snapshot = Snapshot(tmp_path / "db.json")
        snapshot.keep([made()])
        (tmp_path / "db.json").chmod(0o620)
        assert snapshot.read() == []

    @pytest.mark.parametrize(
        "text",
        ["", "{", "{}", "[1]", '[{"id": "a"}]', '[{"scopes": 1, "agents": 2}]', "\0", "null"],
    )
    def test_what_was_not_written_here_opens_nothing(self, tmp_path, text):
        file = tmp_path / "db.json"
        file.write_text(text)
        file.chmod(0o600)
        assert Snapshot(file).read() == []

    def test_a_disk_that_takes_nothing_is_only_told(self, tmp_path):
        (tmp_path / "keys").write_text("a file")
        snapshot = Snapshot(tmp_path / "keys" / "db.json")
        snapshot.keep([made()])
        snapshot.keep(None)
        assert snapshot.read() == []
