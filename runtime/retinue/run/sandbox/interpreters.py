"""A script's file → the command that runs it, and what of this machine it needs to read.

By the file's ending and never by its first line, which may name anything; a file without an ending
is a program of its own, and the kernel's business.
"""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from retinue.errors import ToolError
from retinue.run.sandbox.plan import Plan

PATH = "/usr/local/bin:/usr/bin:/bin"
# Programs and libraries. Not /usr as a whole: images keep applications in /usr/src.
_SYSTEM = (
    *("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/usr/bin", "/usr/sbin", "/usr/lib"),
    *("/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/share", "/usr/local/bin"),
    *("/usr/local/lib", "/usr/local/lib64", "/usr/local/share", "/etc/ld.so.cache"),
    "/etc/localtime",
    # Node.js ends at once where it is there and can't be read.
    "/etc/ssl/openssl.cnf",
)
_NODE = (".js", ".mjs", ".cjs")
_SHELL = (".sh", ".bash")


@dataclass(frozen=True, slots=True)
class Command:
    """How a script is started. V8 reserves more addresses than it ever uses, so it has no bound."""

    argv: tuple[str, ...]
    readable: tuple[str, ...]
    address_space: int = Plan._field_defaults["address_space"]


def command(script: Path) -> Command:
    """The command of a script that exists. Raises ToolError where nothing here can run it."""
    ending = script.suffix.lower()
    if ending == ".py":
        # No PYTHON… variables, no user's packages, nothing written beside the script.
        argv = (sys.executable, "-E", "-s", "-B", "-u", "-X", "utf8", str(script))
        return Command(argv, (*_SYSTEM, *_python()))
    if ending in _SHELL:
        return Command((_found("bash", "sh"), str(script)), _SYSTEM)
    if ending in _NODE:
        node = _found("node")
        home = str(Path(node).resolve().parent.parent)
        further = () if home in ("/usr", "/usr/local", "/") else (home,)
        return Command((node, str(script)), (*_SYSTEM, *further), address_space=0)
    if not ending and os.access(script, os.X_OK):
        return Command((str(script),), (*_SYSTEM, *_python()))
    raise ToolError(
        f"'{script.name}' can't be run here: scripts are Python (.py), shell (.sh) or Node.js "
        "(.js) files."
    )


def _python() -> tuple[str, ...]:
    """Where this Python and its packages are."""
    places = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    return tuple(sorted(place for place in places if place not in ("/", "/usr", "/usr/local")))


def _found(*names: str) -> str:
    for name in names:
        found = shutil.which(name, path=PATH)
        if found:
            return found
    raise ToolError(f"This machine has no '{names[0]}', which the script needs.")
