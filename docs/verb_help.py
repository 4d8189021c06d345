"""`retinue VERB --help` → a block of Markdown, the same on every terminal."""

import os
import subprocess
import sys
from functools import cache


@cache
def verb_help(*verb: str) -> str:
    """What `--help` prints for the verb, or for the command itself without one."""
    done = subprocess.run(
        [sys.executable, "-m", "retinue", *verb, "--help"],
        # What else is set, as on a CI's machine, could ask for colour or another width.
        env={"PATH": os.defpath, "COLUMNS": "90", "TERM": "dumb", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    lines = [
        line.rstrip() for line in done.stdout.replace("python -m retinue", "retinue").split("\n")
    ]
    return "```text\n" + "\n".join(lines).strip("\n") + "\n```"
