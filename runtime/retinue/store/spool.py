"""Lines → files that outlive the process, until somebody has taken what they hold.

A line is in the system's hands when `append` returns: it survives the process being killed, and a
power cut may take the last moments. Each process writes files of its own, under a lock that ends
with it, so that others find what it has left.
"""

import contextlib
import errno
import os
import secrets
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows, where a file that is open can't be removed
    fcntl = None

MOST = 64 * 2**20
_PIECE = 2**20
_HELD = 16 * 2**20
_ENDING = ".jsonl"
_RETRY = 1.0


@dataclass(frozen=True, slots=True)
class Piece:
    """A file that nobody writes any more, locked: its whole lines."""

    path: Path
    lines: tuple[bytes, ...]
    descriptor: int | None

    def remove(self) -> None:
        """Its lines are where they belong. It is still to be released."""
        self.path.unlink(missing_ok=True)

    def release(self) -> None:
        """Leave it to whoever looks next."""
        if self.descriptor is not None:
            os.close(self.descriptor)


class Spool:
    """`append` never raises and never waits for anybody: what the disk doesn't take is held in
    memory.

    All files in `folder` have at most `most` bytes: the oldest go first, and `dropped` counts their
    lines. A file is closed when it has `piece` bytes, and `held` bytes are kept in memory.
    """

    def __init__(
        self, folder: Path, *, most: int = MOST, piece: int = _PIECE, held: int = _HELD
    ) -> None:
        self.folder = folder
        self.dropped = 0
        self._most = most
        self._piece = min(piece, most)
        self._room = held
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._descriptor: int | None = None
        self._path = folder
        self._written = 0
        self._retry_at = 0.0

    @property
    def disk_failed(self) -> bool:
        """Whether lines are in memory that the disk doesn't take."""
        return bool(self._held)

    def append(self, line: bytes) -> None:
        """Keep a line, which ends with the only line feed in it."""
        self._hold([line])
        if self._retry_at and time.monotonic() < self._retry_at:
            return
        try:
            self._write()
        except OSError:
            self._retry_at = time.monotonic() + _RETRY

    def close(self) -> None:
        """Let the file so far be taken; the next line begins another one."""
        if self._held:
            with contextlib.suppress(OSError):
                self._write()
        self._close()

    def lift(self) -> list[bytes]:
        """The lines in memory, which are the caller's from now on."""
        lines = list(self._held)
        self._held.clear()
        self._held_bytes = 0
        return lines

    def put_back(self, lines: list[bytes]) -> None:
        """Hold what was lifted after all."""
        self._hold(lines)

    def pieces(self) -> Iterator[Piece]:
        """What can be taken, oldest first: each is to be released.

        Raises OSError. It may be called from another thread.
        """
        for path in self._paths():
            if piece := _taken(path):
                yield piece

    def waiting(self) -> int:
        """Bytes in the folder's files, whoever writes them. Raises OSError."""
        return sum(map(_size, self._paths()))

    def _hold(self, lines: list[bytes]) -> None:
        for line in lines:
            self._held.append(line)
            self._held_bytes += len(line)
        while self._held_bytes > self._room:
            self._held_bytes -= len(self._held.popleft())
            self.dropped += 1

    def _write(self) -> None:
        if self._descriptor is None:
            self._open()
        descriptor = self._descriptor
        if descriptor is None:  # pragma: no cover - `_open` raises
            return
        data = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        try:
            taken = os.write(descriptor, data)
        except OSError:
            self._cut_back(descriptor)
            raise
        if taken != len(data):
            self._cut_back(descriptor)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._held.clear()
        self._held_bytes = 0
        self._retry_at = 0.0
        self._written += len(data)
        if self._written >= self._piece:
            self._close()
            self._bound()

    def _cut_back(self, descriptor: int) -> None:
        """No part of a line stays, as a whole one would come after it."""
        try:
            os.ftruncate(descriptor, self._written)
        except OSError:
            self._close()

    def _open(self) -> None:
        make_folder(self.folder)
        self._path = self.folder / f"{time.time_ns():020d}-{secrets.token_hex(6)}{_ENDING}"
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND
        self._descriptor = os.open(self._path, flags, 0o600)
        self._written = 0
        _lock(self._descriptor)

    def _close(self) -> None:
        if self._descriptor is None:
            return
        if not self._written:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = None

    def _bound(self) -> None:
        over = self.waiting() - self._most
        for path in self._paths():
            if over <= 0:
                return
            if piece := _taken(path):
                over -= _size(path)
                self.dropped += len(piece.lines)
                piece.remove()
                piece.release()

    def _paths(self) -> list[Path]:
        if not self.folder.exists():
            return []
        return sorted(path for path in self.folder.iterdir() if path.suffix == _ENDING)


def make_folder(folder: Path) -> None:
    """A folder that only this user reads, and git leaves alone. Raises OSError."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    if not missing:
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (missing[-1] / ".gitignore").write_text("*\n", encoding="utf-8")


def _taken(path: Path) -> Piece | None:
    """None where it is being written, or somebody else has it."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, descriptor)
        if not _lock(descriptor) or not os.fstat(descriptor).st_nlink:
            return None
        # What comes after the last line feed was never whole: nobody was told that it is kept.
        whole = tuple(path.read_bytes().split(b"\n")[:-1])
        if fcntl is None:
            return Piece(path, whole, None)
        stack.pop_all()
        return Piece(path, whole, descriptor)


def _lock(descriptor: int) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
