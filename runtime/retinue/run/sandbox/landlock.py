"""Folders that may be read and one that may be written → this process, kept to them for ever.

Landlock: https://docs.kernel.org/userspace-api/landlock.html. What it doesn't cover (modes, owners,
times, attributes) `seccomp` does.
"""

import ctypes
import os
from collections.abc import Iterable

from retinue.run.sandbox import libc

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = (1 << n for n in range(4))
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_MAKE_CHAR, _MAKE_SOCK, _MAKE_BLOCK = 1 << 6, 1 << 9, 1 << 11
_FIRST = (1 << 13) - 1
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_READING = _EXECUTE | _READ_FILE | _READ_DIR
# No file that a script has written is executed, and no device made.
_NOT_IN_FOLDER = _EXECUTE | _MAKE_CHAR | _MAKE_SOCK | _MAKE_BLOCK
_NO_TCP = 0b11
_NO_ABSTRACT_SOCKETS, _NO_SIGNALS = 1, 2

TRUNCATES, SCOPES = 3, 6
"""The versions from which cutting files off is covered, and signals to other processes are."""

_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def version() -> int:
    """The kernel's Landlock version. Raises OSError where there is none, or it is switched off."""
    return libc.syscall(_CREATE, None, 0, _VERSION_FLAG)


def restrict(readable: Iterable[str], folder: str) -> int:
    """Keep this process and all that it starts to these places; the Landlock version.

    Places that aren't there are passed over. Raises OSError; the process then has to end.
    """
    found = version()
    handled = _FIRST
    for since, right in ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV)):
        handled |= right if found >= since else 0
    attributes = _Ruleset(handled, 0, 0)
    size = ctypes.sizeof(ctypes.c_uint64)
    if found >= 4:
        attributes.handled_access_net, size = _NO_TCP, 2 * size
    if found >= SCOPES:
        attributes.scoped = _NO_ABSTRACT_SOCKETS | _NO_SIGNALS
        size = ctypes.sizeof(attributes)
    ruleset = libc.syscall(_CREATE, ctypes.byref(attributes), size, 0)
    try:
        for path in readable:
            _allow(ruleset, path, _READING & handled)
        for device in _DEVICES:
            _allow(ruleset, device, (_READ_FILE | _WRITE_FILE) & handled)
        _allow(ruleset, folder, handled & ~_NOT_IN_FOLDER)
        libc.syscall(_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)
    return found


def _allow(ruleset: int, path: str, access: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        kept = access if os.path.isdir(path) else access & _OF_FILES
        rule = _PathBeneath(kept, place)
        libc.syscall(_ADD, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(place)
