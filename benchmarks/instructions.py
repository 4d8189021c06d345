"""What a request costs in instructions: the same on a busy machine as on an idle one.

    python benchmarks/instructions.py [SERVER...]

Servers as in `models.py` and `serve.py`, each run by Valgrind in a process of its own, asked over
one connection on loopback. What the kernel does isn't counted, nor what an instruction waits for:
small differences between two trees show here, and what they are worth in time doesn't. Needs
Valgrind (`apt install valgrind`). Takes two minutes.
"""

import asyncio
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import models

import serve
from retinue.run.runtime import Runtime
from retinue.serve.server import Server, listen, server_config

KINDS = {
    "short answer": (models.question("short"), serve.question(stream=False), 256),
    "streamed chunk": (models.question("burst"), serve.question(stream=True), 5),
}
"""What asks a real model, what asks one in the same process, and how often: the spans of so many
requests are one batch.
"""

APPS: dict[str, Callable[[str], Callable]] = {
    "bare": models.bare_app,
    "direct": lambda url: models.retinue_app(f"direct {url}"),
    "loop": lambda _: serve.retinue_app(Runtime),
    "traced": lambda _: serve.retinue_app(serve.TracedRuntime),
}
ASKING = ("bare", "direct")
WARM = 40
SETTLE = 5.0
"""Seconds for what a server does behind its answers."""


def child(name: str, url: str) -> None:
    """Serve the app until a signal comes."""
    listener = listen("127.0.0.1", 0)
    config = server_config(APPS[name](url), log_level="info")
    config.log_config["handlers"]["out"] = {"class": "logging.StreamHandler", "formatter": "line"}
    config.configure_logging()
    Server(config, listener, lambda text: print(text, flush=True)).run([listener.socket])


class Counted:
    """A server whose instructions are counted."""

    def __init__(self, name: str, url: str, folder: Path) -> None:
        self._counts = folder / name
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no"]
        command += [f"--callgrind-out-file={self._counts}", sys.executable, __file__]
        # Strings' hashes decide how dictionaries are laid out, and a batch is sent when it is full.
        fixed = {"PYTHONHASHSEED": "0", "OTEL_BSP_SCHEDULE_DELAY": "3600000"}
        env = {**os.environ, **fixed, "PYTHONPATH": os.pathsep.join(sys.path)}
        self._process = subprocess.Popen(
            [*command, "--child", name, url],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._port = int(self._process.stdout.readline().rpartition(":")[2])
        self._dumps = 0
        self._ask(WARM // 4, KINDS["short answer"][name not in ASKING])
        # What a server loads behind its first requests isn't theirs.
        time.sleep(SETTLE)
        self._control("--instr=on")

    def _control(self, order: str) -> None:
        command = ["callgrind_control", order, str(self._process.pid)]
        subprocess.run(command, check=True, capture_output=True)

    def _ask(self, count: int, body: bytes) -> None:
        asyncio.run(serve.caller(self._port, count, body))

    def cost(self, count: int, body: bytes) -> float:
        """Instructions per request."""
        self._ask(WARM if count > WARM else 1, body)
        self._control("--zero")
        self._ask(count, body)
        time.sleep(SETTLE)
        self._control("--dump")
        self._dumps += 1
        told = Path(f"{self._counts}.{self._dumps}").read_text()
        return int(told.rpartition("\ntotals: ")[2]) / count

    def close(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.communicate()


def main(names: list[str]) -> None:
    missing = [tool for tool in ("valgrind", "callgrind_control") if not shutil.which(tool)]
    if missing:
        print(f"nothing is counted: {missing[0]} is not installed (apt install valgrind)")
        return
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    upstream = context.Process(target=models.upstream, args=(theirs,), daemon=True)
    upstream.start()
    url = f"http://127.0.0.1:{ours.recv()}/v1"
    collector = serve.Child(serve.sink_app)
    os.environ[serve.COLLECTOR] = f"http://127.0.0.1:{collector.port}/v1/traces"
    print(f"{'1,000 instructions':<20}" + "".join(f"{kind:>16}" for kind in KINDS))
    with tempfile.TemporaryDirectory() as folder:
        for name in names or APPS:
            counted = Counted(name, url, Path(folder))
            row = []
            for kind, (asked, ready, count) in KINDS.items():
                cost = counted.cost(count, asked if name in ASKING else ready)
                row.append(cost / 1000 / (serve.CHUNKS if "chunk" in kind else 1))
            counted.close()
            print(f"{name:<20}" + "".join(f"{cost:>16,.1f}" for cost in row), flush=True)
    collector.close()
    upstream.kill()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        main(sys.argv[1:])
