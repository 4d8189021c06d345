"""retinue.yaml and `extends`: what an agent gets from whom, and what never follows."""

from pathlib import Path

import pytest
from folders import MINIMAL, codes, compiled
from hypothesis import given
from hypothesis import strategies as st
from test_compile_projects import compiled as compiled_folder

from retinue.agent import Agent, Auth, CallerLimits, Http, Stdio
from retinue.compile.document import read_document
from retinue.compile.merge import merged
from retinue.compile.report import Report
from retinue.compile.tree import Node
from retinue.errors import NotSupportedError
from retinue.run.runtime import Runtime
from retinue.storage import Keep, Lakebase, Log, Store
from retinue.values import Ref, Template


def agents(name: str, folder: Path) -> dict[str, Agent]:
    return {agent.name: agent for agent in compiled_folder(name, folder).checked()}


def test_agents_take_what_retinue_yaml_names(tmp_path: Path) -> None:
    found = agents("by-name", tmp_path)
    route = found["list"].model
    assert (route.model, route.timeout.total, dict(route.settings)) == (
        "databricks/claude", 90.0, {"temperature": 0.2},
    )  # fmt: skip
    assert route.deployments[0].api_key == Template((Ref("secret", "llm/key"),))
    assert [server.name for server in found["list"].mcp_servers] == ["tickets", "calc"]
    assert [v.name for v in found["list"].instructions.variables] == ["company"]
    assert found["list"].limits.max_turns == 12
    assert (found["small"].model.model, found["small"].model.deployments[0].api_key) == (
        "databricks/small",
        None,
    )
    assert [v.source for v in found["small"].instructions.variables] == ["clock.date"]


def test_an_agents_own_keys_go_over_shared_ones(tmp_path: Path) -> None:
    agent = agents("by-name", tmp_path)["map"]
    assert dict(agent.model.settings) == {"temperature": 0.2, "seed": 7}
    assert (agent.limits.max_turns, agent.limits.timeout) == (12, 30.0)
    calc, tickets, own = agent.mcp_servers
    assert (calc.name, own.name) == ("calc", "own")
    assert isinstance(tickets.transport, Http)
    assert (tickets.timeout, tickets.include) == (5.0, ("find",))
    assert {v.name: v.default for v in agent.instructions.variables} == {
        "region": "EMEA", "company": "Other",
    }  # fmt: skip


def test_the_last_file_that_is_extended_comes_first_and_the_agent_before_all(
    tmp_path: Path,
) -> None:
    agent = agents("extends", tmp_path)["a"]
    assert (agent.name, agent.model.model) == ("a", "databricks/x")
    assert (agent.limits.max_turns, agent.limits.timeout, agent.limits.max_tool_calls) == (
        4,
        5.0,
        9,
    )
    (region,) = agent.instructions.variables
    assert (region.default, region.source) == ("DACH", None)
    (calc,) = agent.mcp_servers
    assert isinstance(calc.transport, Stdio)
    assert calc.transport.env == (("A", "b"), ("B", "c"))
    assert [source.path for source in agent.sources] == [
        "agents/a.yaml", "agents/parts/base.yaml", "agents/parts/emea.yaml",
        "agents/parts/more.yaml",
    ]  # fmt: skip


KEYED = "model: {name: openai/a, api_key: '${secret.a/b}', api_base: https://a, timeout: 5s}\n"


@pytest.mark.parametrize(
    ("own", "kept"),
    [("{name: openai/a}", True), ("{name: other/b}", False), ("other/b", False), ("{}", True)],
)
def test_a_key_does_not_follow_to_another_model(tmp_path: Path, own: str, kept: bool) -> None:
    files = {
        "base.yaml": KEYED,
        "agents/a.yaml": f"extends: base.yaml\nmodel: {own}\ninstructions: Hi.\n",
    }
    (agent,) = compiled(tmp_path, files).checked()
    assert (agent.model.deployments[0].api_key is not None) == kept
    assert (agent.model.deployments[0].api_base is not None) == kept


