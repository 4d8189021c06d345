"""Bytes in a folder and in a volume that the tests play: kept, read in pieces, and gone."""

import io
from importlib import import_module
from types import ModuleType

import pytest

from retinue.errors import StoreDownError, StoreError
from retinue.store.blobs import Folder, Volume, blobs_at


class FakeFiles:
    """What of the SDK's files API is used."""

    def __init__(self, sdk: ModuleType) -> None:
        self.sdk = sdk
        self.held: dict[str, bytes] = {}

    def upload(self, path: str, contents: io.BufferedReader, *, overwrite: bool) -> None:
        assert overwrite
        self.held[path] = contents.read()

    def download(self, path: str):
        if path not in self.held:
            raise self.sdk.errors.NotFound("no secret is in here: dapi123")
        return self.sdk.service.files.DownloadResponse(contents=io.BytesIO(self.held[path]))

    def delete(self, path: str) -> None:
        if self.held.pop(path, None) is None:
            raise self.sdk.errors.NotFound(path)


@pytest.fixture(params=["folder", "volume"])
def blobs(request, tmp_path):
    if request.param == "folder":
        return Folder(tmp_path / "files")
    # It takes a second to import, so not wherever tests are collected.
    files = FakeFiles(import_module("databricks.sdk"))
    return Volume("/Volumes/main/agents/files/", lambda: files)


async def read(blobs, name: str) -> bytes:
    return b"".join([piece async for piece in blobs.read(name)])


async def test_bytes_come_back_as_they_went(blobs):
    content = bytes(range(256)) * 4096
    spool = await blobs.spool("file-1")
    spool.write_bytes(content)
    await blobs.keep("file-1", spool)
    assert not spool.exists()
    assert await read(blobs, "file-1") == content
    await blobs.remove("file-1")
    with pytest.raises((StoreDownError, StoreError)) as lost:
        await read(blobs, "file-1")
    assert "dapi" not in str(lost.value)


async def test_what_is_not_there_may_be_removed(blobs):
    await blobs.remove("file-none")


async def test_a_spool_alone_is_removed(tmp_path):
    blobs = blobs_at(str(tmp_path / "files"))
    spool = await blobs.spool("file-1")
    await blobs.remove("file-1")
    assert not spool.exists()


def test_a_path_under_volumes_is_a_volume():
    assert isinstance(blobs_at("/Volumes/main/agents/files"), Volume)
