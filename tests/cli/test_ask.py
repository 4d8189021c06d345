"""`retinue ask`, `chat` and `show`, offline, as processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

QUESTION = "Which three franchises sold most in May 2024?"


def test_ask_answers_with_the_figure_the_sql_and_the_rows(retinue, shipped):
    done = retinue("ask", "genie-analyst", "--offline", QUESTION, cwd=shipped)
    assert done.returncode == 0, done.stderr
    assert "OFFLINE" in done.stderr
    assert "```sql" in done.stdout
    assert "samples.bakehouse.sales_transactions" in done.stdout
    assert "→ bakehouse__query_space_" in done.stderr


def test_ask_as_json_holds_the_rows_that_the_answer_names(retinue, shipped):
    done = retinue("ask", "genie-analyst", QUESTION, "--offline", "-o", "json", cwd=shipped)
    answer = json.loads(done.stdout)
    assert answer["finish_reason"] == "stop"
    assert answer["steps"]
    assert not any(step["is_error"] for step in answer["steps"])
    assert answer["usage"]["output_tokens"] > 0


def test_chat_remembers_the_conversation(retinue, shipped):
    lines = "Revenue by city in May 2024\nand in June 2024?\n/nonsense\n/exit\n"
    done = retinue("chat", "genie-analyst", "--offline", cwd=shipped, stdin=lines)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("```sql") == 2
    assert "2024-06" in done.stdout.split("```sql")[2]


def test_show_renders_the_prompt_and_lists_the_final_tools(retinue, shipped):
    done = retinue("show", "genie-analyst", "-o", "json", cwd=shipped)
    shown = json.loads(done.stdout)
    names = [tool["name"] for tool in shown["tools"]]
    assert any(name.startswith("bakehouse__query_space_") for name in names)
    assert {"load_skill", "read_skill_file"} <= set(names)
    assert "Amounts are in USD" in shown["prompt"]
    assert "presenting-figures" in shown["prompt"]
    assert len(shown["digest"]) == 16


def test_show_tells_where_each_value_was_written(retinue, project):
    (project / "retinue.yaml").write_text("defaults:\n  limits: {max_turns: 7}\n")
    (project / "agents" / "helper.yaml").write_text(
        "model: openai/x\nextends: agents/_part.yaml\ninstructions: Hi.\n"
    )
    (project / "agents" / "_part.yaml").write_text("description: From a part.\n")
    done = retinue("show", "helper", "--origin", "-o", "json")
    assert done.returncode == 0, done.stderr
    found = {row["key"]: (row["value"], row["origin"]) for row in json.loads(done.stdout)}
    assert found["limits.max_turns"] == ("7", "retinue.yaml:2:23")
    assert found["description"] == ("From a part.", "agents/_part.yaml:1:14")
    assert found["model"] == ("openai/x", "agents/helper.yaml:1:8")


def test_an_origin_never_shows_a_secret(retinue, project):
    (project / "agents" / "helper.yaml").write_text(
        "model: {name: openai/x, api_key: '${env.OPENAI_API_KEY}'}\ninstructions: Hi.\n"
    )
    done = retinue("show", "helper", "--origin", OPENAI_API_KEY="hunter2hunter2")
    assert done.returncode == 0, done.stderr
    assert "model.api_key = ${env.OPENAI_API_KEY}" in done.stdout
    assert "hunter2" not in done.stdout


def test_metadata_fills_prompt_variables(retinue, project):
    (project / "agents" / "helper.yaml").write_text(
        "model: openai/x\ninstructions:\n  text: 'Town: {{ town }}'\n"
        "  variables: {town: {source: request.metadata.town}}\n"
    )
    assert "request.metadata.town" in retinue("ask", "helper", "hi", "--offline").stderr
    done = retinue("ask", "helper", "hi", "--offline", "--metadata", "town=Ulm")
    assert done.returncode == 0, done.stderr


def test_the_longest_answer_holds_offline_too(retinue):
    done = retinue("ask", "helper", "hi", "--offline", "-m", "5", "-o", "json")
    assert json.loads(done.stdout)["finish_reason"] == "length"


def test_an_empty_question_is_a_usage_mistake(retinue):
    assert retinue("ask", "helper", " ", "--offline").returncode == 2


def test_without_offline_the_missing_key_is_named(retinue):
    done = retinue("ask", "helper", "hello")
    assert done.returncode == 1
    assert "OPENAI_API_KEY" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_being_stopped_exits_with_130_and_leaves_no_process(shipped, number):
    process = subprocess.Popen(
        [sys.executable, "-m", "retinue", "chat", "genie-analyst", "--offline"],
        cwd=shipped,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdout.read(2) == b"> "
        # Until it waits for a line: no one is quick enough to interrupt the moment before.
        while not _sleeps(process.pid, 0.5):
            pass
        os.kill(process.pid, number)
        assert process.wait(timeout=60) == 130
        deadline = time.monotonic() + 20
        while _session_lives(process.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _session_lives(process.pid)
    finally:
        if process.poll() is None:
            process.kill()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


def _sleeps(process: int, seconds: float) -> bool:
    """Whether it has for so long, also where the machine is too busy for it to go on."""
    stat = Path(f"/proc/{process}/stat")

    def used() -> list[str]:
        """Its state and the time it has had."""
        fields = stat.read_text().rpartition(")")[2].split() if stat.exists() else ["S"]
        return [fields[0], *fields[11:13]]

    before = used()
    time.sleep(seconds)
    return before == used() and before[0] == "S"


def _session_lives(session: int) -> bool:
    try:
        os.killpg(session, 0)
    except ProcessLookupError:
        return False
    return True
