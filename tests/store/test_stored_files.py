"""What is known of files, on each database: an owner's own, up to a quota, and gone in the end."""

import asyncio
from functools import partial

import pytest

from retinue.store import files
from retinue.store.database import Database
from retinue.store.files import Quota, QuotaError

ROOMY = Quota(10, 1000)


@pytest.fixture
async def database(address):
    database = Database(address)
    yield database
    await database.aclose()


async def made(database, file_id: str, owner: str = "ann", seconds: int | None = None):
    reserve = partial(files.reserve, file_id=file_id, owner=owner, size=100, quota=ROOMY)
    await database.write(reserve)
    told = {"size": 50, "purpose": "user_data", "media_type": "text/plain", "name": "a.txt"}
    return await database.write(partial(files.finish, file_id=file_id, seconds=seconds, **told))


async def test_an_upload_is_no_file_until_it_is_whole(database):
    await database.write(partial(files.reserve, file_id="file-1", owner="ann", size=9, quota=ROOMY))
    assert await database.read(partial(files.find, file_id="file-1", owner="ann")) is None
    stored = await made(database, "file-2")
    assert await database.read(partial(files.find, file_id="file-2", owner="ann")) == stored
    assert await database.read(partial(files.find, file_id="file-2", owner="bob")) is None
    assert not await database.write(partial(files.remove, file_id="file-2", owner="bob"))


async def test_uploads_at_the_same_time_keep_to_the_quota_together(database):
    await database.prepare()

    async def one(number: int) -> bool:
        place = partial(files.reserve, file_id=f"file-{number}", owner="ann", size=300, quota=ROOMY)
        try:
            await database.write(place)
        except QuotaError:
            return False
        return True

    assert sum(await asyncio.gather(*map(one, range(6)))) == 3
    # Others have their own.
    await made(database, "file-b", "bob")


async def test_what_is_gone_is_left_over_until_its_bytes_are(database):
    await made(database, "file-1")
    await made(database, "file-2", seconds=-1)
    assert await database.read(partial(files.find, file_id="file-2", owner="ann")) is None
    assert await database.write(partial(files.remove, file_id="file-1", owner="ann"))
    found = await database.write(partial(files.left_over, most=10))
    assert sorted(found) == ["file-1", "file-2"]
    await database.write(partial(files.erase, ids=found))
    assert await database.write(partial(files.left_over, most=10)) == []


async def test_an_upload_that_was_given_up_becomes_no_file(database):
    await database.write(partial(files.reserve, file_id="file-1", owner="ann", size=9, quota=ROOMY))
    await database.write(partial(files.give_up, file_id="file-1"))
    told = {"size": 50, "purpose": "user_data", "media_type": "text/plain", "name": "a.txt"}
    finish = partial(files.finish, file_id="file-1", seconds=None, **told)
    assert await database.write(finish) is None
