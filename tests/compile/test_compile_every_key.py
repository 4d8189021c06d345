"""Every key of the format → the frozen agent; what cannot be run yet → a refusal that says so."""

from pathlib import Path

import pytest
from folders import MINIMAL, codes, compiled, project
from test_compile_projects import compiled as compiled_folder

from retinue.agent import (
    Agent,
    Compaction,
    Databricks,
    Guardrail,
    Guardrails,
    Http,
    RemoteAgent,
    Serving,
)
from retinue.compile import CompileContext, compile_agents
from retinue.compile.sub_agents import MAX_DEPTH
from retinue.databricks_app import AppResource, DatabricksApp, Permission, Telemetry
from retinue.errors import NotSupportedError
from retinue.project import Project
from retinue.route import Bound, Deployment, Price, Timeouts
from retinue.run.runtime import Runtime
from retinue.values import Ref, Template


@pytest.fixture
def agents(tmp_path: Path) -> dict[str, Agent]:
    return {agent.name: agent for agent in compiled_folder("every-key", tmp_path).checked()}


def test_a_model_with_fallbacks(agents: dict[str, Agent]) -> None:
    route = agents["sales-analyst"].model
    assert (route.model, route.retries, route.prompt_caching) == ("databricks/claude", 3, True)
    assert route.fallback_on == ("rate_limit", "timeout", "unavailable", "context_window")
    spare, other = route.fallbacks
    assert (spare.model, spare.fallbacks) == ("openai/x", ())
    assert spare.deployments[0].api_key == Template((Ref("secret", "a/b"),))
    assert (other.model, other.deployments[0].api_key) == ("anthropic/claude-sonnet-4-5", None)
    assert dict(other.settings) == {"temperature": 0.2}


def test_a_model_in_several_places(tmp_path: Path) -> None:
    route = good("model-deployments", tmp_path).model
    azure, bedrock, openai = route.deployments
    assert (azure.model, azure.weight) == ("azure/gpt-5.4", 3)
    assert azure.api_key == Template((Ref("secret", "llm/azure"),))
    assert bedrock.region == Template((Ref("env", "AWS_REGION", "eu-central-1"),))
    assert openai == Deployment(model="openai/gpt-5.4")
    assert route.timeout == Timeouts(total=120, first_token=20, idle=30)
    assert dict(route.settings) == {
        "thinking": {"type": "enabled", "budget_tokens": 4096}, "service_tier": "flex", "top_k": 40,
    }  # fmt: skip
    assert dict(route.bounds) == {
        "temperature": Bound(min=0, max=1),
        "max_tokens": Bound(max=8192),
        "reasoning_effort": Bound(values=("low", "medium")),
    }
    (spare,) = route.fallbacks
    assert "top_k" not in spare.settings
    assert spare.timeout == route.timeout


def test_how_a_model_is_reached(tmp_path: Path) -> None:
    (there,) = good("model-price", tmp_path).model.deployments
    assert there.headers == (
        ("X-Team", "analytics"),
        ("X-Key", Template((Ref("secret", "llm/team"),))),
    )
    assert there.price == Price(input=3, output=15, cached_input=0.3, cache_write=3.75)
    assert there.adapter == "litellm"


def test_a_route_has_the_name_that_retinue_yaml_gives_it(agents: dict[str, Agent]) -> None:
    route = agents["sales-analyst"].model
    assert (route.name, [spare.name for spare in route.fallbacks]) == (
        "analyst", ["spare", "anthropic/claude-sonnet-4-5"],
    )  # fmt: skip


def good(name: str, folder: Path) -> Agent:
    """The agent of one of the files that compile."""
    (folder / "agents").mkdir()
    source = Path(__file__).parent / "good" / f"{name}.yaml"
    (folder / "agents" / "good.yaml").write_text(source.read_text())
    (agent,) = compile_agents(Project.at(folder), context=CompileContext()).checked()
    return agent


def test_servers_of_every_databricks_kind(agents: dict[str, Agent]) -> None:
    servers = {server.name: server for server in agents["sales-analyst"].mcp_servers}
    transports = {name: server.transport for name, server in servers.items()}
    written = "${var.sales_space_id}"
    assert transports["sales"] == Databricks(kind="genie_space", target=None, written=written)
    assert transports["sql"] == Databricks(kind="sql", target="")
    assert transports["docs"] == Databricks(
        kind="vector_search", target="main.docs.index", written="main.docs.index"
    )
    assert {t.kind for t in transports.values() if isinstance(t, Databricks)} == {
        "genie_space", "genie", "sql", "functions", "vector_search", "connection", "app",
    }  # fmt: skip
    assert servers["tickets"].rename == (("search_tickets", "find"),)
    assert servers["tickets"].require_approval == ("create_ticket",)


def test_agents_elsewhere(tmp_path: Path) -> None:
    billing, tickets = good("sub-agents-elsewhere", tmp_path).remote_agents
    assert billing == RemoteAgent(
        name="billing",
        agent="org/billing",
        transport=Http(
            url="https://agents.example.com/v1",
            headers=(
                ("X-Team", "analytics"),
                ("X-Key", Template((Ref("secret", "agents/team"),))),
            ),
        ),
        api_key=Template((Ref("secret", "agents/billing"),)),
        description="Knows every invoice.",
        timeout=90.0,
    )
    app = "retinue-dev-tickets"
    assert (tickets.name, tickets.auth) == ("tickets", "user")
    assert tickets.transport == Databricks(kind="app", target=app, written=app)


