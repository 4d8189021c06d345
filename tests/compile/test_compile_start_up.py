"""Validating must start in a fraction of a second: nothing heavy may be imported for it."""

import json
import subprocess
import sys

HEAVY = ["litellm", "mcp", "fastapi", "starlette", "duckdb", "aiohttp", "openai", "databricks"]


def test_compiling_imports_nothing_heavy() -> None:
    code = (
        "import json, sys, retinue.compile\n"
        f"print(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(made.stdout) == []
