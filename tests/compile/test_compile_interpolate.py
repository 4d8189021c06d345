"""`${...}`: the grammar, where each kind may stand, and where its value comes from."""

from pathlib import Path

import pytest
from folders import MINIMAL, codes, compiled
from hypothesis import given
from hypothesis import strategies as st

from retinue.agent import Databricks, Http, Stdio
from retinue.compile import CompileContext
from retinue.compile.interpolate import Malformed, Reference, escape, parts
from retinue.values import Ref, Template

BUNDLE = """
variables:
  size: {default: 3}
  region: {default: EMEA}
  space: {description: none}
  nested: {default: "${var.region}-${bundle.target}"}
  loop: {default: "${var.loop}"}
  lookup: {lookup: {warehouse: w}}
targets:
  dev: {default: true}
  prod: {variables: {region: APAC, space: {default: abc}}}
"""


@given(st.text())
def test_escaped_text_reads_back_as_itself(text: str) -> None:
    assert parts(escape(text)) == ([text] if text else [])


names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
refs = st.one_of(
    st.builds(
        Ref, st.just("env"), names, st.none() | st.from_regex(r"[^}$\n]{0,9}", fullmatch=True)
    ),
    st.builds(Ref, st.just("secret"), st.tuples(names, names).map("/".join)),
    st.just(Ref("workspace", "host")),
)


# A "$" before a reference escapes it: that is what the grammar says.
literals = st.text().filter(lambda text: not text.endswith("$"))


@given(st.lists(st.one_of(literals, refs)))
def test_references_read_back_from_what_they_are_shown_as(pieces: list[str | Ref]) -> None:
    text = "".join(escape(p) if isinstance(p, str) else str(p) for p in pieces)
    found = [
        Ref(part.kind, part.name, part.default) if isinstance(part, Reference) else part  # type: ignore[arg-type]
        for part in parts(text)
    ]
    assert not any(isinstance(part, Malformed) for part in found)
    assert "".join(map(str, found)) == "".join(map(str, pieces))
    assert [p for p in found if isinstance(p, Ref)] == [p for p in pieces if isinstance(p, Ref)]


@given(st.text(alphabet="${}env.varsecret/:-X \n"))
def test_any_text_is_cut_without_loss(text: str) -> None:
    again = (
        escape(part) if isinstance(part, str) else text[part.start : part.end]
        for part in parts(text)
    )
    assert "".join(again) == text


def test_env_and_secrets_stay_references_where_they_are_used(tmp_path: Path) -> None:
    agent_file = """
model: {name: x, api_key: "${secret.llm/key}", api_base: "https://${workspace.host}/v1"}
instructions: Hi ${env.WHO}.
mcp_servers:
  a: {url: "https://${env.HOST:-h}/", headers: {A: "Bearer ${env.TOKEN}"}}
  b: {command: run, args: ["--key=${secret.a/b}"], env: {K: "${env.TOKEN}"}}
"""
    env = {"WHO": "you", "TOKEN": "very-secret-value"}
    result = compiled(tmp_path, {"agents/a.yaml": agent_file}, CompileContext(env=env))
    (agent,) = result.checked()
    assert agent.instructions.text == "Hi you."
    assert agent.model.deployments[0].api_key == Template((Ref("secret", "llm/key"),))
    assert agent.model.deployments[0].api_base == Template(
        ("https://", Ref("workspace", "host"), "/v1")
    )
    http, stdio = (server.transport for server in agent.mcp_servers)
    assert isinstance(http, Http)
    assert http.url == Template(("https://", Ref("env", "HOST", "h"), "/"))
    assert http.headers == (("A", Template(("Bearer ", Ref("env", "TOKEN")))),)
    assert isinstance(stdio, Stdio)
    assert stdio.args == (Template(("--key=", Ref("secret", "a/b"))),)
    assert "very-secret-value" not in repr(agent)


