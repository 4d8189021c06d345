"""A place → the bytes of files in it, by their ids: a folder, or a Unity Catalog volume."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from retinue.errors import StoreDownError, StoreError

if TYPE_CHECKING:
    from databricks.sdk.mixins.files import FilesExt

VOLUMES = "/Volumes/"
_PIECE = 256 * 1024
_TIMEOUTS: dict[str, Any] = {"http_timeout_seconds": 30, "retry_timeout_seconds": 10}


class Blobs(Protocol):
    """Where bytes are. Its methods raise StoreDownError, and StoreError where they never work."""

    async def spool(self, name: str) -> Path:
        """A new file on this machine's disk to write them to, before they are kept."""

    async def keep(self, name: str, spool: Path) -> None:
        """They are all in the spool."""

    def read(self, name: str) -> AsyncIterator[bytes]:
        """In pieces."""

    async def remove(self, name: str) -> None:
        """Whether they are there or not, or the spool alone."""


def blobs_at(place: str) -> Blobs:
    """A volume's path begins with /Volumes/."""
    return Volume(place, _workspace_files) if place.startswith(VOLUMES) else Folder(Path(place))


class Folder:
    """On this machine's disk; only this user may read it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def spool(self, name: str) -> Path:
        spool = self._folder / f"{name}.part"

        def make() -> None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            spool.touch(mode=0o600, exist_ok=False)

        await _on_disk(make)
        return spool

    async def keep(self, name: str, spool: Path) -> None:
        def move() -> None:
            with spool.open("rb") as file:
                os.fsync(file.fileno())
            spool.replace(self._folder / name)

        await _on_disk(move)

    async def read(self, name: str) -> AsyncIterator[bytes]:
        file = await _on_disk((self._folder / name).open, "rb")
        try:
            while piece := await asyncio.to_thread(file.read, _PIECE):
                yield piece
        finally:
            file.close()

    async def remove(self, name: str) -> None:
        for path in (self._folder / name, self._folder / f"{name}.part"):
            await _on_disk(path.unlink, missing_ok=True)


class Volume:
    """In a folder of a Unity Catalog volume, over databricks-sdk's files API."""

    def __init__(self, folder: str, connect: Callable[[], "FilesExt"]) -> None:
        self._folder = folder.rstrip("/")
        self._connect = connect
        self._files: FilesExt | None = None

    async def spool(self, name: str) -> Path:
        def make() -> Path:
            number, path = tempfile.mkstemp(prefix=f"retinue-{name}-")
            os.close(number)
            return Path(path)

        made: Path = await _on_disk(make)
        return made

    async def keep(self, name: str, spool: Path) -> None:
        def upload() -> None:
            with spool.open("rb") as file:
                self._client().upload(self._path(name), file, overwrite=True)

        await _in_workspace(upload)
        await _on_disk(spool.unlink)

    async def read(self, name: str) -> AsyncIterator[bytes]:
        def download() -> BinaryIO:
            found = self._client().download(self._path(name)).contents
            if found is None:
                raise FileNotFoundError(name)
            return found

        content = await _in_workspace(download)
        try:
            while piece := await _in_workspace(lambda: content.read(_PIECE)):
                yield piece
        finally:
            content.close()

    async def remove(self, name: str) -> None:
        from databricks.sdk.errors import NotFound  # noqa: PLC0415 - the SDK costs a second

        def delete() -> None:
            with suppress(NotFound):
                self._client().delete(self._path(name))

        await _in_workspace(delete)

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}"

    def _client(self) -> "FilesExt":
        self._files = self._files or self._connect()
        return self._files


def _workspace_files() -> "FilesExt":
    from databricks.sdk import WorkspaceClient  # noqa: PLC0415 - it costs a second
    from databricks.sdk.config import Config  # noqa: PLC0415

    return WorkspaceClient(config=Config(**_TIMEOUTS)).files


async def _on_disk(work: Callable[..., Any], *given: Any, **named: Any) -> Any:
    try:
        return await asyncio.to_thread(work, *given, **named)
    except OSError as error:
        raise StoreError(f"the stored files can't be reached: {error.strerror}") from None


async def _in_workspace(work: Callable[[], Any]) -> Any:
    try:
        return await asyncio.to_thread(work)
    except Exception as error:  # noqa: BLE001 - the SDK's own and requests' quote the configuration
        raise StoreDownError(
            f"The volume with the stored files can't be reached now ({type(error).__name__}).",
            retry_after=5,
        ) from None
