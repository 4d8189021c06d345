"""A process → its end, with all that it started."""

import asyncio
import os
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

# In the environment of a server and of whatever it starts: also of what left its process group.
MARK = "RETINUE_TOOL_SERVER"
GRACE = 1.0
_POLL = 0.01
# What is started while we look is found in the next round.
_MOST_ROUNDS = 10


def new_mark() -> str:
    """A mark of its own, after that of the server that this process may be itself."""
    return os.environ.get(MARK, "") + secrets.token_hex(8)


async def stop(process: asyncio.subprocess.Process, patience: float) -> None:
    """Close its input and let it leave; then end its whole group, firmly in the end."""
    if process.stdin is not None:
        process.stdin.close()
    await exited(process, patience)
    _signal_group(process, signal.SIGTERM)
    await _until(lambda: not _signal_group(process, 0), GRACE)
    _signal_group(process, signal.SIGKILL)
    await exited(process, GRACE)


def leave_nothing(process: asyncio.subprocess.Process, mark: str) -> None:
    """Kill what is left of its group, and what has its mark, where the system tells."""
    _signal_group(process, signal.SIGKILL)
    for _ in range(_MOST_ROUNDS):
        found = list(_marked(mark.encode()))
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return


async def exited(process: asyncio.subprocess.Process, seconds: float) -> bool:
    """Whether it ends within the time."""
    # Not process.wait(): that waits for the pipes too, which a grandchild may hold.
    return await _until(lambda: process.returncode is not None, seconds)


def close_pipes(process: asyncio.subprocess.Process) -> None:
    """Let go of its pipes."""
    # A survivor outside the group may hold a pipe open; asyncio offers no public way to let go.
    transport = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()


def how_it_ended(code: int) -> str:
    """An exit code in words."""
    if code < 0:
        with suppress(ValueError):
            return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process exited with status {code}"


def _marked(mark: bytes) -> Iterator[int]:
    """The living processes of this user with the mark; none where there is no /proc."""
    for entry in Path("/proc").glob("[0-9]*"):
        # What is dying has no environment any more.
        with suppress(OSError):
            if mark in (entry / "environ").read_bytes():
                yield int(entry.name)


async def _until(condition: Callable[[], bool], seconds: float) -> bool:
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    while not condition():
        if clock() > deadline:
            return False
        await asyncio.sleep(_POLL)
    return True


def _signal_group(process: asyncio.subprocess.Process, number: int) -> bool:
    """Whether anyone in the process's group is left to be signalled."""
    try:
        # The leader's pid is the group's id, also once the leader itself is gone.
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        return number == 0
    return True
