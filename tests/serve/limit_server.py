"""A server in a process of its own that limits its callers: `python limit_server.py LIMITS STORE
PATIENCE`, then its URL on stdout.

LIMITS is JSON; STORE a database, or `off`; what is counted in a Redis, the environment says.
"""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from serving import LoopRuntime

from retinue.run.events import ModelFinished, TextDelta, Usage
from retinue.serve import app_for
from retinue.serve.counters import counters_for
from retinue.serve.limits import Limits
from retinue.serve.options import ServeOptions
from retinue.serve.server import listen, serve
from retinue.store.address import Address
from retinue.testing import ScriptedModel


def main(limits: str, where: str, patience: str) -> None:
    address = Address(url=where) if "://" in where else Address(file=Path(where))
    store = None if where == "off" else address
    counters = counters_for(os.environ, store)
    usage = Usage(input_tokens=9, output_tokens=1)
    listener = listen("127.0.0.1", 0)
    serve(
        app_for(
            LoopRuntime(ScriptedModel([TextDelta("hi"), ModelFinished("stop", usage)])),
            store=store,
            options=ServeOptions(reach="local", limits=Limits(**json.loads(limits))),
            counters=counters and replace(counters, patience=float(patience)),
        ),
        listener,
        on_ready=lambda url: print(url, flush=True),
        log_level="error",
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
