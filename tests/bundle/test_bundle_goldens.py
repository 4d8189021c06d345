"""A project whose agents between them need every kind of resource that files can ask for."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from bundling import FLEET, REPOSITORY, conforms, plans

from retinue.bundle import bundle_of, stale
from retinue.bundle.app_file import MARKER, app_yaml, app_yml, digest_yml
from retinue.project import Project

APPS = Path(__file__).parent / "apps"
PLANS = {app.agent: app for app in plans(Project.at(FLEET))}


@pytest.mark.parametrize("name", sorted(PLANS))
def test_an_app_is_declared_as_its_golden_says(name, golden):
    text = app_yml(PLANS[name])
    golden(APPS / f"{name}.yml", text)
    conforms(text)


def test_there_is_no_golden_without_an_agent():
    assert {path.stem for path in APPS.glob("*.yml")} == PLANS.keys()


def test_the_agents_need_every_kind_between_them():
    found = {resource.kind for app in PLANS.values() for resource in app.resources}
    assert found == {
        "app",
        "database",
        "experiment",
        "genie_space",
        "job",
        "postgres",
        "secret",
        "serving_endpoint",
        "sql_warehouse",
        "uc_securable",
    }
    securables = {
        dict(resource.fields)["securable_type"]
        for app in PLANS.values()
        for resource in app.resources
        if resource.kind == "uc_securable"
    }
    assert securables == {"FUNCTION", "TABLE", "VOLUME", "CONNECTION"}


def test_the_other_files_are_what_a_bundle_takes():
    conforms(digest_yml(PLANS["genie"], "0123456789abcdef"))
    assert yaml.safe_load(digest_yml(PLANS["genie"], "1234567890123456")) == {
        "variables": {
            "digest_genie": {
                "description": "The digest of bundles/genie/source.",
                "default": "1234567890123456",
            }
        }
    }


def test_the_app_s_own_file_says_what_a_bundle_would_but_for_its_variables():
    own = yaml.safe_load(app_yaml(PLANS["genie"]))
    assert own["command"] == list(PLANS["genie"].command)
    assert {"name": "RETINUE_SECRET_OTEL_TOKEN", "valueFrom": "otel-token"} in own["env"]
    assert "${" not in app_yaml(PLANS["genie"])
    assert "# Set BUNDLE_VAR_sales_space_id" in app_yaml(PLANS["genie"])


def test_a_text_that_looks_like_something_else_stays_a_text():
    odd = ["1e5", "0x1f", "yes", "null", "~", "1_000", "- a", "a: b", "a #b", "", "'", "é\n", "*a"]
    for text in odd:
        app = replace(PLANS["plain"], description=text)
        read = yaml.safe_load(app_yml(app))["resources"]["apps"]["plain"].get("description", "")
        assert read == text


def test_a_description_can_t_be_taken_for_a_variable():
    app = replace(PLANS["plain"], description="costs ${var.secret}")
    assert "${var.secret}" not in app_yml(app)


def test_the_bundle_of_this_repository_is_up_to_date():
    project = Project.at(REPOSITORY)
    bundle = bundle_of(project)
    assert not stale(project, bundle), "run retinue bundle"
    for path, data in bundle.committed.items():
        conforms(data.decode())
        assert data.decode().startswith(MARKER), path


def test_the_project_s_own_bundle_file_is_what_a_bundle_takes():
    conforms((REPOSITORY / "databricks.yml").read_text())


def test_a_plan_has_no_trace_of_how_it_was_made():
    assert not [name for name, app in PLANS.items() if "retinue-var-" in app_yml(app)]
