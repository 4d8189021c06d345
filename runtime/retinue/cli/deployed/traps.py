"""An app that is to be deployed, and what is there → what would go wrong, and what prevents it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from retinue.cli.deployed.state import Deployed
from retinue.cli.deployed.target import Target
from retinue.diagnostics import printable

Tree = Mapping[str, Any]

# Kinds that a bundle's own permissions go to, of those that an app can have. Source: the
# Databricks CLI (bundle/config/mutator/resourcemutator/apply_bundle_permissions.go).
_PERMITTED = frozenset(
    {
        "apps",
        "database_instances",
        "experiments",
        "genie_spaces",
        "jobs",
        "model_serving_endpoints",
        "postgres_projects",
        "secret_scopes",
        "sql_warehouses",
    }
)
_REFERENCE = re.compile(r"\$\{resources\.(\w+)\.([\w-]+)\.")


def traps(
    agent: str,
    app: Tree,
    target: Target,
    deployed: Deployed | None,
    bundled: frozenset[str] | None,
    root: str | None,
    made: Mapping[tuple[str, str], Tree],
) -> Iterator[str]:
    """Sentences. `app` is the declared one; `bundled` are the agents that the bundle at `root`
    has deployed, None where that isn't known. `made` is what the bundle makes beside apps.
    """
    if deployed is not None:
        yield from _not_bound(agent, target, deployed, bundled, root)
        yield from _unready(deployed)
    yield from _wiped(agent, app, target, made)


def _not_bound(
    agent: str,
    target: Target,
    deployed: Deployed,
    bundled: frozenset[str] | None,
    root: str | None,
) -> Iterator[str]:
    """An app that another bundle, or nobody's, made: a deployment fails on its name."""
    name = printable(str(deployed.app.get("name")))
    known = bundled is not None and agent in bundled
    elsewhere = bool(root and deployed.source and not deployed.source.startswith(f"{root}/"))
    if known or (bundled is None and not elsewhere):
        return
    runs = f", and runs {printable(deployed.source or '')}" if elsewhere else ""
    bind = f"databricks bundle deployment bind {agent} {name} -t {target.name}"
    yield (
        f"the app {name} exists already and isn't of this bundle at {printable(root or '')}{runs}: "
        f"deploy as who made it, take another app_suffix, or take it over with `{bind}`"
    )


def _unready(deployed: Deployed) -> Iterator[str]:
    status = deployed.app.get("compute_status")
    state = status.get("state") if isinstance(status, dict) else None
    if state == "DELETING":
        yield "an app of that name is being deleted, which takes up to 20 minutes: deploy after it"
    elif state == "STOPPED":
        yield "the app is stopped: a deployment starts it"


def _wiped(
    agent: str, app: Tree, target: Target, made: Mapping[tuple[str, str], Tree]
) -> Iterator[str]:
    """A resource of the bundle that sets its permissions anew takes away what the app was given."""
    owned = {(kind, key): content for kind, key, content in target.resources()}
    principal = f"${{resources.apps.{agent}.service_principal_client_id}}"
    for kind, key in dict.fromkeys(_REFERENCE.findall(str(app.get("resources")))):
        if (kind, key) not in owned and (kind, key) not in made:
            continue  # of some agents alone, what they share isn't known
        own = (owned.get((kind, key), {}), made.get((kind, key), {}))
        given = [one for each in own for one in each.get("permissions") or ()]
        everywhere = target.permissions() if kind in _PERMITTED else []
        if not (given or everywhere) or principal in str(given):
            continue
        yield (
            f"the bundle's {kind}.{key} has permissions that leave this app out: the second "
            "deployment would take its grant away. Give them one more: {service_principal_name: "
            f'"{principal}", level: …}}'
        )
