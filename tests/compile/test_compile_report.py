"""Reports: order, caps, and that no secret is ever shown."""

from pathlib import Path

import pytest
from folders import MINIMAL, compiled

from retinue.compile import CompileContext
from retinue.compile.report import MAX_PER_FILE, Report, masked, quoted, split_lines
from retinue.diagnostics import Location


def test_diagnostics_come_in_order_without_repeats_and_with_their_line() -> None:
    report = Report()
    report.add_lines("f", ["first", "second"])
    report.error(Location("f", 2, 1), "b", "x")
    report.warning(Location("f", 1, 1), "a", "x")
    report.error(Location("f", 2, 1), "b", "x")
    assert [(d.message, d.excerpt) for d in report.diagnostics()] == [
        ("a", "first"),
        ("b", "second"),
    ]


def test_a_file_with_very_many_mistakes_shows_the_first_and_counts_the_rest() -> None:
    report = Report()
    for line in range(5000):
        report.error(Location("f", line + 1), "wrong", "x")
    shown = report.diagnostics()
    assert len(shown) == MAX_PER_FILE + 1
    assert [d.location.line for d in shown[:-1]] == list(range(1, MAX_PER_FILE + 1))
    assert shown[-1].message == "4900 more mistakes are not shown"


@pytest.mark.parametrize(
    "text",
    [
        "sk-proj-abcdefghijklmnop0123", "dapi0123456789abcdef0123", "ghp_abcdefghijklmnopqrstuvwx",
        "xoxb-1234567890-abcdef", "AKIAABCDEFGHIJKLMNOP", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.abc",
        "github_pat_11ABCDEFGH0123456789_abc",
    ],
)  # fmt: skip
def test_tokens_are_masked_character_for_character(text: str) -> None:
    assert masked(f"a {text} b") == f"a {'*' * len(text)} b"
    assert text not in quoted(f"x {text}")


def test_values_of_telling_keys_are_masked_and_references_are_not() -> None:
    assert masked("password: hunter2000") == "password: **********"
    assert masked("api_key: ${secret.a/b}") == "api_key: ${secret.a/b}"
    assert masked("max_tokens: 4096000000") == "max_tokens: 4096000000"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:pass@host/x", "https://me:****@host/x"),
        ("https://me:p/a@ss@host", "https://me:******@host"),
        ("https://some-token@host", "https://**********@host"),
        ("https://me:${secret.a/b}@host", "https://me:${secret.a/b}@host"),
        ("https://host:80/x, a@b", "https://host:80/x, a@b"),
    ],
)
def test_what_stands_before_a_host_is_masked(url: str, shown: str) -> None:
    assert masked(url) == shown


def test_no_secret_of_a_file_reaches_a_diagnostic(tmp_path: Path) -> None:
    secret = "sk-proj-abcdefghijklmnop0123"
    text = (
        MINIMAL
        + f"""description: [{secret}]
limits: {{max_turns: {secret}, {secret}: 1}}
mcp_servers: {{{secret}: {{command: x}}}}
skills: [{secret}]
"""
    )
    said = "\n".join(d.render() for d in compiled(tmp_path, {"agents/a.yaml": text}).diagnostics)
    assert said.count("agents/a.yaml") >= 4
    assert secret not in said


@pytest.mark.parametrize(
    "text",
    [
        MINIMAL + "limits: {max_turns: '${env.S}', timeout: 'x${env.S}${env.S}'}\n",
        MINIMAL + "limits: {max_turns: '${var.s}'}\n",
        MINIMAL + "skills: ['${env.S}']\nsub_agents: ['${env.S}']\n",
        "model: x/y\ninstructions: {file: '${env.S}'}\n",
        "model: x/y\ninstructions: '{% include \"${env.S}\" %}'\n",
        MINIMAL + "output_schema: '${env.S}'\ndescription: {file: '${env.S}'}\n",
        "extends: '${env.S}'\n" + MINIMAL,
        MINIMAL + "serve: {steps: '${env.S}'}\nmcp_servers: ['${env.S}']\n",
    ],
)
def test_no_value_of_the_environment_reaches_a_diagnostic(tmp_path: Path, text: str) -> None:
    secret = "keep-this-to-yourself-" + "and-all-of-it-" * 5 + "\nthe-second-line"
    context = CompileContext(env={"S": secret, "BUNDLE_VAR_s": secret})
    files = {"agents/a.yaml": text, "retinue.yaml": "mcp_servers: {a: {command: b}}\n"}
    result = compiled(tmp_path, files, context)
    said = "\n".join(str(d) + (d.hint or "") for d in result.diagnostics)
    assert "${env.S}" in said or "${var.s}" in said
    assert not any(word in said for word in ("keep-", "and-all", "second"))


def test_messages_stay_on_one_line() -> None:
    assert quoted("a\nb\x1b[31m") == r'"a b\u001b[31m"'
    assert quoted("x" * 100) == f'"{"x" * 40}…"'
    report = Report()
    report.error(Location("f"), "a\nb", "x")
    assert report.diagnostics()[0].message == "a b"


def test_lines_end_where_editors_end_them() -> None:
    assert split_lines("a\r\nb\rc\nd\u2028e\x0cf") == ["a", "b", "c", "d\u2028e\x0cf"]
