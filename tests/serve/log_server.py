"""A server in a process of its own that logs: `python log_server.py STORE FOLDER`, then its URL.

The agent `answers` answers, and `fails` fails.
"""

import sys
from pathlib import Path

from loop_runtime import LoopRuntime

from retinue.errors import ModelError
from retinue.serve import app_for
from retinue.serve.options import ServeOptions
from retinue.serve.request_log import LogSettings
from retinue.serve.server import listen, serve
from retinue.store.address import Address
from retinue.testing import ScriptedModel, says


def main(where: str, folder: str) -> None:
    address = Address(url=where) if "://" in where else Address(file=Path(where))
    models = {
        "answers": ScriptedModel(says("It is 3.")),
        "fails": ScriptedModel([ModelError("timeout", "late")]),
    }
    listener = listen("127.0.0.1", 0)
    serve(
        app_for(
            LoopRuntime(models),
            store=address,
            log=LogSettings(Path(folder)),
            options=ServeOptions(reach="local"),
        ),
        listener,
        on_ready=lambda url: print(url, flush=True),
        log_level="error",
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
