"""What a project's apps share → the YAML that declares it: traces, Genie spaces, the database.

Such a resource may have permissions of the bundle's own, which each deployment sets anew: then the
apps are among them, or the second one would take away what the first gave them. Source: the
Databricks CLI, which warns of it for some kinds (`bundle/apps/validate.go`).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from retinue.bundle.app_file import MARKER, yaml_text
from retinue.bundle.derive import DATABASE, EXPERIMENT, STORE, STORE_BRANCH
from retinue.bundle.plan import AppPlan
from retinue.bundle.spaces import OwnSpace
from retinue.bundle.targets import Targets
from retinue.storage import STORE_DATABASE

BODY = ".geniespace.json"
"""How the names of files end that hold a Genie space's body; the one beside it has the mark."""

_OWNER = f"{STORE}_owner"

Resources = dict[str, dict[str, dict[str, Any]]]


def experiment_yml(path: str, apps: Iterable[AppPlan], targets: Targets) -> str:
    """The MLflow experiment that all apps of the project send their traces to."""
    made: Resources = {"experiments": {EXPERIMENT: {"name": f"{path}${{var.app_suffix}}"}}}
    using = [app.agent for app in apps if app.experiment]
    return _file(
        "retinue.yaml", made, _granted("experiments", EXPERIMENT, "CAN_EDIT", using), targets
    )


def space_yml(space: OwnSpace, apps: Iterable[AppPlan], targets: Targets) -> str:
    """A Genie space; its body lies in the file beside this one."""
    resource = {
        "title": f"{space.title.replace('${', '$ {')}${{var.app_suffix}}",
        "description": space.description.strip().replace("${", "$ {"),
        "warehouse_id": space.warehouse,
        "file_path": f"./{body_name(space)}",
    }
    using = [app.agent for app in apps if space in app.spaces]
    grants = _granted("genie_spaces", space.key, "CAN_RUN", using)
    return _file(space.file, {"genie_spaces": {space.key: resource}}, grants, targets)


def body_name(space: OwnSpace) -> str:
    """The name of the file with a space's body."""
    return f"{space.key}{BODY}"


def store_yml(project: str, apps: Iterable[AppPlan], targets: Targets) -> str:
    """The Lakebase project with the database that all apps of the project keep their state in.

    The database has an owner that nobody logs in as: an app owns the schema that it makes in it.
    """
    name = f"{project}${{var.app_suffix}}"
    made: Resources = {
        "postgres_projects": {STORE: {"project_id": name, "display_name": name}},
        "postgres_roles": {
            _OWNER: {
                "parent": STORE_BRANCH,
                "role_id": "retinue-owner",
                "postgres_role": "retinue_owner",
            }
        },
        "postgres_databases": {
            DATABASE: {
                "parent": STORE_BRANCH,
                "database_id": STORE_DATABASE,
                "postgres_database": STORE_DATABASE,
                "role": f"${{resources.postgres_roles.{_OWNER}.id}}",
            }
        },
    }
    using = [app.agent for app in apps if app.store]
    grants = _granted("postgres_projects", STORE, "CAN_USE", using)
    kept = {"lifecycle": {"prevent_destroy": True}}
    lasting: Resources = {
        "postgres_projects": {STORE: kept},
        "postgres_databases": {DATABASE: kept},
    }
    return _file("retinue.yaml", made, grants, targets, lasting)


def _granted(kind: str, key: str, level: str, agents: Sequence[str]) -> Resources:
    """The right that apps get by having the resource, written as the resource's permissions."""
    principals = [f"${{resources.apps.{agent}.service_principal_client_id}}" for agent in agents]
    listed = [{"service_principal_name": name, "level": level} for name in principals]
    return {kind: {key: {"permissions": listed}}}


def _file(
    source: str,
    made: Resources,
    grants: Resources,
    targets: Targets,
    lasting: Mapping[str, Any] | None = None,
) -> str:
    """`grants` where permissions are set, `lasting` in production."""
    own: dict[str, Resources] = {}
    for name in targets.names:
        added: Resources = {}
        if name in targets.permitting:
            added = _over(added, grants)
        if lasting and name in targets.production:
            added = _over(added, lasting)
        if added:
            own[name] = added
    head = [f"{MARKER} from {source}: change that file, not this one."]
    whole: dict[str, Any] = {"resources": made}
    if own:
        whole["targets"] = {name: {"resources": added} for name, added in own.items()}
    return yaml_text(head, whole)


def _over(under: Resources, over: Mapping[str, Any]) -> Resources:
    return {
        kind: {
            key: {**under.get(kind, {}).get(key, {}), **over.get(kind, {}).get(key, {})}
            for key in (*under.get(kind, {}), *over.get(kind, {}))
        }
        for kind in (*under, *over)
    }
