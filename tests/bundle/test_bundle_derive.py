"""What an app is allowed follows from what its agent reaches, and from nothing else."""

import pytest
from bundling import planned, resources

from retinue.bundle import BundleError
from retinue.bundle.names import secret_variable
from retinue.run.references import environment
from retinue.values import Ref

SERVER = "mcp_servers: {it: {databricks: {%s}%s}}"


@pytest.mark.parametrize(
    "model",
    [
        "openai/gpt-5",
        '{name: databricks/x, api_key: "${secret.a/b}"}',
        "{name: databricks/x, api_base: https://other.example.com/serving-endpoints}",
    ],
)
def test_a_model_elsewhere_or_with_a_key_needs_no_endpoint(tmp_path, model):
    app = planned(tmp_path, model=model)
    assert "serving_endpoint" not in [r["kind"] for r in resources(app)]
    assert app.scopes == ()


def test_a_model_elsewhere_is_told_of_that_would_find_no_key_in_an_app(tmp_path):
    told = planned(tmp_path, model="{name: anthropic/a, fallbacks: [groq/b, databricks/c]}").notes
    assert [note.partition(":")[0] for note in told] == [
        "a key for anthropic/a",
        "a key for groq/b",
    ]
    keyed = '{name: anthropic/a, api_key: "${secret.keys/anthropic}"}'
    assert planned(tmp_path, model=keyed).notes == ()


def test_a_model_asked_as_the_caller_needs_a_scope_and_no_permission(tmp_path):
    app = planned(tmp_path, model="{name: databricks/x, auth: user}")
    assert (app.resources, app.scopes) == ((), ("model-serving",))


def test_every_deployment_and_fallback_needs_its_endpoint_once(tmp_path):
    model = (
        "{deployments: [{name: databricks/a}, {name: databricks/b}, {name: openai/c}], "
        "fallbacks: [databricks/d, databricks/a]}"
    )
    app = planned(tmp_path, model=model)
    assert [r["name"] for r in resources(app)] == ["a", "b", "d"]
    assert {r["permission"] for r in resources(app)} == {"CAN_QUERY"}


@pytest.mark.parametrize(
    ("server", "scope"),
    [
        ("genie: true", "genie"),
        ("sql: true", "sql"),
        ("functions: main.a.b", "unity-catalog"),
        ("vector_search: main.a.b", "ai-search"),
        ("connection: c", "unity-catalog"),
        ("app: some-app", "apps"),
    ],
)
def test_a_server_reached_as_the_caller_needs_a_scope_and_no_permission(tmp_path, server, scope):
    app = planned(tmp_path, SERVER % (server, ", auth: user"))
    assert (app.resources, app.scopes, app.notes) == ((), (scope,), ())


def test_an_agent_in_another_app_is_reached_as_the_app_or_as_the_caller(tmp_path):
    entry = "sub_agents: [{agent: billing, databricks: {app: bills}%s}]"
    app = planned(tmp_path, entry % "")
    assert {"name": "bills", "permission": "CAN_USE"} in [
        {key: r[key] for key in ("name", "permission")}
        for r in resources(app)
        if r["kind"] == "app"
    ]
    assert app.scopes == ()
    asked_as_caller = planned(tmp_path, entry % ", auth: user")
    assert "app" not in [r["kind"] for r in resources(asked_as_caller)]
    assert asked_as_caller.scopes == ("apps",)


def test_the_key_of_an_agent_elsewhere_is_a_secret_of_the_app(tmp_path):
    entry = 'sub_agents: [{agent: b, url: "https://x.example.com/v1", api_key: "${secret.a/b}"}]'
    assert [r["key"] for r in resources(planned(tmp_path, entry)) if r["kind"] == "secret"] == ["b"]


def test_a_genie_space_is_opened_by_the_app_whoever_asks(tmp_path):
    app = planned(tmp_path, SERVER % ("genie_space: abc", ", auth: user"))
    assert [r["permission"] for r in resources(app)] == ["CAN_RUN"]
    assert (app.scopes, app.notes) == (("genie",), ())


def test_a_schema_s_functions_are_allowed_one_by_one_or_left_to_a_person(tmp_path):
    by_name = ", tools: {include: [main__a__one, main__a__two]}"
    app = planned(tmp_path, SERVER % ("functions: main.a", by_name))
    assert [r["securable_full_name"] for r in resources(app)] == ["main.a.one", "main.a.two"]
    for include in (
        "",
        ', tools: {include: ["main__a__*"]}',
        ", tools: {include: [main__a__x, y]}",
    ):
        app = planned(tmp_path, SERVER % ("functions: main.a", include))
        assert app.resources == ()
        assert "EXECUTE ON SCHEMA main.a" in app.notes[0]


def test_sql_asks_for_a_warehouse_until_there_is_one(tmp_path):
    assert any("warehouse" in n for n in planned(tmp_path, SERVER % ("sql: true", "")).notes)
    listed = (
        "\ndeploy: {databricks_app: {extra_resources: "
        "[{name: wh, sql_warehouse: {id: w, permission: CAN_USE}}]}}"
    )
    app = planned(tmp_path, SERVER % ("sql: true", "") + listed)
    assert not any("sql_warehouse" in note for note in app.notes)


