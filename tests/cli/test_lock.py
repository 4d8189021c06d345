"""`retinue lock` against a real server, as a process."""

import json
import shutil
import sys
from pathlib import Path

import pytest

SERVER = Path(__file__).parents[1] / "run" / "servers" / "ledger.py"


@pytest.fixture
def clerk(project) -> Path:
    """A clerk with a copy of the ledger, which a test may change."""
    copy = project / SERVER.name
    for name in (SERVER.name, "plain.py"):
        shutil.copy(SERVER.with_name(name), project)
    (project / "agents" / "helper.yaml").unlink()
    (project / "agents" / "clerk.yaml").write_text(
        "model: openai/gpt-test\ninstructions: Be brief.\nmcp_servers:\n"
        f"  ledger: {{command: {sys.executable}, args: [{copy}, {project / 'ledger.txt'}]}}\n"
    )
    return copy


def test_a_lock_is_written_once_and_tells_what_changed(retinue, project, clerk):
    lock = project / "agents" / "clerk.lock"
    missing = retinue("lock", "--check")
    assert missing.returncode == 1
    assert "not up to date: clerk" in missing.stderr
    assert not lock.exists()

    first = retinue("lock")
    assert first.returncode == 0, first.stderr
    assert "ledger + book: added" in first.stdout
    assert json.loads(lock.read_text())["servers"]["ledger"].keys() == {"book", "count"}
    before = json.loads(retinue("show", "clerk", "-o", "json").stdout)["digest"]
    again = retinue("lock", "--check", "clerk")
    assert (again.returncode, again.stdout) == (0, "agents/clerk.lock: up to date\n")

    clerk.write_text(clerk.read_text().replace("Book an entry, for good.", "Pay it."))
    changed = retinue("lock", "--check")
    assert changed.returncode == 1
    assert "~ book: its description changed" in changed.stdout
    assert "- Book an entry, for good." in changed.stdout
    assert "+ Pay it." in changed.stdout
    assert retinue("lock").returncode == 0
    assert json.loads(retinue("show", "clerk", "-o", "json").stdout)["digest"] != before


def test_nothing_is_written_while_a_server_is_down(retinue, project, clerk):
    clerk.write_text("raise SystemExit\n")
    done = retinue("lock")
    assert done.returncode == 1
    assert "the tool server 'ledger' can't be reached" in done.stderr
    assert not (project / "agents" / "clerk.lock").exists()


def test_a_lock_without_servers_goes(retinue, project):
    lock = project / "agents" / "helper.lock"
    lock.write_text('{"version": 1, "servers": {}}')
    done = retinue("lock")
    assert (done.returncode, lock.exists()) == (0, False)
    assert "agents/helper.lock: removed" in done.stdout
