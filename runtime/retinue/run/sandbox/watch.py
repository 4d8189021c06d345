"""A process and its folder → what all that it has started uses, and an end to all of it."""

import os
import signal
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from retinue.run.sandbox.plan import Bounds

_KIB = 1024
_LONGEST_END = 5.0
_BLOCK = 512


class Use(NamedTuple):
    """What is used now: processes, bytes of memory, files, bytes on the disk."""

    processes: int = 0
    memory: int = 0
    files: int = 0
    disk: int = 0

    def outgrows(self, bounds: Bounds) -> str | None:
        """The bound that doesn't hold any more, in words."""
        if self.processes > bounds.processes:
            return f"it started more than {bounds.processes} processes"
        if self.memory > bounds.memory:
            return f"it used more than {bounds.memory // 2**20} MiB of memory"
        if self.files > bounds.files:
            return f"it wrote more than {bounds.files} files"
        if self.disk > bounds.folder_bytes:
            return f"it wrote more than {bounds.folder_bytes // 2**20} MiB"
        return None


def use(folder: str, bounds: Bounds) -> Use:
    """What this process' descendants use, and what is in the folder."""
    pids = descendants()
    memory = sum(map(_memory, pids))
    files, disk = _in_folder(folder, bounds.files)
    return Use(len(pids), memory, files, disk + sum(map(_deleted, pids)))


def descendants() -> list[int]:
    """All that descend from this process, which orphans among them come back to."""
    parents = dict(_parents())
    own, found = os.getpid(), []
    for pid in parents:
        above, steps = pid, 0
        while above in parents and above != own and steps < len(parents):
            above, steps = parents[above], steps + 1
        if above == own and pid != own:
            found.append(pid)
    return found


def _parents() -> Iterator[tuple[int, int]]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    # The name in brackets may hold anything.
                    fields = file.read().rpartition(b")")[2].split()
                yield int(name), int(fields[1])
            except (OSError, IndexError):
                continue


def _memory(pid: int) -> int:
    """Bytes of its own and shared memory; what is mapped from files doesn't count."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return 0
    return sum(int(n.split()[1]) * _KIB for n in lines if n.startswith((b"RssAnon:", b"RssShmem:")))


def _deleted(pid: int) -> int:
    """Bytes of files that it has open, and that no folder shows any more."""
    found = 0
    with suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            state = os.stat(f"/proc/{pid}/fd/{name}")
            if stat.S_ISREG(state.st_mode) and not state.st_nlink:
                found += state.st_blocks * _BLOCK
    return found


def _in_folder(folder: str, most: int) -> tuple[int, int]:
    """Files and bytes; counting stops soon after `most` files."""
    files = disk = 0
    pending = [folder]
    while pending and files <= most:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    files += 1
                    if files > most:
                        break
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    disk += entry.stat(follow_symlinks=False).st_blocks * _BLOCK
        except FileNotFoundError:
            continue
        except OSError:
            # Too deep to have a path, or closed to its owner: nothing that is made by chance.
            return most + 1, disk
    return files, disk


def end_all(group: int) -> bool:
    """Kill the process group and every descendant; whether none is left."""
    until = time.monotonic() + _LONGEST_END
    while time.monotonic() < until:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
        for pid in descendants():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not _reap():
            return True
        time.sleep(0.005)
    return False


def _reap() -> bool:
    """Take leave of children that have ended; whether there are others."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True