@pytest.mark.parametrize("own", ["{url: https://b}", "{command: run}"])
def test_headers_do_not_follow_to_another_server(tmp_path: Path, own: str) -> None:
    base = "mcp_servers: {s: {url: https://a, headers: {K: '${secret.a/b}'}, timeout: 5s}}\n"
    files = {
        "base.yaml": base,
        "agents/a.yaml": f"extends: base.yaml\nmcp_servers: {{s: {own}}}\n" + MINIMAL,
    }
    (agent,) = compiled(tmp_path, files).checked()
    (server,) = agent.mcp_servers
    assert "secret" not in repr(server.transport)
    assert server.timeout == 5.0


def test_a_server_of_the_agents_own_takes_nothing_from_one_of_that_name(tmp_path: Path) -> None:
    files = {
        "retinue.yaml": "mcp_servers: {s: {url: https://a, headers: {K: v}, timeout: 5s}}\n",
        "agents/a.yaml": MINIMAL + "mcp_servers: {s: {url: https://a}}\n",
    }
    (agent,) = compiled(tmp_path, files).checked()
    assert agent.mcp_servers[0].transport == Http(url="https://a")
    assert agent.mcp_servers[0].timeout == 60.0


def test_the_digest_depends_on_every_file_that_went_in(tmp_path: Path) -> None:
    files = {
        "retinue.yaml": "defaults: {limits: {max_turns: 3}}\n",
        "part.yaml": "description: x\n",
    }
    agent = {"agents/a.yaml": "extends: part.yaml\n" + MINIMAL}
    digests = {
        compiled(tmp_path, {**files, **agent, **changed}).checked()[0].digest
        for changed in ({}, {"retinue.yaml": "version: 1\n"}, {"part.yaml": "description: y\n"})
    }
    assert len(digests) == 3


def test_mistakes_in_shared_files_are_told_once(tmp_path: Path) -> None:
    files = {f"agents/a{n}.yaml": "extends: part.yaml\n" + MINIMAL for n in range(5)}
    files["part.yaml"] = "limits: {max_turn: 3}\nskills: [gone]\n"
    files["retinue.yaml"] = "defaults: {instructions: '{{ nope }}', colour: red}\n"
    result = compiled(tmp_path, files)
    assert codes(result) == ["unknown-key", "unknown-skill", "unknown-key"]
    assert result.agents == ()


def test_an_inherited_prompt_is_checked_where_it_stands(tmp_path: Path) -> None:
    files = {
        "retinue.yaml": "defaults:\n  instructions: |\n    Hi\n    {{ nope }}\n",
        "agents/a.yaml": "model: x\n",
        "agents/b.yaml": "model: x\n",
    }
    (said,) = compiled(tmp_path, files).diagnostics
    assert str(said.location) == "retinue.yaml:4:8"


def test_a_long_chain_is_refused(tmp_path: Path) -> None:
    files = {f"p{n}.yaml": f"extends: p{n + 1}.yaml\n" for n in range(200)}
    files["agents/a.yaml"] = "extends: p0.yaml\n" + MINIMAL
    assert codes(compiled(tmp_path, files)) == ["extends-too-deep"]


def test_a_runtime_refuses_what_it_can_not_do(tmp_path: Path) -> None:
    files = {"agents/a.yaml": MINIMAL + "guardrails: {input: [pii]}\n"}
    (agent,) = compiled(tmp_path, files).checked()
    with pytest.raises(NotSupportedError) as raised:
        Runtime([agent])
    assert str(raised.value).splitlines()[1:] == [
        "agents/a.yaml:3:1: 'guardrails' is not supported yet",
    ]


