"""What the command line must not load before it needs it."""

import json
import subprocess
import sys

import pytest

HEAVY = {"litellm", "mcp", "fastapi", "duckdb", "aiohttp", "uvicorn", "openai", "databricks"}

PROBE = """
import json, sys
sys.argv = ["retinue", *sys.argv[1:]]
from retinue.cli import main
try:
    main()
finally:
    print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["validate"], ["schema"], ["doctor", "--help"]]
)
def test_nothing_heavy_is_imported(project, words):
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *words],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stderr.splitlines()[-1]))
    assert not loaded & HEAVY
    assert "retinue" in loaded


def test_serving_offline_never_loads_litellm():
    probe = "import sys, retinue.serve, retinue.offline; print('litellm' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
