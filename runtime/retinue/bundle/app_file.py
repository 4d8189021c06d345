"""An app's plan → the YAML that declares it: `app.yml` for a bundle, `app.yaml` for the UI."""

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import yaml

from retinue.bundle.plan import AppPlan, EnvVar
from retinue.databricks_app import AppResource, Permission, Telemetry

MARKER = "# Made by `retinue bundle`"
"""How every file starts that this room writes: files without it are never removed."""

_PLAIN = re.compile(r"(?:[A-Za-z$/]|\./)[\w${}./@ -]*")
"""Texts that mean themselves in every version of YAML; `01e5` for one is a number in some."""


def app_yml(plan: AppPlan) -> str:
    """The bundle's resource of one app, with `source/` beside the file as its folder.

    Source: `resources.apps` of the bundle's JSON schema (`databricks bundle schema`).
    """
    smallest, largest = plan.instances
    instances = {"compute_min_instances": smallest, "compute_max_instances": largest}
    app = {
        "name": f"{plan.agent}${{var.app_suffix}}",
        # No bundle has a way to write `${` that isn't looked up.
        "description": plan.description.replace("${", "$ {"),
        "source_code_path": "./source",
        "compute_size": plan.compute_size,
        **(instances if largest > 1 else {}),
        "config": {
            "command": list(plan.command),
            "env": [_env(variable, "value_from") for variable in plan.env],
        },
        "resources": [_resource(resource) for resource in plan.resources],
        "user_api_scopes": list(plan.scopes),
        "permissions": [_permission(permission) for permission in plan.permissions],
        "budget_policy_id": plan.budget_policy or "",
        "telemetry_export_destinations": _telemetry(plan.telemetry),
        # Without it a deployment would neither start the app nor give it new code.
        "lifecycle": {"started": True},
    }
    given = {key: value for key, value in app.items() if value not in ("", [])}
    head = [f"{MARKER} from {plan.file}: change that file, not this one."]
    if plan.notes:
        head += ["# No bundle can grant these:", *(f"# - {note}" for note in plan.notes)]
    return yaml_text(head, {"resources": {"apps": {plan.agent: given}}})


def app_yaml(plan: AppPlan) -> str:
    """What the app's folder says of itself, where it is deployed without a bundle.

    Values of bundle variables aren't in it: then the app's own environment has to give them.
    """
    env = [_env(v, "valueFrom") for v in plan.env if v.value_from]
    missing = [v.name for v in plan.env if v.name.startswith("BUNDLE_VAR_")]
    head = [f"{MARKER} from {plan.file}; a bundle's deployment goes over it."]
    head += [f"# Set {name} where no bundle does." for name in missing]
    return yaml_text(head, {"command": list(plan.command), **({"env": env} if env else {})})


def digest_yml(plan: AppPlan, digest: str) -> str:
    """The bundle variable whose change deploys the folder's files again."""
    variable = {
        "description": f"The digest of bundles/{plan.agent}/source.",
        "default": digest,
    }
    return yaml_text([f"{MARKER}."], {"variables": {plan.digest_variable: variable}})


def _env(variable: EnvVar, from_key: str) -> dict[str, str]:
    if variable.value_from is not None:
        return {"name": variable.name, from_key: variable.value_from}
    return {"name": variable.name, "value": variable.value or ""}


def _resource(resource: AppResource) -> dict[str, Any]:
    described = {"description": resource.description} if resource.description else {}
    return {"name": resource.name, **described, resource.kind: dict(resource.fields)}


def _permission(permission: Permission) -> dict[str, str]:
    return {f"{permission.kind}_name": permission.name, "level": permission.level}


def _telemetry(telemetry: Telemetry | None) -> list[dict[str, Any]]:
    return [{"unity_catalog": asdict(telemetry)}] if telemetry else []


class _Dumper(yaml.SafeDumper):
    """Lists are indented, and a text is quoted wherever some reader might take it otherwise."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless and False)

    def ignore_aliases(self, _data: Any) -> bool:
        """What stands in two places is written twice: nobody reviews by following anchors."""
        return True


def _quoted(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if _PLAIN.fullmatch(text) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _quoted)


def yaml_text(head: Sequence[str], content: dict[str, Any]) -> str:
    """A file with the lines of `head` above its content."""
    body = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000_000)
    return "\n".join([*head, body])
