"""Paths in a project → bytes: regular files inside the root, each read and hashed once."""

import hashlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from retinue.agent import Source
from retinue.compile.document import MAX_BYTES
from retinue.errors import ProjectError
from retinue.project import Project

_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class ReadError(Exception):
    """A file can't be read: `code` is the diagnostic's code, the text its message."""

    def __init__(self, message: str, code: str = "file-not-found") -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Reader:
    """Reads a project's files; what was read once isn't read again."""

    project: Project
    _read: dict[str, bytes | ReadError] = field(default_factory=dict)

    def read(self, path: str, limit: int = MAX_BYTES) -> bytes:
        """The bytes of `path` (relative to the root). Raises ReadError, also for a file of more
        than `limit` bytes, a folder, a pipe, or a link that leads out of the project.
        """
        if path not in self._read:
            try:
                self._read[path] = self._bytes(path, limit)
            except ReadError as error:
                self._read[path] = error
        found = self._read[path]
        if isinstance(found, ReadError):
            raise found
        return found

    def source(self, path: str) -> Source:
        """What the compiled agent keeps of a file that was read."""
        return Source(path, hashlib.sha256(self.read(path)).hexdigest())

    def is_under(self, path: str, folder: str) -> bool:
        """Whether `path`, its links followed, lies in `folder`; both relative to the root."""
        try:
            return self.project.inside(path).is_relative_to(self.project.inside(folder))
        except ProjectError:
            return False

    def matching(self, pattern: str) -> list[str]:
        """Files that a glob names, relative to the root; none for one that leads outside."""
        if pattern.startswith(("/", "~")) or ".." in pattern or "**" in pattern:
            return []
        try:
            found = sorted(self.project.root.glob(pattern))
        except (ValueError, NotImplementedError, OSError):
            return []
        return [self.project.shown(path) for path in found]

    def _bytes(self, path: str, limit: int) -> bytes:
        try:
            place = self.project.inside(path)
            return read_regular(place, limit)
        except ProjectError as error:
            raise ReadError(str(error), "path-outside") from None
        except OSError as error:
            raise ReadError(_reason(path, error, self.project.root / path)) from None


def read_regular(place: Path, limit: int) -> bytes:
    """A regular file's bytes. Raises ReadError or OSError; never waits for a pipe."""
    descriptor = os.open(place, _READ)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError
        if not stat.S_ISREG(status.st_mode):
            raise ReadError("the file is not a regular one", "not-a-file")
        if status.st_size > limit:
            message = f"the file has {status.st_size:,} bytes; at most {limit:,} are read"
            raise ReadError(message, "too-large")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(limit)
    finally:
        os.close(descriptor)


def _reason(path: str, error: OSError, place: Path) -> str:
    if isinstance(error, FileNotFoundError) and place.is_symlink():
        return f"'{path}' is a link that leads nowhere"
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return f"there is no file '{path}'"
    if isinstance(error, IsADirectoryError):
        return f"'{path}' is a folder"
    return f"'{path}' can't be read: {(error.strerror or 'unknown error').lower()}"
