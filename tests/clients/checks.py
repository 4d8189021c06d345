"""What every client's script ends with: `run(globals())` calls each `check_*`."""

import asyncio
import os
import sys
import traceback
from collections.abc import Mapping
from typing import Any

URL = os.environ["RETINUE_URL"]
KEY = os.environ["RETINUE_KEY"]
WRONG_KEY = "some-other-key"
MODEL = "tester"
SAID = "Hello to you."


def run(names: Mapping[str, Any]) -> None:
    """A line per check, and exit code 1 where one failed."""
    failed = False
    with asyncio.Runner() as loop:
        for name, check in names.items():
            if not name.startswith("check_"):
                continue
            try:
                done = check()
                if asyncio.iscoroutine(done):
                    loop.run(done)
            except Exception:  # noqa: BLE001 - any failure is told, and the next check runs
                failed = True
                print(f"FAIL {name}", flush=True)
                traceback.print_exc()
            else:
                print(f"ok   {name}", flush=True)
    sys.exit(failed)


def raises(kind: type[BaseException] | tuple[type[BaseException], ...], call: Any) -> Any:
    """The exception that the call raises; fails where it raises none."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind} was not raised")
