"""Kernels that lack a layer: said, logged once, refused where that is asked for."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scripts import SMALL, linux_only, ran

from retinue.run.sandbox import seccomp
from retinue.run.sandbox.process import missing_layers

pytestmark = linux_only

# A process that takes system calls away from itself, so that the sandbox doesn't find them.
WITHOUT = """
import asyncio, errno, json, logging, os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from retinue.errors import ToolError
from retinue.run.sandbox import libc, seccomp, syscalls
from scripts import SMALL, ran

logging.basicConfig()
_, column = seccomp._MACHINES[libc.MACHINE]
lacking, strict = sys.argv[3].split(), sys.argv[4] == "strict"
made = [(seccomp._LOAD, 0, 0, seccomp._NUMBER)]
allow = seccomp._ALLOW
if "files" in lacking:
    made += seccomp._when(seccomp._EQUAL, 444, seccomp._error(errno.ENOSYS))
if "network" in lacking:
    unshare = syscalls.REFUSED["unshare"][column]
    made += seccomp._when(seccomp._EQUAL, unshare, seccomp._error(errno.EPERM))
if "calls" in lacking:
    made += seccomp._with_argument(
        syscalls.PRCTL[column], seccomp._EQUAL, libc.PR_SET_SECCOMP,
        seccomp._error(errno.EINVAL), allow,
    )
libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
seccomp.install([*made, (seccomp._RETURN, 0, 0, allow)])
os.environ["SECRET"] = "hunter2"

async def main():
    told = {}
    for _ in range(2):
        try:
            result = await ran(Path(sys.argv[2]), sys.argv[5], args=[str(os.getpid())],
                               strict=strict)
            told = {"out": result.out, "err": result.err, "missing": result.outcome.missing,
                    "code": result.outcome.code}
        except ToolError as error:
            told = {"refused": str(error)}
    print(json.dumps(told))

asyncio.run(main())
"""


async def without(root: Path, layers: str, script: str, *, strict: bool = False) -> dict[str, Any]:
    here = str(Path(__file__).parent)
    arguments = [here, str(root), layers, "strict" if strict else "", script]
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", WITHOUT, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout, done.stderr
    told: dict[str, Any] = {**json.loads(done.stdout), "log": done.stderr}
    return told


ATTEMPTS = """
import os, socket, sys
def attempt(does):
    try: does(); return "done"
    except OSError as error: return error.strerror
parent = sys.argv[1]
print(attempt(lambda: socket.socket()))
print(attempt(lambda: socket.create_connection(("127.0.0.1", 9), 1)))
print(attempt(lambda: open("/etc/passwd").read()))
print(attempt(lambda: open(f"/proc/{parent}/environ", "rb").read()))
print(attempt(lambda: os.kill(int(parent), 0)))
"""
REFUSED, DENIED = "Operation not permitted", "Permission denied"


@pytest.mark.parametrize(
    ("layers", "seen"),
    [
        ("network", [REFUSED, REFUSED, DENIED, DENIED, REFUSED]),
        # The environment of who runs the script is kept from it in another way.
        ("files", [REFUSED, REFUSED, "done", DENIED, REFUSED]),
        ("calls", ["done", None, DENIED, DENIED, REFUSED]),
    ],
)
async def test_a_layer_that_is_missing_is_told_and_the_others_hold(
    tmp_path: Path, layers: str, seen: list[str | None]
) -> None:
    told = await without(tmp_path, layers, ATTEMPTS)
    if set(told["missing"]) - {layers}:
        pytest.skip(f"this kernel lacks more: {told['missing']}")
    lines = told["out"].splitlines()
    if layers == "files" and lines[3] == "done":
        pytest.skip("nothing keeps a process' environment from the machine's root")
    expected = [line if want is None else want for want, line in zip(seen, lines, strict=True)]
    assert lines == expected, told
    assert lines[1] != "done"
    assert told["log"].count("without a layer of their sandbox") == 1
    assert layers in told["log"]


@pytest.mark.parametrize("layer", ["network", "files", "calls"])
async def test_strict_runs_nothing_without_a_layer(tmp_path: Path, layer: str) -> None:
    told = await without(tmp_path, layer, "open('x', 'w')", strict=True)
    assert told["refused"].startswith("The script was not run: its sandbox would lack ")
    assert layer in told["refused"]


async def test_without_files_and_calls_nothing_is_run_at_all(tmp_path: Path) -> None:
    told = await without(tmp_path, "files calls", "print(1)")
    assert "its sandbox would lack files" in told["refused"]


async def test_strict_runs_where_nothing_is_missing(tmp_path: Path) -> None:
    missing = await missing_layers()
    if missing:
        pytest.skip(f"this kernel lacks {missing}")
    assert (await ran(tmp_path, "print(1)", strict=True, bounds=SMALL)).out == "1\n"


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("covered", [True, False])
def test_the_filter_is_one_that_a_kernel_takes(machine: str, *, covered: bool) -> None:
    made = seccomp.program(machine, truncates=covered, signals=covered)
    assert len(made) < 4096
    for at, (code, true, false, operand) in enumerate(made):
        assert 0 <= operand < 2**32
        if code in (seccomp._EQUAL, seccomp._AT_LEAST, seccomp._ANY_BIT):
            # Jumps only lead forward, and never past the end.
            assert at + 1 + max(true, false) < len(made)
    assert made[-1][0] == seccomp._RETURN


def test_a_machine_whose_calls_are_not_known_has_no_filter() -> None:
    with pytest.raises(OSError, match="no table of system calls for 'riscv64'"):
        seccomp.program("riscv64", truncates=True, signals=True)
