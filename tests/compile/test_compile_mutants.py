"""Files like real ones, cut and spliced at random: diagnostics or agents, and nothing else."""

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retinue.compile import CompileContext, compile_agents
from retinue.project import Project

HERE = Path(__file__).parent
SEEDS = [path.read_bytes() for path in sorted(HERE.glob("*/*.yaml"))]
SEEDS = [seed for seed in SEEDS if len(seed) < 3000]
TOKENS = [
    b"${", b"{{", b"{%", b"[", b"{", b": ", b"\n", b"- ", b"'", b'"', b"&a ", b"*a", b"!x ", b"|",
    b"~", b"<<: ", b"\t", b"\xff", b"${env.A}", b"null", b"1e9", b"}}", b"%}",
]  # fmt: skip


@st.composite
def mutants(draw: st.DrawFn, seeds: list[bytes] = SEEDS) -> bytes:
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 5))):
        place = draw(st.integers(0, len(data)))
        cut = draw(st.sampled_from([0, 0, 1, 5, 20]))
        other = draw(st.sampled_from(seeds))
        start = draw(st.integers(0, len(other)))
        piece = draw(st.sampled_from([*TOKENS, b"", other[start : start + 40]]))
        data[place : place + cut] = piece
    return bytes(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mutants")
    shutil.copytree(HERE / "project", root, dirs_exist_ok=True)
    (root / "agents").mkdir()
    return root


SHARED = [
    *(path.read_bytes() for path in sorted(HERE.glob("projects/*/retinue.yaml"))),
    *(path.read_bytes() for path in sorted(HERE.glob("projects/*/agents/*.yaml"))),
]


@given(one=mutants(SHARED), two=mutants(SHARED), three=mutants(SHARED))
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_mutants_of_shared_files_give_agents_or_errors(
    folder: Path, one: bytes, two: bytes, three: bytes
) -> None:
    (folder / "retinue.yaml").write_bytes(one)
    (folder / "part.yaml").write_bytes(two)
    (folder / "agents/mutant.yaml").write_bytes(b"extends: part.yaml\n" + three)
    try:
        result = compile_agents(Project.at(folder))
    finally:
        (folder / "retinue.yaml").unlink()
    wrong = {d.location.file for d in result.diagnostics if d.severity == "error"}
    assert result.agents or wrong
    if result.agents:  # what it doesn't take from there may be wrong
        assert wrong <= {"retinue.yaml"}
    for diagnostic in result.diagnostics:
        diagnostic.render().encode()


GOOD = [path.read_text() for path in sorted(HERE.glob("good/*.yaml"))]
FROM_HALF_A_FILE = {"bad-key", "bad-merge", "unknown-alias", "duplicate-key", "yaml-tag"}
"""Told before the parser met the mistake."""


@given(text=st.sampled_from(GOOD), at=st.floats(0, 1), token=st.sampled_from(TOKENS))
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_mistake_of_syntax_is_not_told_again_as_another(
    folder: Path, text: str, at: float, token: bytes
) -> None:
    data = text.encode()
    place = int(at * len(data))
    (folder / "agents/mutant.yaml").write_bytes(data[:place] + token + data[place:])
    result = compile_agents(Project.at(folder), context=CompileContext(env={"TEAM": "Data"}))
    codes = {d.code for d in result.diagnostics}
    if codes & {"yaml-syntax", "tab-indent"}:
        assert codes <= {"yaml-syntax", "tab-indent", "too-many", *FROM_HALF_A_FILE}


@given(data=mutants())
@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_mutant_gives_an_agent_or_an_error(folder: Path, data: bytes) -> None:
    (folder / "agents/mutant.yaml").write_bytes(data)
    context = CompileContext(env={"TEAM": "Data"})
    result = compile_agents(Project.at(folder), context=context)
    failed = any(d.severity == "error" for d in result.diagnostics)
    assert bool(result.agents) != failed
    for diagnostic in result.diagnostics:
        diagnostic.render().encode()
