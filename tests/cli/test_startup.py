"""What the command line must not load before it needs it."""

import json
import re
import subprocess
import sys

import pytest

from retinue.cli.verbs import VERBS, whole

HEAVY = {"litellm", "mcp", "fastapi", "duckdb", "aiohttp", "uvicorn", "openai", "databricks"}
COMPILER = {"asyncio", "pydantic", "yaml"}

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
    loaded = modules(project, words)
    assert not loaded & HEAVY
    assert "retinue" in loaded


@pytest.mark.parametrize("words", [["--help"], ["--version"]])
def test_help_does_not_even_load_the_compiler(project, words):
    assert not modules(project, words) & COMPILER


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_is_listed_with_what_it_says_of_itself(name):
    first, _, _ = whole(name).help.partition("\n\n")
    assert first == VERBS[name]


@pytest.mark.parametrize("name", VERBS)
def test_help_leaves_it_to_the_terminal_where_lines_end(name):
    verb = whole(name)
    for command in (verb, *getattr(verb, "commands", {}).values()):
        assert command.help
        assert not re.search(r"(?<!\n)\n(?!\n)", command.help)


def modules(project, words):
    """The packages that a verb has loaded when it is done."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *words],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_serving_offline_never_loads_litellm():
    probe = "import sys, retinue.serve, retinue.offline; print('litellm' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
