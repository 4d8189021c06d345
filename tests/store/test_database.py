"""Reads and writes against real databases, which fail as real ones do."""

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from sqlalchemy import text

from retinue.errors import StoreDownError, StoreError
from retinue.store.address import Address
from retinue.store.database import Database
from retinue.store.engine import make_file


@pytest.fixture
async def database(address):
    opened = Database(address)
    yield opened
    await opened.aclose()


def statement(sql, **values):
    async def work(connection):
        found = await connection.execute(text(sql), values)
        return found.all() if found.returns_rows else found.rowcount

    return work


INSERT = "INSERT INTO workers VALUES (:id, 1)"
SELECT = "SELECT id FROM workers ORDER BY id"


async def names(database):
    return [row[0] for row in await database.read(statement(SELECT))]


async def test_a_write_is_there_for_the_next_read(database):
    await database.write(statement(INSERT, id="a"))
    assert await names(database) == ["a"]


async def test_a_write_that_fails_changes_nothing(database):
    async def work(connection):
        await connection.execute(text(INSERT), {"id": "a"})
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(work)
    assert await names(database) == []
    assert not database.down


async def test_someone_who_stops_waiting_does_not_stop_a_write(database):
    await database.prepare()
    begun = asyncio.Event()

    async def work(connection):
        await connection.execute(text(INSERT), {"id": "a"})
        begun.set()
        await asyncio.sleep(0.05)

    waiting = asyncio.create_task(database.write(work))
    await begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await database.write(statement(INSERT, id="b"))
    await asyncio.wait({*database._under_way, asyncio.create_task(asyncio.sleep(0))})
    assert await names(database) == ["a", "b"]


async def test_many_at_once(database):
    async def both(n):
        await database.write(statement(INSERT, id=f"{n:03}"))
        return await names(database)

    await asyncio.gather(*map(both, range(100)))
    assert len(await names(database)) == 100


async def test_a_call_that_hangs_ends_in_time_and_the_next_does_not_wait(address, database):
    await database.prepare()
    database = Database(address, patience=2)

    async def hang(_):
        await asyncio.sleep(60)

    with pytest.raises(StoreDownError):
        await database.read(hang)
    start = time.monotonic()
    with pytest.raises(StoreDownError):
        await database.read(hang)
    assert time.monotonic() - start < 1
    await database.aclose()


STARTS = """
import asyncio, sys
from pathlib import Path
from retinue.store.address import Address
from retinue.store.database import Database
where = sys.argv[1]
address = Address(url=where) if "://" in where else Address(file=Path(where))

async def main():
    database = Database(address, patience=60)
    await database.prepare()
    await database.aclose()

asyncio.run(main())
"""


def start_at_once(where: str) -> list[int]:
    starting = [subprocess.Popen([sys.executable, "-c", STARTS, where]) for _ in range(4)]
    return [process.wait(60) for process in starting]


async def test_processes_that_start_at_once_make_the_schema_once(address, database):
    assert start_at_once(address.url or str(address.file)) == [0, 0, 0, 0]
    assert await names(database) == []


async def test_a_schema_of_a_newer_version_is_told(address, database):
    await database.write(statement("UPDATE alembic_version SET version_num = '9999'"))
    late = Database(address)
    with pytest.raises(StoreError, match="its schema is 9999"):
        await late.prepare()
    await late.aclose()


HOLDS = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("INSERT INTO workers VALUES ('torn', 1)")
print("begun", flush=True)
time.sleep(60)
"""


def kill_in_a_write(file: str) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDS, file], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)


async def test_a_process_killed_in_a_write_leaves_nothing_behind(tmp_path):
    database = Database(Address(file=tmp_path / "state.db"))
    await database.prepare()
    kill_in_a_write(str(tmp_path / "state.db"))
    await database.write(statement(INSERT, id="whole"))
    assert await names(database) == ["whole"]
    await database.aclose()


async def test_sqlite_is_for_this_user_alone_and_not_for_git(tmp_path):
    address = Address(file=tmp_path / ".retinue" / "state.db")
    database = Database(address)
    assert not address.file.exists()
    await database.prepare()
    await database.aclose()
    assert stat.S_IMODE(address.file.stat().st_mode) == 0o600
    assert (tmp_path / ".retinue" / ".gitignore").read_text() == "*\n"


async def test_a_folder_that_can_not_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    database = Database(Address(file=tmp_path / "file" / "state.db"))
    with pytest.raises(StoreError, match="can't be written"):
        await database.prepare()
    await database.aclose()


def test_whoever_begins_a_file_at_the_same_time_finds_it_ready(tmp_path):
    """Each switches it to WAL, for which SQLite lets nobody wait."""
    begin = threading.Barrier(6)

    def use(file):
        begin.wait()
        make_file(file)
        begin.wait()
        with closing(sqlite3.connect(file, isolation_level=None, timeout=20)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("CREATE TABLE IF NOT EXISTS notes (a)")

    with ThreadPoolExecutor(6) as pool:
        for number in range(50):
            list(pool.map(use, [tmp_path / f"{number}" / "state.db"] * 6))


async def test_a_file_that_is_no_database_is_as_one_that_is_away(tmp_path, caplog):
    (tmp_path / "state.db").write_text("Dear diary, " * 100)
    database = Database(Address(file=tmp_path / "state.db"))
    with pytest.raises(StoreDownError):
        await database.prepare()
    assert database.down
    assert "file is not a database" in caplog.text
    await database.aclose()
    assert (tmp_path / "state.db").read_text().startswith("Dear diary")


async def test_a_server_that_is_not_there_is_told_in_short_time(tmp_path):
    database = Database(Address(url=f"postgresql://nobody@/none?host={tmp_path}"))
    with pytest.raises(StoreDownError):
        await database.prepare()
    assert database.down
    await database.aclose()


async def test_a_crash_of_the_server_is_over_when_it_is_back(postgres):
    database = Database(Address(url=postgres.new_database()), patience=20)
    await database.write(statement(INSERT, id="a"))
    postgres.crash()
    try:
        with pytest.raises(StoreDownError) as down:
            await database.read(statement(SELECT))
    finally:
        postgres.start()
    await asyncio.sleep(down.value.retry_after)
    assert await names(database) == ["a"]
    await database.aclose()
