"""Requests that are over → rows of the store's log, by way of files that outlive the process.

No request waits for the database: a line is appended to a file before the last of an answer goes
out, and a task brings the lines to the database, where a row's id makes it one however often it is
brought.
"""

import asyncio
import importlib
import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import orjson

from retinue.agent import Agent
from retinue.errors import RetinueError, StoreDownError, StoreError
from retinue.run.tracing import content
from retinue.serve.access import HUNG_UP, RequestRecord
from retinue.serve.log import Secrets
from retinue.storage import Log
from retinue.store.address import Address
from retinue.store.log_query import new_id
from retinue.store.spool import MOST, Spool

if TYPE_CHECKING:
    from retinue.store.log_book import LogBook

log = logging.getLogger("retinue.serve")

_FOLDER = Path(".retinue") / "spool"
_EVERY = 1.0
_LOOK_AROUND = 30.0
_WRITES = 10.0
_PATIENCE = 2.0
_ROWS = 500
_BYTES = 2**20
_FAREWELL = 3.0
_GOODBYE = 1.0
_LONGEST = 512
_MOST_TOOLS = 64
_NAME = 128


@dataclass(frozen=True, slots=True)
class LogSettings:
    """`folder` holds what the database doesn't have yet, at most `most` bytes; with `messages`
    rows hold what was said.
    """

    folder: Path
    messages: bool = False
    most: int = MOST


def log_settings(agents: Iterable[Agent], root: Path) -> LogSettings | None:
    """As the project at `root` has them; None where it keeps no log."""
    store = next((agent.store for agent in agents), None)
    told = store.log if store else Log()
    if not told.requests:
        return None
    return LogSettings(root / _FOLDER, told.messages)


