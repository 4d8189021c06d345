"""What a project's apps share: one database, one experiment, Genie spaces, and who may use them."""

import re
from pathlib import Path

import pytest
import yaml
from bundling import conforms, planned, project_in, resources

from retinue.bundle import bundle_of, stale, write
from retinue.bundle.plan import EnvVar
from retinue.project import Project

GOLDENS = Path(__file__).parent / "shared"
STORE = "store: {lakebase: {project: agents}}\n"
AGENT = "model: openai/x\ninstructions: Hi.\n"


@pytest.fixture(scope="module")
def bundle():
    return bundle_of(Project.at(GOLDENS / "project"))


@pytest.mark.parametrize(
    "path", ["store.yml", "experiment.yml", "genie_spaces/shop_space.yml", "clerk/app.yml"]
)
def test_what_apps_share_is_declared_as_its_golden_says(bundle, golden, path):
    text = bundle.committed[f"bundles/{path}"].decode()
    golden(GOLDENS / path.replace("/", "-"), text)
    whole = yaml.safe_load(text)
    # The schema asks each mention of a resource for all that it needs; the CLI merges them first.
    for target in whole.pop("targets", {}).values():
        for kind, several in target["resources"].items():
            for key, more in several.items():
                whole["resources"][kind][key] |= more
    conforms(yaml.safe_dump(whole))


def test_no_two_resources_have_one_key(bundle):
    """The CLI refuses that, also for two kinds."""
    files = [yaml.safe_load(v) for k, v in bundle.committed.items() if k.endswith(".yml")]
    keys = [key for file in files for several in file["resources"].values() for key in several]
    assert len(keys) == len(set(keys)) > 5


def test_every_app_is_given_the_one_database(bundle):
    for app in bundle.plans:
        (found,) = [r for r in resources(app) if r["kind"] == "postgres"]
        assert found == {
            "kind": "postgres",
            "branch": "${resources.postgres_projects.retinue_store.id}/branches/production",
            "database": "${resources.postgres_databases.retinue_store_database.id}",
            "permission": "CAN_CONNECT_AND_CREATE",
        }
        assert EnvVar("RETINUE_STORE_ENDPOINT", value_from="store") in app.env


def test_it_is_not_deleted_where_a_target_is_for_production(bundle):
    targets = yaml.safe_load(bundle.committed["bundles/store.yml"])["targets"]
    kept = {
        name: {key: one["lifecycle"] for kind in own for key, one in own[kind].items()}
        for name, target in targets.items()
        for own in [target["resources"]]
    }
    lasting = {"prevent_destroy": True}
    assert kept == {
        name: {"retinue_store": lasting, "retinue_store_database": lasting}
        for name in ("staging", "prod")
    }


def test_a_target_s_permissions_leave_no_app_out(bundle):
    """A bundle's own permissions are set anew by each deployment, over what an app was given."""
    whole = {k: yaml.safe_load(v) for k, v in bundle.committed.items() if k.endswith(".yml")}
    for app in bundle.plans:
        declared = whole[f"bundles/{app.agent}/app.yml"]["resources"]["apps"][app.agent]
        used = set(re.findall(r"resources\.(\w+)\.(\w+)\.", str(declared["resources"])))
        principal = f"${{resources.apps.{app.agent}.service_principal_client_id}}"
        for kind, key in used - {("postgres_databases", "retinue_store_database")}:
            (own,) = [
                file["targets"]["prod"]["resources"][kind][key]["permissions"]
                for file in whole.values()
                if key in file["resources"].get(kind, {})
            ]
            assert principal in [one["service_principal_name"] for one in own], (kind, key)
            for name in ("dev", "staging"):
                there = [file.get("targets", {}).get(name) for file in whole.values()]
                assert "permissions" not in str(there)


def test_permissions_of_all_targets_are_those_of_each(tmp_path):
    (tmp_path / "databricks.yml").write_text(
        'bundle: {name: it}\nvariables: {app_suffix: {default: ""}}\n'
        "permissions: [{level: CAN_VIEW, group_name: users}]\ntargets: {dev: {}, prod: {}}\n"
    )
    (tmp_path / "retinue.yaml").write_text(STORE)
    made = bundle_of(project_in(tmp_path, it=AGENT)).committed["bundles/store.yml"]
    assert [*yaml.safe_load(made)["targets"]] == ["dev", "prod"]


def test_the_file_comes_and_goes_with_what_asks_for_it(tmp_path):
    (tmp_path / "retinue.yaml").write_text(STORE)
    project = project_in(tmp_path, it=AGENT)
    assert "bundles/store.yml" in write(project, bundle_of(project)).written
    # Of some agents alone nobody can tell who else shares it.
    assert not write(project, bundle_of(project, ["it"]))
    (tmp_path / "retinue.yaml").unlink()
    assert "bundles/store.yml" in stale(project, bundle_of(project)).removed
    assert "bundles/store.yml" in write(project, bundle_of(project)).removed
    assert not stale(project, bundle_of(project))


def test_a_project_s_id_may_be_a_variable(tmp_path):
    (tmp_path / "databricks.yml").write_text(
        'bundle: {name: it}\nvariables: {app_suffix: {default: ""}, lake: {default: agents}}\n'
        "targets: {dev: {}}\n"
    )
    (tmp_path / "retinue.yaml").write_text("store: {lakebase: {project: '${var.lake}'}}\n")
    assert planned(tmp_path).store == "${var.lake}"
