"""The table of system calls → a filter that this process and all that it starts never get rid of.

A list of what is refused, not of what is allowed: interpreters need most of the rest. Format:
classic BPF over `struct seccomp_data` (https://docs.kernel.org/userspace-api/seccomp_filter.html).
"""

import ctypes
import errno
import sys

from retinue.run.sandbox import libc, syscalls
from retinue.run.sandbox.syscalls import Numbers

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERROR, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _MACHINE, _FIRST_ARGUMENT = 0, 4, 16
_FILTER_MODE = 2
# `AUDIT_ARCH_…` and the column of the tables.
_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
# Numbers of x86-64's 32-bit pointers variant, which would pass by the tables.
_X32 = 0x40000000
# CLONE_NEWNS and the namespaces from CLONE_NEWCGROUP to CLONE_NEWNET.
_NEW_NAMESPACE = 0x7E020000
_AF_UNIX = 1

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, operand."""


class _Filter(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("jt", ctypes.c_uint8),
        ("jf", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("filters", ctypes.POINTER(_Filter)))


def restrict(*, truncates: bool, signals: bool) -> None:
    """Filter this process' calls. `truncates` and `signals` say that Landlock covers those.

    Needs `no_new_privs`. Raises OSError, also for a machine whose numbers aren't known.
    """
    install(program(libc.MACHINE, truncates=truncates, signals=signals))


def install(made: list[Instruction]) -> None:
    """Filter this process' calls. Raises OSError."""
    filters = (_Filter * len(made))(*(_Filter(*one) for one in made))
    whole = _Program(len(made), filters)
    libc.prctl(libc.PR_SET_SECCOMP, _FILTER_MODE, ctypes.addressof(whole))


def program(machine: str, *, truncates: bool, signals: bool) -> list[Instruction]:
    """The filter for a machine, as instructions. Raises OSError for one that isn't known."""
    if machine not in _MACHINES or sys.byteorder != "little":
        raise OSError(errno.ENOSYS, f"no table of system calls for '{machine}'")
    architecture, column = _MACHINES[machine]
    made: list[Instruction] = [
        (_LOAD, 0, 0, _MACHINE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        *_when(_AT_LEAST, _X32, _error(errno.EPERM)),
        *_when(_AT_LEAST, syscalls.NEWEST + 1, _error(errno.ENOSYS)),
    ]
    refused = {
        **syscalls.REFUSED,
        **({} if signals else syscalls.SIGNALS),
        **({} if truncates else {"truncate": syscalls.TRUNCATE}),
    }
    answers: tuple[tuple[Numbers, int], ...] = (
        (refused, errno.EPERM),
        (syscalls.UNKNOWN, errno.ENOSYS),
        (syscalls.PRETENDED, 0),
        (syscalls.UNSUPPORTED, errno.ENOTSUP),
    )
    for numbers, code in answers:
        for number in _known(numbers, column):
            made += _when(_EQUAL, number, _error(code))
    for number in _known(syscalls.OF_OTHERS, column):
        made += _with_argument(number, _EQUAL, 0, _ALLOW, _error(errno.EPERM))
    eperm = _error(errno.EPERM)
    made += _with_argument(syscalls.CLONE[column], _ANY_BIT, _NEW_NAMESPACE, eperm, _ALLOW)
    made += _with_argument(syscalls.SOCKETPAIR[column], _EQUAL, _AF_UNIX, _ALLOW, eperm)
    # A process that hides its state hides what it uses, too.
    made += _with_argument(syscalls.PRCTL[column], _EQUAL, libc.PR_SET_DUMPABLE, eperm, _ALLOW)
    return [*made, (_RETURN, 0, 0, _ALLOW)]


def _known(numbers: Numbers, column: int) -> list[int]:
    return [pair[column] for pair in numbers.values() if pair[column] >= 0]


def _error(code: int) -> int:
    return _ERROR | code


def _when(test: int, operand: int, answer: int) -> list[Instruction]:
    return [(test, 0, 1, operand), (_RETURN, 0, 0, answer)]


def _with_argument(
    number: int, test: int, operand: int, true: int, false: int
) -> list[Instruction]:
    """For one call, an answer by its first argument's low half: the kernel takes no more of it."""
    return [
        (_EQUAL, 0, 4, number),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (test, 0, 1, operand),
        (_RETURN, 0, 0, true),
        (_RETURN, 0, 0, false),
    ]
