"""A skill and a path → the file there, read without ever leaving the skill's folder."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from retinue.agent import Skill
from retinue.errors import ToolError

_LARGEST = 10 * 2**20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a named pipe must not wait for a writer.
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


def file_text(skill: Skill, path: str) -> str:
    """The text of a regular file inside the skill's folder, wherever links lead. Raises ToolError.

    Checked at the moment of reading, as what compiled may have changed; and the path checked is
    opened without following a link, so that a change in between leads nowhere else.
    """
    with _opened(skill, path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > _LARGEST:
            raise ToolError(f"'{path}' is too large to be read: {size:,} bytes.")
        content = file.read(_LARGEST)
    if b"\0" in content:
        raise ToolError(f"'{path}' is a binary file ({len(content):,} bytes) and can't be read.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ToolError(f"'{path}' is not UTF-8 text and can't be read.") from None


def _opened(skill: Skill, path: str) -> BinaryIO:
    try:
        descriptor = open_below(*inside(skill, path))
    except OSError as error:
        raise ToolError(_missing(skill, path)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ToolError(f"'{path}' is not a file; {_listed(skill)}")
    return os.fdopen(descriptor, "rb")


def open_below(root: Path, parts: Sequence[str]) -> int:
    """A descriptor of the file at `parts` below `root`. Raises OSError, also for any link."""
    folder = os.open(root, _FOLDER)
    try:
        for part in parts[:-1]:
            below = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = below
        return os.open(parts[-1] if parts else ".", _FILE, dir_fd=folder)
    finally:
        os.close(folder)


def inside(skill: Skill, path: str) -> tuple[Path, tuple[str, ...]]:
    """The skill's folder and the names that lead from it to the file, free of links just now.

    Raises ToolError for what isn't there or leads out of the folder.
    """
    try:
        root = skill.root.resolve(strict=True)
        target = (root / path).resolve(strict=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise ToolError(_missing(skill, path)) from error
    if not target.is_relative_to(root):
        raise ToolError(f"'{path}' leads out of the skill '{skill.name}'.")
    return root, target.relative_to(root).parts


def _missing(skill: Skill, path: str) -> str:
    return f"The skill '{skill.name}' has no file '{path[:200]}'; {_listed(skill)}"


def _listed(skill: Skill) -> str:
    names = [file.path for file in skill.files[:20]]
    return f"its files are: {', '.join(names)}." if names else "it has no files."