def test_an_unset_env_may_wait_for_run_time_only_where_it_is_used_then(tmp_path: Path) -> None:
    text = 'model: {name: x, api_key: "${env.KEY}"}\ninstructions: hi\n'
    files = {"agents/a.yaml": text}
    assert codes(compiled(tmp_path, files)) == ["unset-env"]
    assert codes(compiled(tmp_path, files, CompileContext(defer_env=True))) == []
    files = {"agents/a.yaml": text + "description: ${env.NOT_SET}\n"}
    assert codes(compiled(tmp_path, files, CompileContext(defer_env=True))) == ["unset-env"]


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (CompileContext(), "EMEA EMEA-dev 3"),
        (CompileContext(target="prod"), "APAC APAC-prod 3"),
        (CompileContext(target="prod", env={"BUNDLE_VAR_region": "LATAM"}), "LATAM LATAM-prod 3"),
        (
            CompileContext({"BUNDLE_VAR_region": "LATAM"}, {"region": "NA", "size": "4"}, "prod"),
            "NA NA-prod 4",
        ),
    ],
)
def test_variables_follow_the_order_of_the_databricks_cli(
    tmp_path: Path, context: CompileContext, expected: str
) -> None:
    text = 'model: x\ninstructions: hi\ndescription: "${var.region} ${var.nested} ${var.size}"\n'
    result = compiled(tmp_path, {"agents/a.yaml": text, "databricks.yml": BUNDLE}, context)
    (agent,) = result.checked()
    assert agent.description == expected


def test_overrides_that_the_cli_keeps_come_before_the_target(tmp_path: Path) -> None:
    text = "model: x\ninstructions: hi\ndescription: ${var.region}\n"
    files = {
        "agents/a.yaml": text,
        "databricks.yml": BUNDLE,
        ".databricks/bundle/prod/variable-overrides.json": '{"region": "MENA"}',
    }
    (agent,) = compiled(tmp_path, files, CompileContext(target="prod")).checked()
    assert agent.description == "MENA"


def test_variables_of_included_files_count(tmp_path: Path) -> None:
    files = {
        "agents/a.yaml": "model: x\ninstructions: hi\ndescription: ${var.far}\n",
        "databricks.yml": "include: [resources/*.yml, ../*.yml]\n",
        "resources/v.yml": "variables: {far: {default: away}}\n",
    }
    (agent,) = compiled(tmp_path, files).checked()
    assert agent.description == "away"


@pytest.mark.parametrize("name", ["space", "lookup", "loop"])
def test_a_databricks_target_may_wait_for_deployment(tmp_path: Path, name: str) -> None:
    text = MINIMAL + f'mcp_servers: {{g: {{databricks: {{genie_space: "${{var.{name}}}"}}}}}}\n'
    (agent,) = compiled(tmp_path, {"agents/a.yaml": text, "databricks.yml": BUNDLE}).checked()
    transport = agent.mcp_servers[0].transport
    assert transport == Databricks(kind="genie_space", target=None, written=f"${{var.{name}}}")
    elsewhere = MINIMAL + f"description: ${{var.{name}}}\n"
    result = compiled(tmp_path, {"agents/a.yaml": elsewhere})
    assert codes(result) == ["unset-variable"]


def test_a_databricks_target_with_a_value_is_known(tmp_path: Path) -> None:
    text = MINIMAL + 'mcp_servers: {g: {databricks: {genie_space: "${var.space}"}}}\n'
    files = {"agents/a.yaml": text, "databricks.yml": BUNDLE}
    (agent,) = compiled(tmp_path, files, CompileContext(target="prod")).checked()
    assert agent.mcp_servers[0].transport == Databricks(
        kind="genie_space", target="abc", written="${var.space}"
    )


def test_an_unknown_target_is_an_error_in_databricks_yml(tmp_path: Path) -> None:
    files = {"agents/a.yaml": MINIMAL, "databricks.yml": BUNDLE}
    (said,) = compiled(tmp_path, files, CompileContext(target="prd")).diagnostics
    assert (said.code, said.location.file, said.hint) == (
        "unknown-target", "databricks.yml", "did you mean 'prod'?",
    )  # fmt: skip


@pytest.mark.parametrize(
    "bundle",
    ["a: [", "- x", "", "variables: 5\ntargets: [a]\ninclude: x", "variables: {a: }", b"\xff"],
)
def test_a_broken_databricks_yml_stops_no_agent(tmp_path: Path, bundle: str | bytes) -> None:
    result = compiled(tmp_path, {"agents/a.yaml": MINIMAL, "databricks.yml": bundle})
    assert len(result.checked()) == 1


def test_a_million_references_in_one_value_are_refused_at_once(tmp_path: Path) -> None:
    text = "model: x\ninstructions: " + "${env.A}" * 100_000
    assert codes(compiled(tmp_path, {"agents/a.yaml": text})) == ["too-many-references"]
