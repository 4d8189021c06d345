"""An app as a bundle declares it for a target, and one as a workspace tells it → one form."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from retinue.cli.deployed.state import Deployed
from retinue.cli.deployed.target import Target
from retinue.values import JsonValue

Tree = Mapping[str, Any]
Form = dict[str, JsonValue]

_PRINCIPALS = {"user_name": "user", "group_name": "group", "service_principal_name": "principal"}
# What a bundle's own permissions are called on an app. Source: the Databricks CLI.
_LEVELS = {"CAN_VIEW": "CAN_USE", "CAN_RUN": "CAN_USE"}


def declared(app_yml: bytes, agent: str, target: Target, user: str) -> Tree:
    """The bundle's resource of an app, with what the target says besides, and values put in.

    Objects are merged, `resources` by their names, other lists are joined, as the Databricks CLI
    does it.
    """
    app = yaml.safe_load(app_yml)["resources"]["apps"][agent]
    for kind, key, content in target.resources():
        if (kind, key) == ("apps", agent):
            app = _merged(app, content)
    given = [_permission(one) for one in target.permissions()]
    if given:
        app = _merged(app, {"permissions": given})
    resolved = _resolved(app, target, user)
    return resolved if isinstance(resolved, dict) else {}


def wanted(app: Tree) -> Form:
    """What people review of a declared app. A value that only a deployment knows is left out."""
    return {
        "compute_size": str(app.get("compute_size") or "MEDIUM"),
        "instances": _instances(app),
        "budget_policy": str(app.get("budget_policy_id") or ""),
        "telemetry": app.get("telemetry_export_destinations") or [],
        "resources": dict(_resources(app.get("resources"))),
        "scopes": [*sorted(map(str, app.get("user_api_scopes") or ()))],
        "grants": dict(_grants(app.get("permissions"))),
    }


def there(deployed: Deployed, beside: Form, user: str) -> Form:
    """The same of an app that is there, as far as `beside` can be compared with it.

    A workspace tells more of a resource than was asked for, and the right of whoever makes or
    deploys the app isn't the bundle's.
    """
    app = deployed.app
    form = wanted(app)
    for key, told in (("compute_size", "compute_size"), ("instances", "compute_max_instances")):
        if app.get(told) is None:
            form[key] = beside[key]
    asked = _object(beside["resources"])
    form["resources"] = {
        name: {key: value for key, value in _object(fields).items() if key in _object(asked[name])}
        if name in asked
        else fields
        for name, fields in _object(form["resources"]).items()
    }
    # Without permissions of its own a bundle leaves the app's as they are.
    has, gets = deployed.grants, _object(beside["grants"])
    makers = {
        f"{kind} {who}" for who in (user, app.get("creator")) for kind in ("user", "principal")
    }
    form["grants"] = (
        {who: level for who, level in has.items() if who in gets or who not in makers}
        if has is not None and gets
        else gets
    )
    return form


def _instances(app: Tree) -> str:
    smallest, largest = (app.get(f"compute_{which}_instances") or 1 for which in ("min", "max"))
    return str(largest) if smallest == largest else f"{smallest}-{largest}"


def _resources(listed: object) -> Iterator[tuple[str, JsonValue]]:
    for resource in listed if isinstance(listed, list) else ():
        for kind, fields in resource.items():
            if isinstance(fields, dict):
                known = {k: v for k, v in fields.items() if "${" not in str(v)}
                yield str(resource.get("name")), {"kind": kind, **known}


def _grants(listed: object) -> Iterator[tuple[str, JsonValue]]:
    for one in listed if isinstance(listed, list) else ():
        for key, who in _PRINCIPALS.items():
            if one.get(key):
                yield f"{who} {one[key]}", str(one.get("level"))


def _permission(given: Tree) -> Tree:
    level = str(given.get("level"))
    return {**given, "level": _LEVELS.get(level, level)}


def _merged(app: Tree, more: Tree) -> Tree:
    merged = dict(app)
    for key, value in more.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            merged[key] = _merged(old, value)
        elif isinstance(old, list) and isinstance(value, list):
            merged[key] = _joined(old, value) if key == "resources" else [*old, *value]
        else:
            merged[key] = value
    return merged


def _joined(old: Sequence[Tree], new: Sequence[Tree]) -> list[Tree]:
    """Resources by their names; a later one is put over an earlier one."""
    by_name = {str(one.get("name")): one for one in old}
    for one in new:
        name = str(one.get("name"))
        by_name[name] = _merged(by_name.get(name, {}), one)
    return [*by_name.values()]


def _resolved(value: object, target: Target, user: str) -> object:
    if isinstance(value, str):
        return target.text(value, user)
    if isinstance(value, dict):
        return {key: _resolved(item, target, user) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolved(item, target, user) for item in value]
    return value


def _object(value: JsonValue) -> dict[str, JsonValue]:
    return value if isinstance(value, dict) else {}
