"""What `--workers` was told → the app of one worker process, by way of the environment."""

import json
import os
import time
from typing import Any

from fastapi import FastAPI

from retinue.serve.factory import create_app
from retinue.serve.overload import Capacity

VARIABLE = "RETINUE_SERVE"


def hand_over(**arguments: Any) -> str:
    """Leave the arguments of `create_app` (JSON-ready) to workers; the factory's import string."""
    # All workers have to tell the same list of models.
    arguments = {"created": int(time.time()), **arguments}
    os.environ[VARIABLE] = json.dumps(arguments)
    return "retinue.serve.worker:app"


def app() -> FastAPI:
    """The app, made from what was handed over."""
    arguments = json.loads(os.environ[VARIABLE])
    capacity = Capacity(**arguments.pop("capacity", {}))
    return create_app(**arguments, capacity=capacity)
