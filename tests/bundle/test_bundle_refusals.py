"""What compiles and can't be deployed is refused with its reason and its cure."""

from dataclasses import replace

import pytest
from bundling import planned, project_in

from retinue.agent import Unsupported
from retinue.bundle import BundleError, bundle_of, bundled_agents, plan
from retinue.bundle.plan import EnvVar
from retinue.bundle.references import References
from retinue.diagnostics import CompileError, Location
from retinue.errors import ProjectError, UsageError

AGENT = "model: openai/x\ninstructions: Hi.\n"


def refused(folder, text: str = "", model: str = "openai/x") -> str:
    with pytest.raises(BundleError) as error:
        planned(folder, text, model)
    return str(error.value)


def test_an_app_has_at_most_twenty_resources(tmp_path):
    server = "mcp_servers: {it: {databricks: {functions: main.a}, tools: {include: [%s]}}}"
    tools = [f"main__a__f{n}" for n in range(21)]
    assert len(planned(tmp_path, server % ", ".join(tools[:20])).resources) == 20
    said = refused(tmp_path, server % ", ".join(tools))
    assert "it needs 21 resources, and an app has at most 20: f0, f1" in said


def test_an_environment_variable_that_no_app_has_is_named_with_its_place(tmp_path):
    key = 'model: {name: openai/x, api_key: "${env.OPENAI_KEY}"}\ninstructions: Hi.\n'
    project = project_in(tmp_path, it=key, other=AGENT)
    with pytest.raises(BundleError) as error:
        bundle_of(project)
    (problem,) = error.value.problems
    assert problem.startswith("it: agents/it.yaml:1:34: an app has no environment variable OPENAI")


@pytest.mark.parametrize("reference", ["${env.X:-}", "${env.DATABRICKS_APP_NAME}", "$${env.X}"])
def test_a_default_or_what_every_app_has_is_fine(tmp_path, reference):
    server = f'mcp_servers: {{t: {{url: "https://x.example.com/{reference}"}}}}'
    assert planned(tmp_path, server).agent == "it"


def test_every_reference_of_retinue_yaml_counts_since_the_app_compiles_it_too(tmp_path):
    (tmp_path / "retinue.yaml").write_text(
        'models: {unused: {name: openai/x, api_key: "${env.UNUSED}"}}\n'
    )
    assert "retinue.yaml:1:44: an app has no environment variable UNUSED" in refused(tmp_path)


def test_a_target_that_a_secret_says_gets_no_permission(tmp_path):
    server = 'mcp_servers: {s: {databricks: {genie_space: "${secret.a/space}"}}}'
    assert "'s' takes its genie_space from a secret" in refused(tmp_path, server)


def test_two_secrets_with_one_name_in_the_environment_are_refused(tmp_path):
    headers = '{A: "${secret.m/a-b}", B: "${secret.m/a_b}"}'
    server = f"mcp_servers: {{t: {{url: 'https://x.example.com', headers: {headers}}}}}"
    assert "RETINUE_SECRET_M_A_B: rename one" in refused(tmp_path, server)


def test_a_variable_that_no_environment_can_hold_is_refused(tmp_path):
    (tmp_path / "databricks.yml").write_text(
        "variables: {app_suffix: {default: ''}, my-space: {default: x}}\n"
    )
    server = 'mcp_servers: {s: {databricks: {genie_space: "${var.my-space}"}}}'
    assert "'my-space' can't be given to an app" in refused(tmp_path, server)


def test_what_can_t_be_run_isn_t_deployed(tmp_path):
    (bundled,) = bundled_agents(project_in(tmp_path, it=AGENT)).agents
    key = Unsupported(Location("agents/it.yaml", 3, 1), "teleport")
    bundled = replace(bundled, agent=replace(bundled.agent, unsupported=(key,)))
    with pytest.raises(BundleError, match=r"it: agents/it\.yaml:3:1: 'teleport' is not supported"):
        plan(bundled, References((), ()))


def test_an_app_that_asks_for_keys_says_where_they_are(tmp_path):
    assert "add `keys: ${secret.scope/key}`" in refused(tmp_path, "auth: {mode: api_key}")
    app = planned(tmp_path, 'auth: {mode: api_key, keys: "${secret.retinue/keys}"}')
    assert app.env[-1] == EnvVar("RETINUE_SECRET_RETINUE_KEYS", value_from="retinue-keys")


def test_one_name_for_two_things_of_agents_that_share_an_app_is_refused(tmp_path):
    listed = (
        "deploy: {databricks_app: {extra_resources: "
        "[{name: wh, sql_warehouse: {id: %s, permission: CAN_USE}}]}}\n"
    )
    project_in(tmp_path, helper=AGENT + "description: Helps.\n" + listed % "a")
    assert "two are named 'wh'" in refused(tmp_path, "sub_agents: [helper]\n" + listed % "b")
    app = planned(tmp_path, "sub_agents: [helper]\n" + listed % "a")
    assert [resource.name for resource in app.resources] == ["wh"]


