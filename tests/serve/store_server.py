"""A server in a process of its own: `python store_server.py STORE NAME…`, then its URL on stdout.

Each NAME is an agent whose model plays the script of that name; NAME=SCRIPT plays another.
"""

import asyncio
import sys
from pathlib import Path

from loop_runtime import LoopRuntime

from retinue.serve import app_for
from retinue.serve.server import listen, serve
from retinue.store.address import Address
from retinue.testing import ScriptedModel, calls, says


async def work() -> str:
    """Take a minute."""
    await asyncio.sleep(60)
    return "done"


SCRIPTS = {
    "answers": lambda: ScriptedModel(says("It is 3.")),
    "waits": lambda: ScriptedModel([60.0, *says("late")]),
    "begins": lambda: ScriptedModel([*says("It is")[:1], 60.0, *says("late")]),
    "pauses": lambda: ScriptedModel([*says("It is")[:1], 6.0, *says(" 3.")]),
    "works": lambda: ScriptedModel(calls(("work", {}))),
}


def main(where: str, *names: str) -> None:
    address = Address(url=where) if "://" in where else Address(file=Path(where))
    models = {name.partition("=")[0]: SCRIPTS[name.rpartition("=")[2]]() for name in names}
    runtime = LoopRuntime(models, [work])
    listener = listen("127.0.0.1", 0)
    serve(
        app_for(runtime, store=address),
        listener,
        on_ready=lambda url: print(url, flush=True),
        log_level="warning",
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
