"""Runs a text as a script in the sandbox, on kernels that have one."""

import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from retinue.run.sandbox.interpreters import PATH, command
from retinue.run.sandbox.plan import MIB, Bounds, Plan
from retinue.run.sandbox.process import Outcome, run
from retinue.run.sandbox.scratch import Written, scratch_folder, written

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux confines scripts")

# Small, so that what outgrows them is soon there.
SMALL = Bounds(
    seconds=10.0,
    memory=256 * MIB,
    processes=16,
    open_files=64,
    file_bytes=8 * MIB,
    folder_bytes=24 * MIB,
    files=200,
)


class Ran:
    """What came of a script."""

    def __init__(self, outcome: Outcome, files: list[Written], more: int) -> None:
        self.outcome = outcome
        self.files = files
        self.more = more

    @property
    def out(self) -> str:
        return self.outcome.stdout.text

    @property
    def err(self) -> str:
        return self.outcome.stderr.text

    def __repr__(self) -> str:
        return f"{self.outcome} {self.files}"


async def ran(
    root: Path,
    text: str,
    *,
    args: Sequence[str] = (),
    stdin: bytes = b"",
    name: str = "script.py",
    bounds: Bounds = SMALL,
    **changes: Any,
) -> Ran:
    """The script `text`, as the file `name` of a skill at `root`."""
    script = root / "scripts" / name
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(textwrap.dedent(text), "utf-8")
    how = command(script)
    async with scratch_folder() as folder:
        plan = Plan(
            argv=(*how.argv, *args),
            env={"PATH": PATH, "HOME": str(folder), "TMPDIR": str(folder), "LANG": "C.UTF-8"},
            folder=str(folder),
            readable=(*how.readable, str(root)),
            address_space=how.address_space,
            bounds=bounds,
        )
        outcome = await run(plan._replace(**changes), stdin)
        return Ran(outcome, *written(folder))