class RequestLog:
    """The log of one server: `async with RequestLog(…)` brings lines to the database."""

    def __init__(
        self, address: Address, settings: LogSettings, agents: Mapping[str, Agent]
    ) -> None:
        self._address = address
        self._settings = settings
        self._agents = agents
        self._spool = Spool(settings.folder / folder_of(address), most=settings.most)
        self._secrets = Secrets(os.environ)
        self._book: LogBook | None = None
        self._task: asyncio.Task[Any] | None = None
        self._leaving = asyncio.Event()
        self._turn = asyncio.Lock()
        self._flight: asyncio.Task[Any] | None = None
        self._fresh = False
        self._behind = False
        self._waiting = self._refused = 0
        self._looked_at = float("-inf")

    def keep(self, record: RequestRecord) -> None:
        """Keep a request that is over, if it was for an agent and no other request tells of it."""
        ended = record.finish or record.fault or record.status == HUNG_UP
        if not (record.agent and ended):
            return
        try:
            self._spool.append(orjson.dumps(self._row(record)) + b"\n")
        except Exception:
            log.exception("request_id=%s is missing in the log", record.id)
        self._fresh = True

    @property
    def dropped(self) -> int:
        """Requests that this process could not keep: there was no room for them."""
        return self._spool.dropped + self._refused

    @property
    def health(self) -> Mapping[str, Any]:
        """`state` is `ok`, or `behind` while the database or the disk is away."""
        behind = self._behind or self._spool.disk_failed
        waiting = self._waiting if behind else 0
        state = "behind" if behind else "ok"
        return {"state": state, "waiting_bytes": waiting, "dropped": self.dropped}

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        """The rest goes to the database if it takes it now, and else from the file next time."""
        self._leaving.set()
        tasks = {task for task in (self._task, self._flight) if task}
        if tasks:
            await asyncio.wait(tasks, timeout=_FAREWELL)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        self._spool.close()
        if self._book:
            # A database that doesn't answer must not keep the server from stopping in time.
            with suppress(TimeoutError):
                async with asyncio.timeout(_GOODBYE):
                    await self._book.database.aclose()

    async def book(self) -> "LogBook":
        """The log, over connections of its own: it takes none from those who wait for an answer."""
        if self._book is None:
            # SQLAlchemy takes a quarter of a second to load.
            await asyncio.to_thread(importlib.import_module, "retinue.store.log_book")
        if self._book is None:
            self._book = _opened(self._address)
        return self._book

    async def settle(self, seconds: float = _PATIENCE) -> None:
        """Have what this process kept so far in the database, if that goes in so many seconds."""
        if self._flight is None or self._flight.done():
            self._flight = asyncio.create_task(self._attempt())
        await asyncio.wait({self._flight}, timeout=seconds)

    async def _run(self) -> None:
        pause = 0.0
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._leaving.wait()
            last = self._leaving.is_set()
            pause = _EVERY
            if last or self._fresh or time.monotonic() >= self._looked_at + _LOOK_AROUND:
                pause = await self._attempt()
            if last:
                return

    async def _attempt(self) -> float:
        """Bring what there is to the database; seconds until the next time."""
        async with self._turn:
            self._fresh, self._behind = False, True
            self._looked_at = time.monotonic()
            try:
                self._waiting = await asyncio.to_thread(self._spool.waiting)
                await self._bring()
            except StoreDownError as error:
                pause = max(_EVERY, error.retry_after)
            except (StoreError, OSError) as error:
                log.warning("the log of requests can't be written: %s", error)
                pause = _LOOK_AROUND
            except Exception:
                log.exception("the log of requests can't be written")
                pause = _LOOK_AROUND
            else:
                self._behind = False
                return _EVERY
            # What is left needs nothing new to be tried again.
            self._fresh = True
            return pause

    async def _bring(self) -> None:
        self._spool.close()
        lines = self._spool.lift()
        if lines:
            # The disk doesn't take them.
            try:
                await self._insert(lines)
            except BaseException:
                self._spool.put_back(lines)
                raise
        pieces = self._spool.pieces()
        while piece := await asyncio.to_thread(next, pieces, None):
            try:
                await self._insert(piece.lines)
                piece.remove()
            finally:
                piece.release()

    async def _insert(self, lines: Sequence[bytes]) -> None:
        book = await self.book()
        for batch in _batches(lines):
            rows = [row for line in batch if (row := _read(line)) is not None]
            self._refused += len(batch) - len(rows)
            try:
                await book.add(rows)
            except RetinueError:
                raise
            except Exception:  # noqa: BLE001 - one of the rows is what no database takes
                await self._insert_each(book, rows)

    async def _insert_each(self, book: "LogBook", rows: Sequence[Mapping[str, Any]]) -> None:
        """A row that isn't taken keeps no other from it."""
        for row in rows:
            try:
                await book.add([row])
            except RetinueError:
                raise
            except Exception as error:  # noqa: BLE001 - its text could hold what was said
                self._refused += 1
                log.error("%s was refused by the log (%s)", row.get("id"), type(error).__name__)

    def _row(self, record: RequestRecord) -> dict[str, Any]:
        took = time.perf_counter() - record.started
        began = time.time() - took
        agent = self._agents.get(record.agent)
        finish, usage = record.finish, record.usage
        names = [call.name for m in finish.messages for call in m.tool_calls] if finish else []
        return {
            "id": new_id(began),
            "request_id": record.id,
            "created_at": began,
            "agent": record.agent,
            "digest": agent.digest if agent else "",
            "user": _clean(record.identity.subject),
            "session": _clean(record.session),
            "endpoint": _clean(record.path, _NAME),
            "status": record.status or 200,
            "finish_reason": finish and finish.reason,
            "error": record.fault or None,
            "ms": round(took * 1000, 1),
            "tools": orjson.dumps([_clean(name, _NAME) for name in names[:_MOST_TOOLS]]).decode(),
            "input_tokens": usage.input_tokens if usage else 0,
            "output_tokens": usage.output_tokens if usage else 0,
            "cost_usd": usage and usage.cost_usd,
            "trace_id": record.trace_id,
            "messages": self._messages(record) if self._settings.messages else None,
        }

    def _messages(self, record: RequestRecord) -> str:
        made = record.finish.messages if record.finish else ()
        said = content.messages([*record.said, *made])
        return self._secrets.hidden(said.replace("\\u0000", ""))


def folder_of(address: Address) -> str:
    """A folder for each database: what waits for one must not end up in another."""
    if address.url:
        parts = urlsplit(address.url)
        where = f"{parts.hostname}:{parts.port}{parts.path}?{parts.query}"
    else:
        where = str(address.file or address.lake)
    return sha256(where.encode()).hexdigest()[:16]


def _clean(text: str, longest: int = _LONGEST) -> str:
    """What every database takes as text."""
    return content.text(text.replace("\0", ""), longest)


def _batches(lines: Sequence[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for line in lines:
        if batch and (len(batch) >= _ROWS or size + len(line) > _BYTES):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line)
    if batch:
        yield batch


def _read(line: bytes) -> dict[str, Any] | None:
    """None for what isn't a row: a file may have been damaged."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("id"), str) else None


def _opened(address: Address) -> "LogBook":
    from retinue.store.database import Database  # noqa: PLC0415
    from retinue.store.log_book import LogBook  # noqa: PLC0415

    return LogBook(Database(address, patience=_WRITES))
