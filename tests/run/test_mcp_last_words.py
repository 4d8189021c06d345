"""What a server said last, as a person wants to read it."""

import pytest

from retinue.run.mcp.last_words import LastWords

PYTHON = """INFO starting
Traceback (most recent call last):
  File "/app/server.py", line 3, in <module>
    import duckdb
    ^^^^^^^^^^^^^
ModuleNotFoundError: No module named 'duckdb'
"""
CHAINED = f"""{PYTHON}
During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/app/server.py", line 5, in <module>
    raise Broken("two")
app.Broken: two
of them
"""
NODE = """node:internal/modules/cjs/loader:1148
  throw err;
  ^

Error: Cannot find module '/srv/index.js'
    at Module._resolveFilename (node:internal/modules/cjs/loader:1145:15)
    at node:internal/main/run_main_module:28:49 {
  code: 'MODULE_NOT_FOUND'
}

Node.js v20.11.1
"""
NPM = """npm error code E404
npm error 404 Not Found - GET https://registry.example.com/nope
npm error
npm error A complete log of this run can be found in: /home/me/.npm/_logs/x.log
"""
UVX = """  x No solution found when resolving tool dependencies:
  ╰─▶ Because nope was not found and you require nope, nothing can be done.
"""

SAID = {
    "": "",
    "only this": "only this",
    "fine\nall is well\nbye": "bye",
    PYTHON: "ModuleNotFoundError: No module named 'duckdb'",
    CHAINED: "app.Broken: two; of them",
    NODE: "Error: Cannot find module '/srv/index.js'; code: 'MODULE_NOT_FOUND'",
    NPM: "npm error code E404; npm error 404 Not Found - GET https://registry.example.com/nope",
    UVX: "x No solution found when resolving tool dependencies:; "
    "╰─▶ Because nope was not found and you require nope, nothing can be done.",
    "usage: server [-h] --db DB\nserver: error: the following arguments are required: --db\n":
    "usage: server [-h] --db DB; server: error: the following arguments are required: --db",
}  # fmt: skip


@pytest.mark.parametrize("text", SAID)
def test_what_is_shown_of_it(text: str) -> None:
    words = LastWords()
    for line in text.splitlines():
        if line.strip():
            words.hear(line.strip())
    assert str(words) == SAID[text]


def test_it_is_bounded() -> None:
    words = LastWords()
    for number in range(10_000):
        words.hear(f"error {number} " + "x" * 300)
    assert len(str(words)) <= 500
