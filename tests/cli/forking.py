"""Libraries that take longest to import → one process that has them, and a `retinue` for each fork.

Importing the Databricks SDK takes a second, which is most of such a command. A fork has arguments,
environment, folder and files of its own, and imports all of Retinue itself.
`python forking.py SOCKET` is the process that forks.
"""

import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from importlib import import_module
from pathlib import Path
from typing import IO

LIBRARIES = (
    "databricks.sdk",
    "httpx",
    "jinja2",
    "jsonschema",
    "mcp",
    "pydantic",
    "sqlalchemy",
    "yaml",
)


class Forking:
    """The process; it ends with `close`, or with the one that has made it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._address = str(Path(self._folder.name) / "socket")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(
            [sys.executable, __file__, self._address], env={"PATH": os.environ["PATH"]}, **pipes
        )
        assert self._process.stdout.readline() == b"ready\n"

    def run(
        self, args: Sequence[str], *, cwd: Path, stdin: str, env: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """`retinue ARGS…`. Raises TimeoutError."""
        order = json.dumps([list(args), str(cwd), dict(env)]).encode()
        with ExitStack() as stack:
            files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
            files[0].write(stdin.encode())
            files[0].seek(0)
            asked = stack.enter_context(socket.socket(socket.AF_UNIX))
            asked.settimeout(timeout)
            asked.connect(self._address)
            size = len(order).to_bytes(4)
            socket.send_fds(asked, [size], [file.fileno() for file in files])
            asked.sendall(order)
            pid = number(asked)
            try:
                code = number(asked)
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise
            return subprocess.CompletedProcess(args, code, *map(text, files[1:]))

    def close(self) -> None:
        self._process.communicate()
        self._folder.cleanup()


def text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode().replace("\r\n", "\n")


def number(connection: socket.socket) -> int:
    return int.from_bytes(exactly(connection, 4), signed=True)


def exactly(connection: socket.socket, count: int) -> bytes:
    read = b""
    while len(read) < count:
        more = connection.recv(count - len(read))
        assert more, "the process that forks is gone"
        read += more
    return read


def main(address: str) -> None:
    """Fork for each connection, until standard input ends; in a fork, be `retinue`."""
    for name in LIBRARIES:
        import_module(name)
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while listener in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                break
            connection.close()
        else:
            return
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, files, *_ = socket.recv_fds(connection, 4, 3)
    args, cwd, env = json.loads(exactly(connection, int.from_bytes(size)))
    pid = os.fork()
    if pid:
        # Between the two, so that several can be waited for.
        watch(pid, connection)
    connection.close()
    for descriptor, file in enumerate(files):
        os.dup2(file, descriptor)
        os.close(file)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    sys.argv = ["retinue", *args]
    sys.path[0] = cwd
    runpy.run_module("retinue", run_name="__main__", alter_sys=True)


def watch(pid: int, connection: socket.socket) -> None:
    """Tell the fork's number, and how it ended."""
    with suppress(OSError):
        connection.sendall(pid.to_bytes(4))
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        connection.sendall(code.to_bytes(4, signed=True))
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
