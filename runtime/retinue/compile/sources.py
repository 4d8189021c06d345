"""Paths that went into an agent → Sources: each file hashed once, large ones in pieces."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from retinue.agent import Source
from retinue.compile.reader import Reader
from retinue.compile.report import Report
from retinue.diagnostics import Location
from retinue.errors import ProjectError

_NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@dataclass(slots=True)
class Sources:
    """The sources of all agents of a compilation; they share most of them."""

    reader: Reader
    _known: dict[str, Source] = field(default_factory=dict)

    def of(self, paths: Iterable[str]) -> tuple[Source, ...]:
        """The sources of files that were read or hashed before, sorted, without repeats."""
        return tuple(sorted({self._read(path) for path in paths}))

    def add(self, paths: Iterable[str], report: Report) -> tuple[str, ...]:
        """Hash files without keeping their content; one that can't be read is a warning and is
        left out of what is returned.
        """
        return tuple(path for path in dict.fromkeys(paths) if self._hashed(path, report))

    def _hashed(self, path: str, report: Report) -> bool:
        try:
            if path not in self._known:
                self._known[path] = Source(path, _sha256(self.reader.project.inside(path)))
        except (ProjectError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            message = f"the file can't be read: {(reason or 'unknown error').lower()}"
            report.warning(Location(path), message, "skill-unreadable")
        return path in self._known

    def _read(self, path: str) -> Source:
        if path not in self._known:
            self._known[path] = self.reader.source(path)
        return self._known[path]


def _sha256(place: Path) -> str:
    descriptor = os.open(place, os.O_RDONLY | _NO_WAIT)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        return hashlib.file_digest(file, "sha256").hexdigest()
