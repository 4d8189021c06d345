"""A plan → this process, confined for ever. Everything that it starts is confined as it is.

The order matters: namespaces need rights that are dropped next, and the filter of system calls
comes last, as it refuses what the others need.
"""

import ctypes
import os
import resource
from collections.abc import Callable
from contextlib import suppress

from retinue.run.sandbox import landlock, libc, seccomp
from retinue.run.sandbox.plan import MIB, Missing, Plan

_NEW_USER, _NEW_NETWORK, _NEW_IPC = 0x10000000, 0x40000000, 0x08000000
_SECBITS_NO_ROOT_LOCKED = 0b1111
_CAPABILITIES_V3 = 0x20080522
_CLEAR_AMBIENT = 4
_LAST_CAPABILITY = 63
_STACK = 8 * MIB
# The user inside, where it is root outside: one that gets no rights from being root.
_INNER_USER = 1000


def confine(plan: Plan) -> Missing:
    """Put on every layer that there is; those that are missing, and why.

    Raises OSError when a layer could be put on only in part.
    """
    missing: Missing = {}
    running = _processes_of(os.getuid())
    _first_to_die()
    own_users = _layer(missing, "network", _new_network)
    _limit(plan, 0 if own_users else running)
    _drop_rights()
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    os.chdir(plan.folder)
    version = 0
    if _layer(missing, "files", landlock.version):
        version = landlock.restrict(plan.readable, plan.folder)
    covered = {
        "truncates": version >= landlock.TRUNCATES,
        "signals": version >= landlock.SCOPES,
    }
    _layer(missing, "calls", lambda: seccomp.restrict(**covered))
    return missing


def _layer(missing: Missing, name: str, put_on: Callable[[], object]) -> bool:
    try:
        put_on()
    except OSError as error:
        missing[name] = error.strerror or "it failed"
        return False
    return True


def _new_network() -> None:
    """A network of its own with nothing in it. Raises OSError, usually as containers forbid it."""
    user, group = os.getuid(), os.getgid()
    libc.unshare(_NEW_USER | _NEW_NETWORK | _NEW_IPC)
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/gid_map", f"{group or _INNER_USER} {group} 1")
    _write("/proc/self/uid_map", f"{user or _INNER_USER} {user} 1")


def _limit(plan: Plan, running: int) -> None:
    bounds = plan.bounds
    cpu = max(1, int(bounds.seconds + 0.999))
    wanted = {
        resource.RLIMIT_CPU: cpu,
        resource.RLIMIT_DATA: bounds.memory,
        resource.RLIMIT_AS: plan.address_space or resource.RLIM_INFINITY,
        resource.RLIMIT_FSIZE: bounds.file_bytes,
        resource.RLIMIT_NOFILE: bounds.open_files,
        resource.RLIMIT_NPROC: running + bounds.processes,
        resource.RLIMIT_STACK: _STACK,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_NICE: 0,
        resource.RLIMIT_RTPRIO: 0,
    }
    for limit, most in wanted.items():
        _, hard = resource.getrlimit(limit)
        limited = [number for number in (most, hard) if number != resource.RLIM_INFINITY]
        kept = min(limited, default=resource.RLIM_INFINITY)
        resource.setrlimit(limit, (kept, kept))


def _drop_rights() -> None:
    """Root without its rights: it owns its files, and is nobody otherwise."""
    # Who may not drop them has none to drop; the first that the kernel doesn't know is its last.
    with suppress(OSError):
        libc.prctl(libc.PR_SET_SECUREBITS, _SECBITS_NO_ROOT_LOCKED)
        libc.prctl(libc.PR_CAP_AMBIENT, _CLEAR_AMBIENT)
        for capability in range(_LAST_CAPABILITY + 1):
            libc.prctl(libc.PR_CAPBSET_DROP, capability)
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_V3, 0)
    libc.capset(header, (ctypes.c_uint32 * 6)())


def _first_to_die() -> None:
    """When memory runs out on the machine, scripts go before anything else; and they are slow."""
    os.nice(10)
    with suppress(OSError):
        _write("/proc/self/oom_score_adj", "1000")


def _processes_of(user: int) -> int:
    """How many there are with their threads: the limit counts a user's, not a script's own."""
    found = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.stat(f"/proc/{name}").st_uid == user:
                    found += len(os.listdir(f"/proc/{name}/task"))
            except OSError:
                continue
    return found


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