@pytest.mark.parametrize(
    ("written", "store"),
    [
        (
            "sqlite:///${env.DB:-x.db}",
            Store(url=Template(("sqlite:///", Ref("env", "DB", "x.db")))),
        ),
        ("off", Store(url="off")),
        ("{url: 'postgresql://me@db/x'}", Store(url="postgresql://me@db/x")),
        ("{lakebase: agents}", Store(lakebase=Lakebase(name="agents"))),
        ("{log: {requests: false}}", Store(log=Log(requests=False))),
        (
            "{url: off, log: {messages: true}, keep: {logs: 7d}}",
            Store(url="off", log=Log(messages=True), keep=Keep(logs=7 * 86_400.0)),
        ),
        (
            "{lakebase: agents, keep: {responses: forever, conversations: 90d, files: 12h}}",
            Store(
                lakebase=Lakebase(name="agents"),
                keep=Keep(responses=None, conversations=90 * 86_400.0, files=43_200.0),
            ),
        ),
        (
            "{lakebase: {name: projects/p/branches/b/endpoints/e, database: '${secret.lake/db}'}}",
            Store(
                lakebase=Lakebase(
                    name="projects/p/branches/b/endpoints/e",
                    database=Template((Ref("secret", "lake/db"),)),
                )
            ),
        ),
        (
            "{lakebase: {project: agents}}",
            Store(
                lakebase=Lakebase(
                    name=Template((Ref("env", "RETINUE_STORE_ENDPOINT"),)),
                    database="retinue",
                    project="agents",
                )
            ),
        ),
    ],
)
def test_where_state_is_kept(tmp_path: Path, written: str, store: Store) -> None:
    files = {"retinue.yaml": f"store: {written}\n", "agents/a.yaml": MINIMAL}
    (agent,) = compiled(tmp_path, files).checked()
    assert agent.store == store
    Runtime([agent])


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("30", "wrong-type"),
        ("never", "wrong-type"),
        ("null", "wrong-type"),
        ("30m", "wrong-type"),
        ("1.5d", "wrong-type"),
        ("0h", "out-of-range"),
        ("3651d", "out-of-range"),
        ("${env.NOT_A_TIME:-week}", "wrong-type"),
    ],
)
def test_how_long_is_a_time_or_forever(tmp_path: Path, written: str, code: str) -> None:
    files = {
        "retinue.yaml": f"store: {{keep: {{responses: '{written}'}}}}\n",
        "agents/a.yaml": MINIMAL,
    }
    compilation = compiled(tmp_path, files)
    assert codes(compilation) == [code]
    assert "30d" in str(compilation.diagnostics[0]) or "1h" in str(compilation.diagnostics[0])


def test_the_log_has_its_time_where_all_have_theirs(tmp_path: Path) -> None:
    files = {
        "retinue.yaml": "store: {log: {retention_days: 7}}\n",
        "agents/a.yaml": MINIMAL,
    }
    (mistake,) = compiled(tmp_path, files).diagnostics
    assert "keep: {logs: 30d}" in str(mistake.hint)


@pytest.mark.parametrize("host", ["https://a.com", "a", "10.0.0.1", "*a.com", "a.com/x", "[::1]"])
def test_a_host_that_files_come_from_is_a_name(tmp_path: Path, host: str) -> None:
    files = {"agents/a.yaml": MINIMAL + f"serve: {{file_urls: [b.com, '{host}']}}\n"}
    compilation = compiled(tmp_path, files)
    assert codes(compilation) == ["bad-name"]
    assert "*.example.com" in str(compilation.diagnostics[0])


def test_hosts_that_files_come_from(tmp_path: Path) -> None:
    hosts = "[files.Example.com, '*.blob.core.windows.net', '*']"
    files = {
        "retinue.yaml": f"defaults: {{serve: {{file_urls: {hosts}}}}}\n",
        "agents/a.yaml": MINIMAL,
    }
    (agent,) = compiled(tmp_path, files).checked()
    found = ("files.example.com", "*.blob.core.windows.net", "*")
    assert agent.serving.file_urls == found


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("{}", "missing-key"),
        ("{database: x}", "missing-key"),
        ("{name: a, project: b}", "conflicting-keys"),
        ("{project: b, database: c}", "conflicting-keys"),
        ("{project: My_Lake}", "bad-name"),
        ("{project: 9lives}", "bad-name"),
    ],
)
def test_lakebase_has_a_name_or_a_project(tmp_path: Path, written: str, code: str) -> None:
    files = {"retinue.yaml": f"store: {{lakebase: {written}}}\n", "agents/a.yaml": MINIMAL}
    assert codes(compiled(tmp_path, files)) == [code]


