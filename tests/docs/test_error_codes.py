"""Every code that the compiler can emit is explained, and shown by an example that emits it."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest
from cases import FOLDER, Case, cases, read
from error_sections import ONLINE

from retinue.cli.findings import as_github, as_json, as_sarif
from retinue.cli.online.finding import OnlineCode
from retinue.compile import CompileContext, compile_agents
from retinue.compile.codes import codes
from retinue.project import Project

REPOSITORY = Path(__file__).parents[2]
COMPILER = REPOSITORY / "runtime" / "retinue" / "compile"
GOLDENS = REPOSITORY / "tests" / "compile" / "broken"

SHAPE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+")
NO_CODES = {
    "utf-8",
    "allowed-tools",
    "sql-style",
    "sales-analyst",
    "databricks-claude-sonnet-4-5",
    "databricks-gte-large-en",
    "mcp-tickets",
    "0f0e0d0c-0000-0000-0000-000000000000",
}
"""Texts of the compiler that have a code's shape and are none: an encoding, a key, examples."""

HEADLINE = re.compile(r"^\S.*:\d+:\d+: .*\[([a-z0-9-]+)\]$", re.MULTILINE)


def written_in_the_compiler() -> Iterator[tuple[str, str]]:
    for path in sorted(COMPILER.glob("**/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and SHAPE.fullmatch(text):
                yield text, f"{path.name}:{node.lineno}"


def in_goldens() -> set[str]:
    outputs = [path.read_text(encoding="utf-8") for path in GOLDENS.glob("**/*.out")]
    return {code for output in outputs for code in HEADLINE.findall(output)}


def test_the_compiler_emits_no_code_that_is_not_listed() -> None:
    unlisted = [
        f"{code} ({place})"
        for code, place in written_in_the_compiler()
        if code not in codes() and code not in NO_CODES
    ]
    assert unlisted == [], "explain them in compile/codes.md"
    assert in_goldens() <= codes().keys()


def test_every_listed_code_can_be_emitted() -> None:
    written = {code for code, _ in written_in_the_compiler()}
    assert of_files() - written == set()
    assert of_files() - in_goldens() == set()


def of_files() -> set[str]:
    """All but those of the checks against the real thing, which have tests of their own."""
    return {code for code in codes() if not code.startswith(ONLINE)}


def test_every_code_of_the_online_checks_is_listed() -> None:
    assert set(get_args(OnlineCode)) == codes().keys() - of_files()


def test_every_code_has_a_case_of_its_own_and_every_case_a_code() -> None:
    assert {case.name for case in cases()} == of_files()


@pytest.mark.parametrize("name", sorted(codes()))
def test_a_code_is_explained_in_two_to_seven_sentences(name: str) -> None:
    code = codes()[name]
    assert code.summary.endswith(".")
    assert code.summary.count(". ") == 0, "the summary is one sentence"
    assert "\n\n" in code.text, "say why, and how to mend it"
    assert 2 <= len(re.findall(r"[.!?:;](?:\s|$)", code.text)) <= 10


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_a_case_says_what_its_code_stands_for(
    path: Path, tmp_path: Path, golden: Callable[[Path, str], None]
) -> None:
    result = compiled(read(path), tmp_path)
    golden(path.with_suffix(".out"), "\n\n".join(d.render() for d in result.diagnostics) + "\n")
    assert path.stem in {diagnostic.code for diagnostic in result.diagnostics}
    for format_ in (as_sarif, as_github):
        assert path.stem in format_(result.diagnostics)
    assert path.stem in as_json(result.agents, result.diagnostics)


def compiled(case: Case, root: Path):
    case.write(root)
    context = CompileContext(target=case.target, deploying=case.target is not None)
    return compile_agents(Project.at(root), context=context)


@pytest.mark.parametrize("page", ["README.md", "docs/errors.md"])
def test_the_mistake_that_introduces_them_is_a_real_one(page: str) -> None:
    said = (FOLDER / "unknown-key.out").read_text(encoding="utf-8")
    assert f"\n{said}```" in (REPOSITORY / page).read_text(encoding="utf-8")