def test_what_the_file_lists_replaces_what_would_be_derived(tmp_path):
    text = (
        "deploy: {databricks_app: {extra_resources: ["
        "{name: mine, serving_endpoint: {name: big, permission: CAN_MANAGE}},"
        "{name: token, secret: {scope: a, key: b, permission: WRITE}}]}}\n"
        'mcp_servers: {it: {url: "https://x.example.com", headers: {K: "${secret.a/b}"}}}\n'
    )
    app = planned(tmp_path, text, model="databricks/big")
    assert [(r.name, r.kind) for r in app.resources] == [
        ("mine", "serving_endpoint"),
        ("token", "secret"),
    ]
    assert [(v.name, v.value_from) for v in app.env if v.value_from] == [
        ("RETINUE_SECRET_A_B", "token")
    ]


@pytest.mark.parametrize("name", ["mcp/token", "a.b-c/d_e@f", "x/ÄÖ"])
def test_a_secret_lies_where_the_runtime_looks_for_it(name):
    found = environment({secret_variable(*name.split("/")): "value"})
    assert found(Ref("secret", name)) == "value"


def test_a_store_on_the_app_s_disk_is_pointed_out(tmp_path):
    (tmp_path / "retinue.yaml").write_text("store: sqlite:///x.db\n")
    assert "PostgreSQL" in planned(tmp_path).notes[0]


def test_a_store_in_an_instance_is_a_database_of_the_app(tmp_path):
    (tmp_path / "retinue.yaml").write_text("store: {lakebase: agents}\n")
    (found,) = resources(planned(tmp_path))
    assert found == {
        "kind": "database",
        "instance_name": "agents",
        "database_name": "databricks_postgres",
        "permission": "CAN_CONNECT_AND_CREATE",
    }
    listed = "{name: mine, database: {instance_name: agents, database_name: databricks_postgres}}"
    app = planned(tmp_path, f"deploy: {{databricks_app: {{extra_resources: [{listed}]}}}}")
    assert [r.name for r in app.resources] == ["mine"]


def test_a_store_in_a_project_is_to_be_listed_by_its_path(tmp_path):
    branch = "projects/p/branches/b"
    (tmp_path / "retinue.yaml").write_text(f"store: {{lakebase: {branch}/endpoints/e}}\n")
    app = planned(tmp_path)
    assert app.resources == ()
    assert f"databricks postgres list-databases {branch}" in app.notes[0]
    listed = f"{{name: mine, postgres: {{branch: {branch}, database: {branch}/databases/d}}}}"
    app = planned(tmp_path, f"deploy: {{databricks_app: {{extra_resources: [{listed}]}}}}")
    assert ([r.kind for r in app.resources], app.notes) == (["postgres"], ())


def test_a_volume_for_files_is_one_of_the_app(tmp_path):
    store = "store: {url: '${secret.a/b}', files: /Volumes/main/agents/files/kept}\n"
    (tmp_path / "retinue.yaml").write_text(store)
    found = next(one for one in resources(planned(tmp_path)) if one["kind"] == "uc_securable")
    assert found["securable_full_name"] == "main.agents.files"
    assert (found["securable_type"], found["permission"]) == ("VOLUME", "WRITE_VOLUME")
    (tmp_path / "retinue.yaml").write_text("store: {url: '${secret.a/b}', files: kept}\n")
    assert "keep `store.files` in a volume" in planned(tmp_path).notes[0]


def test_a_store_that_a_secret_names_can_t_be_granted(tmp_path):
    (tmp_path / "retinue.yaml").write_text('store: {lakebase: "${secret.a/b}"}\n')
    with pytest.raises(BundleError, match="`store` takes its Lakebase database from a secret"):
        planned(tmp_path)


def test_an_experiment_is_one_by_id_or_one_that_the_bundle_makes(tmp_path):
    (tmp_path / "retinue.yaml").write_text('observability: {mlflow_experiment: "123"}\n')
    app = planned(tmp_path)
    assert (resources(app)[0]["experiment_id"], app.experiment) == ("123", None)
    (tmp_path / "retinue.yaml").write_text("observability: {mlflow_experiment: /Shared/x}\n")
    app = planned(tmp_path)
    assert resources(app)[0]["experiment_id"] == "${resources.experiments.retinue_traces.id}"
    assert app.experiment == "/Shared/x"


def test_traces_go_to_their_own_experiment_whatever_else_is_listed(tmp_path):
    (tmp_path / "retinue.yaml").write_text('observability: {mlflow_experiment: "123"}\n')
    listed = "deploy: {databricks_app: {extra_resources: [%s]}}"
    one = '{name: %s, experiment: {experiment_id: "%s", permission: CAN_READ}}'
    for entries, wanted in (
        (one % ("runs", "456"), "experiment"),
        (f"{one % ('runs', '456')}, {one % ('mine', '123')}", "mine"),
    ):
        app = planned(tmp_path, listed % entries)
        given = [v.value_from for v in app.env if v.name == "MLFLOW_EXPERIMENT_ID"]
        assert given == [wanted]


def test_the_commit_is_known_where_versions_are_noted_and_nowhere_else(tmp_path):
    def commits():
        return [v.value for v in planned(tmp_path).env if v.name == "RETINUE_GIT_COMMIT"]

    assert commits() == []
    (tmp_path / "retinue.yaml").write_text('observability: {mlflow_experiment: "123"}\n')
    assert commits() == ["${bundle.git.commit}"]


def test_an_environment_variable_s_default_is_what_an_app_has(tmp_path):
    app = planned(tmp_path, SERVER % ('connection: "${env.CONNECTION:-github}"', ""))
    assert resources(app)[0]["securable_full_name"] == "github"
