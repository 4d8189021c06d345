"""The Databricks CLI as a command of this machine → whether it will do, and its runs."""

import asyncio
import os
import re
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from retinue.cli.deployed.app import DeployedError

_OLDEST = (1, 13, 0)
# Fails to update an app that has an active deployment.
_BROKEN = ((1, 14, 0),)
_INSTALL = "https://docs.databricks.com/aws/en/dev-tools/cli/install"
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_PATIENCE = 30.0
_GRACE = 20.0
_LAST_BYTES = 64_000


@dataclass(frozen=True, slots=True)
class DatabricksCli:
    """An installed one."""

    path: str
    version: tuple[int, int, int]

    @property
    def problem(self) -> str | None:
        """Why it can't deploy apps, or None."""
        shown = ".".join(map(str, self.version))
        if self.version in _BROKEN:
            return (
                f"the Databricks CLI {shown} fails to update an app that runs: install a later one"
            )
        if self.version < _OLDEST:
            oldest = ".".join(map(str, _OLDEST))
            return f"the Databricks CLI is {shown}, and {oldest} or later is needed: {_INSTALL}"
        return None

    async def run(self, words: Sequence[str], folder: Path) -> tuple[int, str]:
        """Run it in `folder`. What it writes goes on to this process's stderr as it comes, where
        all progress is told. Its exit code, and the last of what it wrote.

        When this is cancelled it gets time to end by itself: it holds a lock in the workspace.
        """
        process = await asyncio.create_subprocess_exec(
            self.path, *words, cwd=folder, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            # Ctrl-C comes to this process alone, which passes it on once: a second one would cut
            # the CLI off with its lock held.
            start_new_session=True,
        )  # fmt: skip
        try:
            said = await _passed_on(process)
            return await process.wait(), said
        finally:
            if process.returncode is None:
                await asyncio.shield(_end(process))


async def find_cli() -> DatabricksCli | None:
    """The one on the PATH, or None. Raises DeployedError where what is there doesn't answer."""
    path = shutil.which("databricks")
    if path is None:
        return None
    process = await asyncio.create_subprocess_exec(
        path, "--version", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out = b""
    try:
        async with asyncio.timeout(_PATIENCE):
            out, _ = await process.communicate()
    except TimeoutError:
        pass
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    found = _VERSION.search(out.decode(errors="replace"))
    if found is None:
        raise DeployedError(f"{path} doesn't tell its version: install the CLI anew, {_INSTALL}")
    return DatabricksCli(path, (int(found[1]), int(found[2]), int(found[3])))


async def required_cli() -> DatabricksCli:
    """One that can deploy apps. Raises DeployedError, which says what to install."""
    cli = await find_cli()
    if cli is None:
        raise DeployedError(f"the Databricks CLI is not on the PATH: install it, {_INSTALL}")
    if cli.problem:
        raise DeployedError(cli.problem)
    return cli


async def _passed_on(process: asyncio.subprocess.Process) -> str:
    last = bytearray()
    out = process.stdout
    while out is not None and (piece := await out.read(8192)):
        sys.stderr.buffer.write(piece)
        sys.stderr.buffer.flush()
        last += piece
        del last[:-_LAST_BYTES]
    return last.decode(errors="replace")


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT if os.name == "posix" else signal.SIGTERM)
    try:
        async with asyncio.timeout(_GRACE):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
