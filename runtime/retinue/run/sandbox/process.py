"""A plan and a script's input → its output, its end, and what the sandbox lacked."""

import asyncio
import json
import logging
import os
import sys
from asyncio.subprocess import Process
from contextlib import ExitStack
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

from retinue.errors import ToolError
from retinue.run.sandbox.plan import Missing, Plan
from retinue.run.sandbox.scratch import scratch_folder

log = logging.getLogger(__name__)

# Bytes of stdout and of stderr that are kept, and that end a script which goes on regardless.
KEPT = 64_000
_FLOOD = 16 * 2**20
# Seconds over a script's own that its launcher has to end everything.
_GRACE = 15.0
_ROOT = str(Path(__file__).resolve().parents[3])
# Isolated and without site-packages: nothing of an environment or a folder gets in.
_START = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from retinue.run.sandbox.launcher import main; main(*map(int, sys.argv[2:]))"
)

_told: set[str] = set()


@dataclass(frozen=True, slots=True)
class Output:
    """The start of what a script printed; `size` is all of it, in bytes."""

    text: str
    size: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a script ended: by itself with `code` (a signal is negative), or as `why` says."""

    stdout: Output
    stderr: Output
    code: int | None
    why: str | None
    seconds: float
    missing: Missing


async def run(plan: Plan, stdin: bytes = b"") -> Outcome:
    """Run the script to its end. Cancelling ends it and all that it has started.

    Raises ToolError where it can't be run: not on Linux, or too little confines it.
    """
    if sys.platform != "linux":
        raise ToolError("Scripts can only be run on Linux: nothing else can confine them.")
    _hide_secrets()
    with ExitStack() as pipes:
        takes, gives = _pipe(pipes)
        listens, tells = _pipe(pipes)
        given = plan.to_json().encode()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-B", "-c", _START),
            *(_ROOT, str(takes.fileno()), str(tells.fileno()), str(len(given))),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=(takes.fileno(), tells.fileno()),
            start_new_session=True,
            env={},
            cwd="/",
        )
        tells.close()
        try:
            async with asyncio.timeout(plan.bounds.seconds + _GRACE):
                outputs = await _talk(process, given + stdin, gives)
        except TimeoutError:
            raise ToolError("The script did not end when it was told to.") from None
        finally:
            gives.close()
            await _gone(process)
        told = listens.read()
    return _outcome(plan, json.loads(told or "{}"), *outputs)


async def missing_layers() -> Missing:
    """The layers of the sandbox that this machine doesn't have, and why. Raises ToolError where no
    script can be run at all.
    """
    async with scratch_folder() as folder:
        nothing = Plan(argv=("/bin/true",), env={}, folder=str(folder), readable=("/",))
        return (await run(nothing)).missing


async def tell_missing_layers() -> None:
    """Log what a script would be told, ahead of the first one."""
    try:
        await missing_layers()
    except ToolError as error:
        log.warning("skills' scripts can't be run here: %s", error)


def _hide_secrets() -> None:
    """Where files can't be confined, keep this process' environment and memory from its user."""
    # Only Linux has what they load.
    from retinue.run.sandbox import landlock, libc  # noqa: PLC0415

    try:
        landlock.version()
    except OSError:
        libc.prctl(libc.PR_SET_DUMPABLE, 0)


def _pipe(stack: ExitStack) -> tuple[FileIO, FileIO]:
    reads, writes = os.pipe()
    return stack.enter_context(FileIO(reads, "r")), stack.enter_context(FileIO(writes, "w"))


async def _talk(process: Process, stdin: bytes, gives: FileIO) -> tuple[Output, Output]:
    """Give the plan and the input, and take the output; a flood of it ends the script."""
    if not (process.stdin and process.stdout and process.stderr):
        raise RuntimeError("the launcher was started without pipes")
    feeding = asyncio.create_task(_feed(process.stdin, stdin))
    try:
        outputs = await asyncio.gather(
            _output(process.stdout, gives), _output(process.stderr, gives)
        )
        await process.wait()
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
    return outputs


async def _feed(pipe: asyncio.StreamWriter, content: bytes) -> None:
    try:
        pipe.write(content)
        await pipe.drain()
    except (BrokenPipeError, ConnectionResetError):
        # A script need not read what it is given.
        pass
    finally:
        pipe.close()


async def _output(pipe: asyncio.StreamReader, gives: FileIO) -> Output:
    kept, size = bytearray(), 0
    while more := await pipe.read(65_536):
        kept += more[: KEPT - len(kept)]
        size += len(more)
        if size > _FLOOD:
            gives.close()
    return Output(_readable(bytes(kept)), size)


def _readable(content: bytes) -> str:
    """As text, without what would move a terminal's cursor."""
    text = content.decode(errors="replace").replace("\r\n", "\n")
    return "".join(c for c in text if c.isprintable() or c in "\n\t")


async def _gone(process: Process) -> None:
    """Wait for the launcher's end. Killed, it takes the script with it."""
    try:
        async with asyncio.timeout(_GRACE):
            await process.wait()
    except TimeoutError:
        process.kill()


def _outcome(plan: Plan, told: dict[str, Any], stdout: Output, stderr: Output) -> Outcome:
    missing: Missing = told.get("missing", {})
    if plan.refuses(missing):
        listed = ", ".join(f"{layer} ({why})" for layer, why in missing.items())
        raise ToolError(f"The script was not run: its sandbox would lack {listed}.")
    if not told or told["problem"]:
        log.error("a script was not started: %s", told.get("problem") or stderr.text[-500:])
        raise ToolError("The script could not be started.")
    if not told["clean"]:
        log.error("a script left processes that could not be ended")
    _tell(missing)
    why = told["why"]
    if max(stdout.size, stderr.size) > _FLOOD:
        why = f"it printed more than {_FLOOD // 2**20} MiB"
    return Outcome(stdout, stderr, told["code"], why, told["seconds"], missing)


def _tell(missing: Missing) -> None:
    """Log each missing layer, once."""
    for layer in sorted(missing.keys() - _told):
        _told.add(layer)
        log.warning(
            "skills' scripts run without a layer of their sandbox: %s (%s)", layer, missing[layer]
        )
