"""Hundreds of hostile projects: no crash, no hang, no memory, and every refusal at its place.

Run in a process of its own, whose memory is limited and whose stack is shown when it hangs.
`python tests/compile/test_compile_hostile.py` prints what each project costs.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hostile import cases

from retinue.compile.prompts import MAX_PROMPT_BYTES

HERE = Path(__file__).parent
# Several times what was measured: a busy machine makes even CPU time vary.
MAX_SECONDS = 1.5
MAX_SECONDS_TOGETHER = 15
MAX_PEAK = 300_000_000


def run() -> list[dict[str, Any]]:
    command = [sys.executable, str(HERE / "hostile_run.py")]
    made = subprocess.run(
        command, check=False, cwd=HERE, stdin=subprocess.DEVNULL, capture_output=True
    )
    assert made.returncode == 0, made.stderr.decode(errors="replace")[-3000:]
    return [json.loads(line) for line in made.stdout.splitlines()]


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return run()


def test_no_project_crashes_the_compiler(rows: list[dict[str, Any]]) -> None:
    assert [row for row in rows if "crash" in row] == []
    assert [row["name"] for row in rows] == list(cases())
    assert len(rows) > 400


def test_none_takes_long_or_much(rows: list[dict[str, Any]]) -> None:
    slow = {r["name"]: r["seconds"] for r in rows if r["seconds"] > MAX_SECONDS}
    assert slow == {}
    assert sum(row["seconds"] for row in rows) < MAX_SECONDS_TOGETHER
    assert max(row["peak"] for row in rows) < MAX_PEAK


def test_what_is_wrong_is_refused(rows: list[dict[str, Any]]) -> None:
    silent = {name for name, case in cases().items() if case.silent}
    quiet = [row["name"] for row in rows if not any(said[0] == "error" for said in row["said"])]
    # A skill with odd files beside SKILL.md loads with a warning; so does one that hosts accept.
    warned = {row["name"] for row in rows if row["said"] and row["agents"]}
    assert sorted(set(quiet) - silent - warned) == []
    for row in rows:
        failed = any(said[0] == "error" for said in row["said"])
        # Beside a broken file, the agents of others are made.
        assert failed or row["agents"], row["name"]


def test_every_place_is_in_the_file(rows: list[dict[str, Any]]) -> None:
    assert {row["name"]: row["bad_places"] for row in rows if row["bad_places"]} == {}


def test_every_block_is_short_and_printable(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        for _, _, block in row["said"]:
            assert len(block) < 2500, row["name"]
            assert block.replace("\n", "").isprintable(), row["name"]


def test_a_prompt_that_passes_is_bounded(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        assert row["rendering"] < MAX_SECONDS, row["name"]
        for text in row["rendered"]:
            assert not text.isdigit() or int(text) <= MAX_PROMPT_BYTES, row["name"]
            assert "nested too deeply" not in text, row["name"]


def table() -> None:
    made = sorted(run(), key=lambda row: -row["seconds"])
    print(
        f"{len(made)} projects, {sum(row['seconds'] for row in made):.2f} s of CPU time, ", end=""
    )
    print(f"{max(row['peak'] for row in made) / 1e6:.0f} MB at most\n")
    for row in made:
        codes = sorted({said[1] for said in row["said"]})
        print(f"{row['seconds'] * 1000:8.1f} ms  {row['name']:32} {', '.join(codes)[:60]}")


if __name__ == "__main__":
    table()
