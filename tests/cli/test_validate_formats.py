"""`retinue validate -o …`: what programs, CI and terminals read."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from retinue.cli.findings import as_github, as_json, as_sarif
from retinue.diagnostics import Diagnostic, Location

BROKEN = """\
name: helper
model: openai/gpt-test
model: openai/other
instructions: Größe 🙂 {{ size }}
limits: {max_turns: many}
"""


@pytest.fixture
def broken(project: Path) -> Path:
    (project / "agents" / "helper.yaml").write_text(BROKEN, encoding="utf-8")
    return project


@pytest.mark.usefixtures("broken")
def test_json_has_the_documented_shape(retinue):
    done = retinue("validate", "-o", "json")
    found = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (2, "")
    assert found["version"] == 1
    assert found["agents"] == []
    assert found["summary"] == {"errors": 3, "warnings": 0}
    assert found["diagnostics"][0] == {
        "file": "agents/helper.yaml",
        "line": 3,
        "column": 1,
        "end_column": 6,
        "severity": "error",
        "code": "duplicate-key",
        "message": 'the key "model" is given twice',
        "hint": "remove one of them",
        "excerpt": "model: openai/other",
        "related": [
            {
                "file": "agents/helper.yaml",
                "line": 2,
                "column": 1,
                "end_column": 6,
                "message": "first given here",
            }
        ],
    }


@pytest.mark.usefixtures("broken")
def test_columns_count_code_points(retinue):
    lines = BROKEN.splitlines()
    for found in json.loads(retinue("validate", "-o", "json").stdout)["diagnostics"]:
        token = lines[found["line"] - 1][found["column"] - 1 : found["end_column"] - 1]
        assert token in ("model", "size", "many")


@pytest.mark.usefixtures("broken")
def test_sarif_has_what_the_format_demands(retinue):
    done = retinue("validate", "-o", "sarif")
    assert done.returncode == 2
    log = json.loads(done.stdout)
    check_sarif(log)
    (run,) = log["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert rules == ["duplicate-key", "undeclared-variable", "wrong-type"]
    duplicate = run["results"][0]
    assert duplicate["relatedLocations"][0]["physicalLocation"]["region"]["startLine"] == 2
    assert "hint: remove one of them" in duplicate["message"]["text"]
    region = run["results"][1]["locations"][0]["physicalLocation"]["region"]
    assert region == {"startLine": 4, "startColumn": 26, "endColumn": 30}


def test_sarif_of_a_good_project_is_a_run_without_results(retinue):
    done = retinue("validate", "-o", "sarif")
    log = json.loads(done.stdout)
    check_sarif(log)
    assert (done.returncode, log["runs"][0]["results"]) == (0, [])


def check_sarif(log: dict) -> None:
    """The demands of SARIF 2.1.0 on what is used of it; the numbers are its sections."""
    assert log["version"] == "2.1.0"  # 3.13.2
    for run in log["runs"]:  # 3.13.4
        driver = run["tool"]["driver"]  # 3.14.6, 3.18.2
        assert driver["name"]  # 3.19.8
        assert run["columnKind"] == "unicodeCodePoints"  # 3.14.17
        ids = [rule["id"] for rule in driver["rules"]]
        assert len(ids) == len(set(ids))  # 3.19.23
        for rule in driver["rules"]:
            for key in ("shortDescription", "help"):  # 3.49.9, 3.49.13: messages with a text
                assert rule[key]["text"].strip()
        for result in run["results"]:  # 3.14.23
            assert ids[result["ruleIndex"]] == result["ruleId"]  # 3.27.5, 3.27.6
            assert result["level"] in ("none", "note", "warning", "error")  # 3.27.10
            assert result["message"]["text"]  # 3.27.11
            assert len(result["locations"]) == 1  # 3.27.12
            related = result.get("relatedLocations", [])
            numbers = [location["id"] for location in related]  # 3.28.2: unique, not negative
            assert numbers == list(range(len(related)))
            for location in [*result["locations"], *related]:
                check_location(location["physicalLocation"])


def check_location(location: dict) -> None:
    uri = location["artifactLocation"]["uri"]  # 3.4.3: a valid, relative URI reference
    assert uri.isascii()
    assert not uri.startswith("/")
    assert not set(uri) & set(' <>"{}|\\^`')
    region = location["region"]
    assert region["startLine"] >= 1  # 3.30.5
    assert region["startColumn"] >= 1  # 3.30.6
    assert region["endColumn"] > region["startColumn"]  # 3.30.8: the column after the last one
    context = location.get("contextRegion")
    if context:  # 3.29.5: it contains the region
        line = context["snippet"]["text"]
        assert context["startLine"] == region["startLine"]
        assert region["endColumn"] <= len(line) + 1 or region["startColumn"] > len(line)


AWKWARD = Diagnostic(
    Location("agents/a b,c:ü\udcff.yaml", 3, 5, 2),
    "100 % of\x1b[31m it\u202e",
    "wrong-value",
    hint="line\r\nbreak",
    excerpt="    \x9bxy",
)


def test_no_format_lets_a_name_break_out():
    annotation = as_github([AWKWARD])
    assert annotation == (
        "::error file=agents/a b%2Cc%3Aü .yaml,line=3,col=5,endColumn=7,title=wrong-value"
        "::100 %25 of [31m it %0Ahint: line  break"
    )
    sarif = as_sarif([AWKWARD])
    check_sarif(json.loads(sarif))
    uri = json.loads(sarif)["runs"][0]["results"][0]["locations"][0]["physicalLocation"][
        "artifactLocation"
    ]["uri"]
    assert unquote(uri, errors="surrogateescape") == AWKWARD.location.file
    assert json.loads(as_json([], [AWKWARD]))["diagnostics"][0]["excerpt"] == AWKWARD.excerpt
    for text in (AWKWARD.render(), sarif, as_json([], [AWKWARD])):
        assert not [c for c in text if not c.isprintable() and c != "\n"]


@pytest.mark.usefixtures("broken")
def test_github_annotations_are_one_to_a_line(retinue):
    done = retinue("validate", "-o", "github")
    lines = done.stdout.splitlines()
    assert done.returncode == 2
    assert len(lines) == 3
    assert lines[0].startswith(
        "::error file=agents/helper.yaml,line=3,col=1,endColumn=6,title=duplicate-key::the key"
    )


def many(project: Path, count: int) -> None:
    for number in range(count):
        text = f"name: a{number}\nmodl: x/y\ninstructions: Hi.\n"
        (project / "agents" / f"a{number}.yaml").write_text(text)


def test_the_text_stops_at_a_hundred_and_says_how_many_more(retinue, project):
    many(project, 103)
    done = retinue("validate")
    assert done.stderr.count("[unknown-key]") == 100
    assert "3 more not shown: see them with 'retinue validate --max 0'" in done.stderr
    assert "failed  103 mistakes" in done.stderr
    assert retinue("validate", "--max", "0").stderr.count("[unknown-key]") == 103
    assert retinue("validate", "--max", "2").stderr.count("[unknown-key]") == 2
    assert len(json.loads(retinue("validate", "-o", "json").stdout)["diagnostics"]) == 103


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("words", [("ask", "helper", "hi"), ("show", "helper"), ("serve",)])
def test_every_verb_tells_mistakes_alike(retinue, words):
    done = retinue(*words)
    assert done.returncode == 2
    assert retinue("validate").stderr.startswith(done.stderr)
    assert done.stderr.count("agents/helper.yaml:") == 4


def test_an_error_of_several_lines_keeps_them(retinue, project):
    (project / "retinue.yaml").write_text("defaults: {guardrails: {input: [pii]}}\n")
    done = retinue("ask", "helper", "--offline", "hi")
    assert done.returncode != 0
    error = done.stderr.partition("error: ")[2]
    assert "\n" in error.strip()
    assert "retinue.yaml:1:1" in error


def on_a_terminal(folder: Path, **env: str) -> str:
    """What `retinue validate` writes to a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "retinue", "validate"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "TERM": "xterm", **env},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    ):
        os.close(theirs)
        said = b""
        try:
            while piece := os.read(ours, 4096):
                said += piece
        except OSError:  # the other side is closed
            pass
        os.close(ours)
    return said.decode()


def test_colour_is_for_terminals_alone_and_can_be_refused(retinue, broken):
    assert "\x1b[31m[wrong-type]\x1b[0m" in on_a_terminal(broken)
    assert "\x1b" not in on_a_terminal(broken, NO_COLOR="1")
    assert "\x1b" not in on_a_terminal(broken, TERM="dumb")
    assert "\x1b" not in retinue("validate", TERM="xterm").stderr


def test_explain_needs_no_project_and_names_the_nearest_code(retinue, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    done = retinue("validate", "--explain", "unknown-key", cwd=elsewhere)
    assert done.returncode == 0
    assert done.stdout.startswith("unknown-key\n\nThe object has no such key.\n")
    done = retinue("validate", "--explain", "unknow-key", cwd=elsewhere)
    assert done.returncode == 2
    assert "did you mean 'unknown-key'?" in done.stderr