def test_a_store_is_in_one_place(tmp_path: Path) -> None:
    files = {
        "retinue.yaml": "store: {url: off, lakebase: agents}\n",
        "agents/a.yaml": MINIMAL,
    }
    assert codes(compiled(tmp_path, files)) == ["conflicting-keys"]


def test_what_each_caller_may_use(tmp_path: Path) -> None:
    written = "serve: {limits: {rate: 60/minute, usd: '${env.BUDGET:-5.00}/day'}}\n"
    files = {"retinue.yaml": written, "agents/a.yaml": MINIMAL}
    (agent,) = compiled(tmp_path, files).checked()
    assert agent.caller_limits == CallerLimits(rate="60/minute", usd="5.00/day")
    Runtime([agent])


def test_what_no_limit_says_is_told_where_it_stands(tmp_path: Path) -> None:
    files = {
        "retinue.yaml": "serve:\n  limits:\n    rate: 60/fortnight\n    tokens: 1000000/day\n"
        "    usd: $5\n",
        "agents/a.yaml": MINIMAL,
    }
    result = compiled(tmp_path, files)
    assert [str(d.location) for d in result.diagnostics] == [
        "retinue.yaml:3:11",
        "retinue.yaml:5:10",
    ]
    assert codes(result) == ["wrong-value"] * 2
    assert [d.message for d in result.diagnostics] == [
        "'60/fortnight' is not a rate: write a number and a time, such as 60/minute",
        "'$5' is not an amount of dollars for a time: write both, such as 5.00/day",
    ]


def test_who_may_call_and_where_the_keys_are(tmp_path: Path) -> None:
    files = {
        "retinue.yaml": "auth: {mode: api_key, keys: '${secret.retinue/api_keys}'}\n",
        "agents/a.yaml": MINIMAL,
        "agents/b.yaml": MINIMAL + "auth: {mode: none}\n",
        "agents/c.yaml": MINIMAL + "auth: {keys: '${secret.other/keys}'}\n",
    }
    secret = Template((Ref("secret", "retinue/api_keys"),))
    found = [agent.auth for agent in compiled(tmp_path, files).checked()]
    assert found == [
        Auth(mode="api_key", keys=secret),
        Auth(mode="none", keys=secret),
        Auth(mode="api_key", keys=Template((Ref("secret", "other/keys"),))),
    ]


def test_api_keys_are_not_written_into_files(tmp_path: Path) -> None:
    files = {"agents/a.yaml": MINIMAL + "auth: {mode: api_key, keys: hunter2}\n"}
    result = compiled(tmp_path, files)
    assert codes(result) == ["secret-in-clear"]


values = st.recursive(
    st.integers() | st.text("ab", max_size=2),
    lambda inner: st.dictionaries(st.text("abc", min_size=1, max_size=1), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text("abc", min_size=1, max_size=1), values, max_size=3)


def tree(value: object) -> Node:
    document = read_document("f.yaml", repr(value).encode(), Report())
    assert document is not None
    return document.root


def plainly(lower: object, upper: object) -> object:
    if not (isinstance(lower, dict) and isinstance(upper, dict)):
        return upper
    both = {**lower, **upper}
    return {k: plainly(lower[k], both[k]) if k in lower and k in upper else both[k] for k in both}


@given(objects, objects, objects)
def test_maps_merge_key_by_key(one: object, two: object, three: object) -> None:
    trees = [tree(value) for value in (one, two, three)]
    assert merged(trees).plain() == plainly(plainly(one, two), three)