def test_everything_that_stands_in_the_way_of_every_agent_is_told(tmp_path):
    keyless = AGENT + "auth: {mode: api_key}\n"
    project = project_in(tmp_path, one=keyless, two=keyless, three=AGENT)
    with pytest.raises(BundleError) as error:
        bundle_of(project)
    assert [problem.partition(":")[0] for problem in error.value.problems] == ["one", "two"]


def test_mistakes_and_unknown_names_are_the_compiler_s(tmp_path):
    project = project_in(tmp_path, it=AGENT + "nonsense: 1\n")
    with pytest.raises(CompileError):
        bundle_of(project)
    with pytest.raises(UsageError):
        bundle_of(project, ["nobody"])


def test_one_broken_agent_doesn_t_stand_in_the_way_of_another(tmp_path):
    project = project_in(tmp_path, it=AGENT + "nonsense: 1\n", fine=AGENT)
    assert [app.agent for app in bundle_of(project, ["fine"]).plans] == ["fine"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("variables: {}\n", "declares no variable 'app_suffix'"),
        ("variables: {app_suffix: {default: dev}}\n", "databricks.yml:1:35: 'dev' can't end"),
        ("variables: {app_suffix: -Dev}\n", "'-Dev' can't end"),
        ("variables: {app_suffix: -a123456789}\n", "at most 10 characters"),
        (
            "variables: {app_suffix: ''}\ntargets: {a: {variables: {app_suffix: {default: -x-}}}}",
            "databricks.yml:2:49: '-x-' can't end",
        ),
        ("[", "can't be read"),
    ],
)
def test_every_target_s_suffix_has_to_fit(tmp_path, text, said):
    (tmp_path / "databricks.yml").write_text(text)
    with pytest.raises(ProjectError) as error:
        bundle_of(project_in(tmp_path, it=AGENT))
    assert said in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "variables: {app_suffix: {default: ''}}\n",
        "variables: {app_suffix: -a12345678}\n",
        "variables: {app_suffix: {description: Given later.}}\n",
        "variables: {app_suffix: '-${var.who}', who: {default: me}}\n",
        "targets: {dev: {variables: {app_suffix: -dev}}}\n",
    ],
)
def test_suffixes_that_fit(tmp_path, text):
    (tmp_path / "databricks.yml").write_text(text)
    assert bundle_of(project_in(tmp_path, it=AGENT)).plans


def test_a_project_without_a_bundle_file_is_told_so(tmp_path):
    project = project_in(tmp_path, it=AGENT)
    (tmp_path / "databricks.yml").unlink()
    with pytest.raises(ProjectError, match=r"no databricks\.yml"):
        bundle_of(project)


TARGETS = (
    "variables: {app_suffix: {default: ''}, turns: {default: 5}, size: {default: MEDIUM}}\n"
    "targets: {dev: {default: true}, prod: {variables: {turns: 9, size: %s}}}\n"
)
CHOICES = (
    'limits: {max_turns: "${var.turns}"}\ndeploy: {databricks_app: {compute_size: "${var.size}"}}\n'
)


def test_numbers_and_choices_may_come_from_variables(tmp_path):
    (tmp_path / "databricks.yml").write_text(TARGETS % "MEDIUM")
    (app,) = bundle_of(project_in(tmp_path, it=AGENT + CHOICES)).plans
    assert app.compute_size == "MEDIUM"
    assert {v.name for v in app.env} >= {"BUNDLE_VAR_turns", "BUNDLE_VAR_size"}


def test_a_choice_that_would_make_another_app_of_a_target_is_refused(tmp_path):
    (tmp_path / "databricks.yml").write_text(TARGETS % "LARGE")
    with pytest.raises(BundleError, match=r"'prod' would need another app.*turns, size"):
        bundle_of(project_in(tmp_path, it=AGENT + CHOICES))


def test_a_file_that_is_too_large_for_an_app_is_named(tmp_path):
    skill = tmp_path / "skills" / "s"
    skill.mkdir(parents=True)
    (skill / "SKILL.md").write_text("---\nname: s\ndescription: Large.\n---\n")
    (skill / "data.bin").write_bytes(bytes(10 * 1024 * 1024 + 1))
    with pytest.raises(BundleError, match=r"it: skills/s/data\.bin has 10,485,761 bytes"):
        bundle_of(project_in(tmp_path, it=AGENT + "skills: [s]\n"))
    (skill / "data.bin").write_bytes(bytes(10 * 1024 * 1024))
    assert bundle_of(project_in(tmp_path)).plans
