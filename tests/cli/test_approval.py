"""Calls that a person at the terminal agrees to, or not."""

import json

import pytest

QUESTION = "Which three franchises sold most in May 2024?"


@pytest.fixture
def careful(shipped):
    (shipped / "agents" / "careful.yaml").write_text(
        "extends: agents/genie-analyst.yaml\n"
        'mcp_servers: {bakehouse: {tools: {require_approval: ["*"]}}}\n'
    )
    yield "careful"
    (shipped / "agents" / "careful.yaml").unlink()


def test_ask_goes_on_with_yes(retinue, shipped, careful):
    done = retinue("ask", careful, "--offline", QUESTION, cwd=shipped, stdin="yes\nyes\nyes\n")
    assert done.returncode == 0, done.stderr
    assert "careful would call bakehouse__query_space_" in done.stderr
    assert f'"query": "{QUESTION}"' in done.stderr
    assert "Allow this call once? [yes/NO]" in done.stderr
    assert "```sql" in done.stdout


@pytest.mark.parametrize(("said", "told"), [("", "nobody answers"), ("no\n", ""), ("hm\n", "hm")])
def test_ask_makes_no_call_without_it(retinue, shipped, careful, said, told):
    done = retinue("ask", careful, "--offline", QUESTION, "-o", "json", cwd=shipped, stdin=said)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["steps"] == []
    assert told in done.stderr or told in answer["answer"]


def test_chat_asks_beside_the_conversation(retinue, shipped, careful):
    lines = f"{QUESTION}\nyes\nyes\n/exit\n"
    done = retinue("chat", careful, "--offline", cwd=shipped, stdin=lines)
    assert done.returncode == 0, done.stderr
    assert "```sql" in done.stdout
