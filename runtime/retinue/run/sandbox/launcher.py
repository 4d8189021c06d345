"""A plan on stdin → the script in a confined child, watched until it ends, and then all ended.

This is the program of a process of its own, which `process` starts. It reads the plan from the
start of its stdin; the rest is the script's. The end of one pipe, because its other side was closed
or is gone, ends the script. On another it tells in the end what became of the script. The script
has its stdin, stdout and stderr alone.
"""

import json
import os
import select
import signal
import sys
import time
from typing import NoReturn

from retinue.run.sandbox import libc, watch
from retinue.run.sandbox.confine import confine
from retinue.run.sandbox.plan import Missing, Plan
from retinue.run.sandbox.removal import remove

_TICK = 0.1
_FIRST_TICK = 0.005
_STARTED_BADLY = 126


def main(control: int, report: int, size: int) -> None:
    """Run the plan of `size` bytes until `control` ends, and tell of it on `report`."""
    os.set_inheritable(control, False)
    os.set_inheritable(report, False)
    plan = Plan.from_json(_read(0, size))
    libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)
    # Same user, so a script could look into this process if the kernel let it.
    libc.prctl(libc.PR_SET_DUMPABLE, 0)
    told, tells = os.pipe()
    started = time.monotonic()
    child = os.fork()
    if not child:
        _become(plan, tells)
    os.close(tells)
    _let_go()
    # Closed when the interpreter takes over; a line after the first says why it doesn't.
    lines = _read(told).splitlines() or ['{"missing": {}, "problem": "it was not confined"}']
    about = json.loads(lines[-1])
    why = _watched(plan, child, control, started)
    code = _exit_code(child)
    clean = watch.end_all(child)
    seconds = time.monotonic() - started
    end = {**about, "why": why, "code": code, "seconds": seconds, "clean": clean}
    try:
        os.write(report, json.dumps(end).encode())
    except BrokenPipeError:
        # Nobody is left who would tidy up.
        remove(plan.folder)


def _become(plan: Plan, tells: int) -> NoReturn:
    """The child's part, which doesn't come back."""
    missing: Missing = {}
    problem = None
    try:
        os.setsid()
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
        # Needed for its own /proc/self; the script itself isn't hidden from the launcher.
        libc.prctl(libc.PR_SET_DUMPABLE, 1)
        os.umask(0o077)
        missing = confine(plan)
        if plan.refuses(missing):
            problem = "too little confines it"
        else:
            _tell(tells, missing, None)
            os.execve(plan.argv[0], plan.argv, plan.env)  # noqa: S606 - that is the point
    except OSError as error:
        problem = error.strerror
    finally:
        if problem is not None:
            _tell(tells, missing, problem)
        os._exit(_STARTED_BADLY)


def _tell(tells: int, missing: Missing, problem: str | None) -> None:
    """A line that goes over those before it."""
    os.write(tells, json.dumps({"missing": missing, "problem": problem}).encode() + b"\n")


def _let_go() -> None:
    """Leave the script's pipes to the script: they end with it."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nothing, descriptor)
    os.close(nothing)


def _watched(plan: Plan, child: int, control: int, started: float) -> str | None:
    """Wait for the script's end; why it has to be ended before, if it has."""
    bounds = plan.bounds
    stopped = select.poll()
    stopped.register(control, select.POLLIN | select.POLLHUP)
    wait = _FIRST_TICK
    while _exit_code(child) is None:
        if stopped.poll(wait * 1000):
            return "it was stopped"
        if time.monotonic() - started > bounds.seconds:
            return f"it took longer than {bounds.seconds:g} s"
        outgrown = watch.use(plan.folder, bounds).outgrows(bounds)
        if outgrown:
            return outgrown
        wait = min(_TICK, wait * 2)
    return watch.use(plan.folder, bounds).outgrows(bounds)


def _exit_code(child: int) -> int | None:
    """Its code, or its signal as a negative number; None while it runs. It isn't reaped yet: its
    number stands for the process group.
    """
    end = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if end is None:
        return None
    return end.si_status if end.si_code == os.CLD_EXITED else -end.si_status


def _read(descriptor: int, size: int = sys.maxsize) -> str:
    """What comes in to the end, or the first bytes of it and not one more."""
    read = b""
    while len(read) < size:
        more = os.read(descriptor, min(65_536, size - len(read)))
        if not more:
            break
        read += more
    return read.decode()
