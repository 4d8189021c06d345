"""A server over stdio with the fault that its control file names, for as long as it names it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from run.servers.flawed_answers import Control, answers, result

SLEEP = "import time; time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"


def write(raw: bytes) -> None:
    sys.stdout.buffer.write(raw)
    sys.stdout.buffer.flush()


def say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def hang() -> None:
    time.sleep(600)


def child(code: str = SLEEP, **options: Any) -> None:
    subprocess.Popen([sys.executable, "-c", code], **options)


def daemon() -> None:
    """A process that has left the group, and whose parent is gone."""
    code = f"import os\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: {SLEEP}"
    subprocess.run([sys.executable, "-c", code], check=True)


def kill(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(600)


def shut(*streams: int) -> None:
    for stream in streams:
        os.close(stream)
    hang()


def drip() -> None:
    for _ in range(200):
        write(b" ")
        time.sleep(0.05)


def endless_line() -> None:
    while True:
        write(b"x" * 2**20)


def endless_lines() -> None:
    while True:
        write(b"x" * 1000 + b"\n")


def stderr_flood() -> None:
    for _ in range(300):
        say("y" * 100_000 + "\n")


def stderr_line() -> None:
    for _ in range(400):
        say("z" * 100_000)


def last_words(code: int) -> None:
    say("Traceback (most recent call last):\n  File x\nRuntimeError: out of cheese\n\n")
    os._exit(code)


def ignore_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hang()


DEEDS: dict[str, Callable[[], Any]] = {
    "exit 0": lambda: os._exit(0),
    "exit 3": lambda: last_words(3),
    "abort": lambda: kill(signal.SIGABRT),
    "segfault": lambda: kill(signal.SIGSEGV),
    "killed": lambda: kill(signal.SIGKILL),
    "stopped": lambda: kill(signal.SIGSTOP),
    "hang": hang,
    "ignores sigterm": ignore_sigterm,
    "closes stdout": lambda: shut(1),
    "closes stdin": lambda: shut(0),
    "closes both": lambda: shut(0, 1),
    "closes all": lambda: shut(0, 1, 2),
    "drips": drip,
    "half a line and exit": lambda: (write(b'{"jsonrpc": "2.0", "id": '), os._exit(1)),
    "half a line and hang": lambda: (write(b'{"jsonrpc": "2.0", "id": '), hang()),
    "endless line": endless_line,
    "endless lines": endless_lines,
    "stderr flood": stderr_flood,
    "stderr line": stderr_line,
    "slow": lambda: time.sleep(0.3),
    "too slow": lambda: time.sleep(1.5),
    "child holds the pipes": lambda: (child(STUBBORN), os._exit(0)),
    "child holds stderr": lambda: (child(stdout=subprocess.DEVNULL), os._exit(0)),
    "child in a session of its own": lambda: (child(start_new_session=True), hang()),
    "daemon": lambda: (daemon(), hang()),
    "daemon and exit": lambda: (daemon(), os._exit(0)),
    "many children": lambda: ([child(STUBBORN) for _ in range(10)], hang()),
    "prints": lambda: write(b"DEBUG: starting\r\n\r\n\x1b[31mcolours\x1b[0m\n\x00\x01\n"),
    "byte order mark": lambda: write(b"\xef\xbb\xbf"),
}
LASTING = ("crlf", "two on a line")


def serve(control: Control) -> None:
    for line in sys.stdin.buffer:
        request = json.loads(line)
        method, params = request.get("method"), request.get("params") or {}
        fault = control.at(method or "")
        if fault in DEEDS:
            DEEDS[fault]()
        if "id" not in request or method is None:
            continue
        answer = {"jsonrpc": "2.0", "id": request["id"], "result": result(method, params, fault)}
        if fault == "two on a line":
            write(json.dumps(answer).encode() * 2 + b"\n")
        for text in answers(fault, answer):
            write(text + (b"\r\n" if fault == "crlf" else b"\n"))


def main() -> None:
    control = Control(sys.argv[1])
    DEEDS.get(control.fault("start"), int)()
    serve(control)
    DEEDS.get(control.fault("end"), int)()


if __name__ == "__main__":
    main()
