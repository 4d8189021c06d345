"""What callers upload → their own files: in the store, and read for nobody else."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from starlette.types import Receive

from retinue.errors import RequestError, RetinueError, StoreDownError
from retinue.run.attachments import Opened
from retinue.serve.files_form import read_form, too_large
from retinue.serve.state import State
from retinue.serve.wire.errors import RefusedError, overloaded
from retinue.serve.wire.file_objects import FileQuery, file_form, no_file

if TYPE_CHECKING:
    from retinue.store.blobs import Blobs
    from retinue.store.database import Database
    from retinue.store.files import StoredFile

log = logging.getLogger("retinue.serve")

MAX_FILE = 64 * 1024 * 1024
"""Bytes of one file."""
MAX_FILES = 1000
MAX_ALL = 1024 * 1024 * 1024
"""Files and bytes of one owner."""
_AT_ONCE = 16
_NONE: Mapping[str, str] = MappingProxyType({})
_SWEPT = 100
_HOW = "set `store: {files: …}` in retinue.yaml to a folder or a volume"


class KeptFiles:
    """The files of everyone; `owner` says whose are meant. Methods raise what the store does."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._blobs: Blobs | None = None
        self._uploads = 0

    async def upload(
        self,
        owner: str,
        receive: Receive,
        boundary: bytes,
        length: int | None,
        fixed: Mapping[str, str] = _NONE,
    ) -> "tuple[StoredFile, Mapping[str, str]]":
        """A new file from a request's body of so many bytes, where that is known; and the form's
        fields, over which those that are `fixed` go.

        Raises RequestError, RefusedError where too many come at the same time, and HungUpError.
        """
        if self._uploads >= _AT_ONCE:
            raise RefusedError(overloaded())
        self._uploads += 1
        try:
            return await self._upload(owner, receive, boundary, length, fixed)
        finally:
            self._uploads -= 1

    async def _upload(
        self,
        owner: str,
        receive: Receive,
        boundary: bytes,
        length: int | None,
        fixed: Mapping[str, str],
    ) -> "tuple[StoredFile, Mapping[str, str]]":
        from retinue.store import files  # noqa: PLC0415 - SQLAlchemy is loaded beside the start

        database, blobs = await self._places()
        file_id = f"file-{secrets.token_hex(16)}"
        most = MAX_FILE if length is None else min(length, MAX_FILE)
        quota = files.Quota(MAX_FILES, MAX_ALL)
        try:
            place = partial(files.reserve, file_id=file_id, owner=owner, size=most, quota=quota)
            await database.write(place)
        except files.QuotaError:
            raise _full() from None
        kept = False
        try:
            spool = await blobs.spool(file_id)
            form = await read_form(receive, boundary, spool, MAX_FILE)
            given = file_form({**form.fields, **fixed}, form.name, form.beginning)
            if not form.size:
                raise RequestError("The file is empty.", param="file", code="invalid_value")
            await blobs.keep(file_id, spool)
            made = partial(
                files.finish,
                file_id=file_id,
                size=form.size,
                purpose=given.purpose,
                media_type=given.media_type,
                name=given.name,
                seconds=given.seconds,
            )
            stored = await database.write(made)
            kept = stored is not None
        except OSError as error:
            log.warning("a file can't be written: %s", error.strerror)
            raise StoreDownError("The file can't be stored now.", retry_after=30) from None
        finally:
            if not kept:
                await asyncio.shield(self._give_up(database, blobs, file_id))
        if stored is None:
            raise RequestError("The file did not arrive in time.", code="request_timeout")
        return stored, form.fields

    async def find(self, owner: str, file_id: str, *, param: str = "file_id") -> "StoredFile":
        """Raises RequestError (404) where the owner has no such file."""
        from retinue.store import files  # noqa: PLC0415

        database, _ = await self._places(param)
        found = await database.read(partial(files.find, file_id=file_id, owner=owner))
        if found is None:
            raise no_file(file_id, param)
        return found

    async def page(self, owner: str, query: FileQuery) -> "Sequence[StoredFile]":
        """What the query asks for, and one more where there is more. Raises RequestError."""
        from retinue.store import files  # noqa: PLC0415

        database, _ = await self._places()
        found = await database.read(
            partial(
                files.page,
                owner=owner,
                purpose=query.purpose,
                after=query.after,
                limit=query.limit + 1,
                newest_first=query.newest_first,
            )
        )
        if found is None:
            raise no_file(query.after or "", "after")
        return found

    async def remove(self, owner: str, file_id: str) -> None:
        """Raises RequestError (404) where the owner has no such file."""
        from retinue.store import files  # noqa: PLC0415

        database, blobs = await self._places()
        if not await database.write(partial(files.remove, file_id=file_id, owner=owner)):
            raise no_file(file_id)
        await self._erase(database, blobs, [file_id])

    async def content(self, file: "StoredFile") -> AsyncIterator[bytes]:
        """The bytes of a file that was found, in pieces."""
        _, blobs = await self._places()
        return blobs.read(file.id)

    async def open(self, file_id: str, owner: str, most: int) -> Opened:
        """The whole of a file, for a run.

        Raises RequestError: 404, or 413 for more than `most` bytes.
        """
        file = await self.find(owner, file_id)
        if file.size > most:
            raise too_large(most)
        pieces = [piece async for piece in await self.content(file)]
        return Opened(file.name, file.media_type, b"".join(pieces))

    async def sweep(self, seconds: float | None = None) -> None:
        """Remove files that are older than so many seconds, and what is left over of others."""
        from retinue.store import files  # noqa: PLC0415

        if not (self._state.address and self._state.address.place):
            return
        database, blobs = await self._places()
        gone = _SWEPT
        while gone == _SWEPT:
            ids = await database.write(partial(files.left_over, most=_SWEPT, seconds=seconds))
            gone = await self._erase(database, blobs, ids)

    async def _places(self, param: str = "files") -> "tuple[Database, Blobs]":
        from retinue.store.blobs import blobs_at  # noqa: PLC0415

        address = self._state.address
        place = address and address.place
        if address and not place:
            message = f"Files need a place, and this server has none: {_HOW}."
            raise RequestError(message, param=param, code="unsupported_parameter")
        database = (await self._state.store(param)).database
        self._blobs = self._blobs or blobs_at(place or "")
        return database, self._blobs

    async def _give_up(self, database: "Database", blobs: "Blobs", file_id: str) -> None:
        from retinue.store import files  # noqa: PLC0415

        # What fails here is done by the next sweep.
        with contextlib.suppress(RetinueError):
            await database.write(partial(files.give_up, file_id=file_id))
            await self._erase(database, blobs, [file_id])

    async def _erase(self, database: "Database", blobs: "Blobs", ids: Sequence[str]) -> int:
        """How many are gone; the others are tried again with the next sweep."""
        from retinue.store import files  # noqa: PLC0415

        gone = []
        for file_id in ids:
            try:
                await blobs.remove(file_id)
                gone.append(file_id)
            except RetinueError as error:
                log.warning("a deleted file's bytes are still there: %s", error)
        if gone:
            await database.write(partial(files.erase, ids=gone))
        return len(gone)


def _full() -> RequestError:
    message = (
        f"You may keep {MAX_FILES} files and {MAX_ALL // 1024**3} GiB in all: delete some first."
    )
    return RequestError(message, code="file_quota_exceeded", status=413)
