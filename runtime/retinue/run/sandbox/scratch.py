"""A folder for one script → what the script left in it, read with care, and then nothing.

What is in it was made by a program that nobody trusts: links, pipes, names of any bytes, folders
deeper than any path may be long.
"""

import asyncio
import os
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from retinue.run.sandbox.removal import remove

MOST_TOLD = 50
"""Files that are told of."""
_MOST_SEEN = 5_000
_LARGEST_TEXT = 8_000
_LARGEST_TEXTS = 24_000


@dataclass(frozen=True, slots=True)
class Written:
    """A file that a script wrote: its path in the folder, size in bytes, and text if short."""

    path: str
    size: int
    text: str | None = None


@asynccontextmanager
async def scratch_folder() -> AsyncIterator[Path]:
    """A new folder that only this user can enter; gone at the end with all that is in it."""
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="retinue-script-"))
    try:
        yield folder
    finally:
        # In a thread: a slow disk must not hold up other runs.
        await asyncio.to_thread(remove, str(folder))


def written(folder: Path) -> tuple[list[Written], int]:
    """The first regular files by name, and how many more there are, as far as they are counted."""
    paths = sorted(_files(folder))
    told, left = [], _LARGEST_TEXTS
    for path in paths[:MOST_TOLD]:
        size, text = _read(folder, path, min(left, _LARGEST_TEXT))
        left -= len(text or "")
        told.append(Written(path, size, text))
    return told, len(paths) - len(told)


def _files(folder: Path) -> Iterator[str]:
    pending, seen = [""], 0
    while pending and seen < _MOST_SEEN:
        below = pending.pop()
        try:
            with os.scandir(folder / below) as entries:
                for entry in entries:
                    seen += 1
                    path = f"{below}{entry.name}"
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(f"{path}/")
                    elif entry.is_file(follow_symlinks=False):
                        yield path
                    if seen >= _MOST_SEEN:
                        return
        except OSError:
            # Closed to us, or deeper than a path can say.
            continue


def _read(folder: Path, path: str, most: int) -> tuple[int, str | None]:
    try:
        # Nothing runs there any more: no part of the path can become a link now.
        descriptor = os.open(folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return 0, None
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_size > most:
            return state.st_size, None
        content = file.read(most + 1)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return len(content), None
    return len(content), None if "\0" in text or len(content) > most else text
