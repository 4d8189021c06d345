"""The C library's calls that Python has no function for."""

import ctypes
import os
import platform

_LIBC = ctypes.CDLL(None, use_errno=True)

MACHINE = platform.machine()

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_SECUREBITS = 28
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47


def prctl(option: int, *arguments: object) -> int:
    """Raises OSError."""
    padded = [*arguments, 0, 0, 0, 0][:4]
    return _checked(_LIBC.prctl(option, *map(_word, padded)))


def syscall(number: int, *arguments: object) -> int:
    """Raises OSError."""
    return _checked(_LIBC.syscall(ctypes.c_long(number), *map(_word, arguments)))


def unshare(flags: int) -> None:
    """Raises OSError."""
    _checked(_LIBC.unshare(flags))


def capset(header: object, data: object) -> None:
    """Raises OSError."""
    _checked(_LIBC.capset(header, data))


def _word(value: object) -> object:
    # Without a type ctypes would pass 32 bits, and leave the rest to chance.
    return ctypes.c_ulong(value) if isinstance(value, int) else value


def _checked(result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result