def test_everything_else(agents: dict[str, Agent]) -> None:
    agent = agents["sales-analyst"]
    assert agent.description == "Answers sales questions."
    assert [skill.scripts for skill in agent.skills] == ["ask"]
    assert [(sub.agent.name, sub.mode) for sub in agent.sub_agents] == [
        ("researcher", "tool"),
        ("escalation", "handoff"),
    ]
    assert agent.output_schema == {
        "type": "object",
        "properties": {"figure": {"type": ["number", "null"], "default": None}},
    }
    assert agent.guardrails == Guardrails(
        input=(Guardrail(type="prompt_injection"),),
        output=(Guardrail(type="pii", action="redact"),),
    )
    assert agent.limits.max_cost_usd == 1.5
    assert agent.compaction == Compaction(at_tokens=50_000, keep_last=10)
    assert agent.serving == Serving(steps="openwebui", system_messages="refuse")
    assert agent.app == DatabricksApp(
        compute_size="LARGE",
        max_instances=3,
        permissions=(Permission(kind="group", name="analysts", level="CAN_USE"),),
        extra_resources=(
            AppResource(
                name="wh",
                kind="sql_warehouse",
                fields=(("id", "${var.warehouse_id}"), ("permission", "CAN_USE")),
            ),
        ),
        budget_policy="${var.warehouse_id}",
        telemetry=Telemetry(
            logs_table="main.ops.logs",
            metrics_table="main.ops.metrics",
            traces_table="${var.warehouse_id}.traces",
        ),
    )
    assert {source.path for source in agent.sources} >= {
        "prompts/description.txt", "schemas/answer.json", "retinue.yaml",
    }  # fmt: skip


def test_a_runtime_names_every_key_that_it_can_not_run(agents: dict[str, Agent]) -> None:
    with pytest.raises(NotSupportedError) as raised:
        Runtime(agents.values())
    lines = str(raised.value).splitlines()
    assert "agents/sales-analyst.yaml:24:1: 'guardrails' is not supported yet" in lines
    assert len(lines) == 1 + sum(len(agent.unsupported) for agent in agents.values())


def test_what_asks_for_nothing_can_be_run(tmp_path: Path) -> None:
    text = MINIMAL + "guardrails: {}\nsub_agents: []\ndeploy: {databricks_app: {}}\n"
    result = compiled(tmp_path, {"agents/a.yaml": text})
    (agent,) = result.agents
    assert (agent.unsupported, result.diagnostics) == ((), ())
    Runtime([agent])


def test_a_circle_is_found_from_one_agent_alone(tmp_path: Path) -> None:
    files = {
        "agents/a.yaml": MINIMAL + "sub_agents: [b]\n",
        "agents/b.yaml": "extends: calls.yaml\n" + MINIMAL,
        "agents/c.yaml": MINIMAL + "sub_agents: [b]\n",
        "calls.yaml": "sub_agents: [a]\n",
    }
    place = project(tmp_path, files)
    assert "agent-cycle" in [d.code for d in compile_agents(place, ["a"]).diagnostics]
    assert compile_agents(place, ["a"]).agents == ()


def test_a_long_chain_of_agents_is_no_circle(tmp_path: Path) -> None:
    files = {f"agents/a{n}.yaml": MINIMAL + f"sub_agents: [a{n + 1}]\n" for n in range(1200)}
    files["agents/a1200.yaml"] = MINIMAL
    result = compiled(tmp_path, files)
    assert "agent-cycle" not in codes(result)
    assert len(result.agents) == MAX_DEPTH


def test_sub_agents_are_whole_agents(tmp_path: Path) -> None:
    files = {
        "agents/a.yaml": MINIMAL + "sub_agents: [b, {agent: c, mode: handoff}]\n",
        "agents/b.yaml": MINIMAL + "sub_agents: [c]\n",
        "agents/c.yaml": MINIMAL,
    }
    place = project(tmp_path, files)
    (a,) = compile_agents(place, ["a"]).checked()
    assert [(s.agent.name, s.mode) for s in a.sub_agents] == [("b", "tool"), ("c", "handoff")]
    assert a.sub_agents[0].agent.sub_agents[0].agent == a.sub_agents[1].agent
    assert [source.path for source in a.sources] == sorted(files)
    (tmp_path / "agents/c.yaml").write_text(MINIMAL.replace("Hi", "Hello"))
    assert compile_agents(place, ["a"]).checked()[0].digest != a.digest


def test_an_agent_that_calls_a_broken_one_is_not_compiled(tmp_path: Path) -> None:
    files = {"agents/a.yaml": MINIMAL + "sub_agents: [b]\n", "agents/b.yaml": "model: x\n"}
    result = compile_agents(project(tmp_path, files), ["a"])
    assert result.agents == ()
    assert [d.location.file for d in result.diagnostics] == ["agents/b.yaml"]


@pytest.mark.parametrize(
    "value", ["'[1]'", "{file: s.yaml}", "s.yaml", "{file: s.yaml, type: object}"]
)
def test_an_output_schema_is_named_or_written(tmp_path: Path, value: str) -> None:
    files = {
        "agents/a.yaml": MINIMAL + f"output_schema: {value}\n",
        "s.yaml": "type: object\nrequired: [a]\n",
    }
    result = compiled(tmp_path, files)
    found = [agent.output_schema for agent in result.agents]
    if value == "'[1]'":
        assert "file-not-found" in codes(result)
    elif value.endswith("object}"):
        assert found == [{"file": "s.yaml", "type": "object"}]
    else:
        assert found == [{"type": "object", "required": ["a"]}]
