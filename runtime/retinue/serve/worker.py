"""What `--workers` was told → the app of one worker process, by way of the environment."""

import asyncio
import atexit
import json
import os
import secrets
import shutil
import signal
import tempfile
import time
from dataclasses import replace
from functools import partial
from mmap import mmap
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from retinue.run.approval_ids import KEY_VARIABLE
from retinue.run.approvals import ApprovalsInMemory
from retinue.serve.control import Control
from retinue.serve.factory import create_app
from retinue.serve.metrics import FOLDER_VARIABLE
from retinue.serve.options import ServeOptions
from retinue.serve.overload import House

VARIABLE = "RETINUE_SERVE"
_DOOR = "door"
_SPENT = "approvals"


def hand_over(options: ServeOptions, **arguments: Any) -> str:
    """Leave the arguments of `create_app` (JSON-ready) to workers; the factory's import string.

    What the workers share is in a folder that is gone when this process ends.
    """
    shared = Path(tempfile.mkdtemp(prefix="retinue-"))
    atexit.register(shutil.rmtree, shared, ignore_errors=True)
    (shared / _DOOR).write_bytes(b"\0")
    (shared / _SPENT).mkdir()
    os.environ[FOLDER_VARIABLE] = str(shared)
    # All workers have to tell the same list of models.
    options = replace(options, created=options.created or int(time.time()))
    given = {"shared": str(shared), "options": options.plain(), "arguments": arguments}
    os.environ[VARIABLE] = json.dumps(given)
    # What one worker asks another one may be told the answer to.
    os.environ.setdefault(KEY_VARIABLE, secrets.token_hex(32))
    return "retinue.serve.worker:app"


def app() -> FastAPI:
    """The app, made from what was handed over."""
    given = json.loads(os.environ[VARIABLE])
    options = ServeOptions.of(given["options"])
    make = partial(create_app, **given["arguments"], options=options)
    shared = Path(given["shared"])
    control = Control(
        House(options.capacity, _door(shared)),
        partial(_restart, make),
        ApprovalsInMemory(spent=shared / _SPENT),
    )
    return make(control=control)


def _door(shared: Path) -> mmap:
    with (shared / _DOOR).open("r+b") as file:
        return mmap(file.fileno(), 1)


async def _restart(make: partial[FastAPI]) -> list[str]:
    """Have every worker replaced, one after the other, once the files are known to be good."""
    tried = await asyncio.to_thread(make)
    os.kill(os.getppid(), signal.SIGHUP)
    return list(tried.state.runtime.agents)
