"""What an app needs and no bundle can grant → statements for whoever may grant it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from retinue.bundle import AppPlan
from retinue.cli.deployed.target import Target
from retinue.diagnostics import printable
from retinue.run.workspace_api import Answer, WorkspaceApi

Tree = Mapping[str, Any]

_PRINCIPAL = "the app's service principal"
_TABLE = "<catalog>.<schema>.<table>"


def notes(plan: AppPlan, principal: str | None) -> Iterator[str]:
    """What `retinue bundle` says, with the service principal's id where there is one already."""
    for note in plan.notes:
        yield note.replace(_PRINCIPAL, f"`{principal}`") if principal else note


async def statements(
    manifest: Tree, target: Target, principal: str | None, api: WorkspaceApi | None
) -> list[str]:
    """SQL for the tables behind Genie spaces, and a command for their warehouses.

    The space itself tells of them, where there is a workspace and it may be seen.
    """
    who = principal or "<service principal's application id>"
    found: list[str] = []
    for space in _spaces(manifest, target):
        answer = Answer(404)
        if api is not None and "${" not in space:
            query = "include_serialized_space=true"
            answer = await api.get(f"/api/2.0/genie/spaces/{quote(space, safe='')}?{query}")
        found += _granting(_tables(answer) or [_TABLE], who)
        warehouse = answer.body.get("warehouse_id")
        shown = printable(warehouse) if isinstance(warehouse, str) else "<the space's warehouse>"
        grant = {"service_principal_name": who, "permission_level": "CAN_USE"}
        body = json.dumps({"access_control_list": [grant]})
        found.append(f"databricks permissions update warehouses {shown} --json '{body}'")
    return [*dict.fromkeys(found)]


def _spaces(manifest: Tree, target: Target) -> Iterator[str]:
    """Those that the app asks as itself."""
    for agent in manifest["agents"].values():
        for server in agent.get("mcp_servers", {}).values():
            transport = server["transport"]
            if transport.get("kind") == "genie_space" and server.get("auth") == "app":
                yield target.text(transport["target"])


def _tables(answer: Answer) -> list[str]:
    try:
        sources = json.loads(str(answer.body.get("serialized_space")))["data_sources"]
        names = [str(table["identifier"]) for table in sources["tables"]]
    except (ValueError, TypeError, KeyError):
        return []
    return [name for name in names if name.count(".") == 2]


def _granting(tables: list[str], who: str) -> Iterator[str]:
    catalogs = dict.fromkeys(table.split(".")[0] for table in tables)
    schemas = dict.fromkeys(table.rpartition(".")[0] for table in tables)
    yield from (f"GRANT USE CATALOG ON CATALOG {_name(c)} TO `{who}`;" for c in catalogs)
    yield from (f"GRANT USE SCHEMA ON SCHEMA {_name(s)} TO `{who}`;" for s in schemas)
    yield from (f"GRANT SELECT ON TABLE {_name(t)} TO `{who}`;" for t in tables)


def _name(name: str) -> str:
    """A name as SQL takes it: what isn't plain is quoted."""
    parts = printable(name).split(".")
    return ".".join(
        part if part.replace("_", "a").isalnum() or part[0] == "<" else _quoted(part)
        for part in parts
    )


def _quoted(part: str) -> str:
    return "`" + part.replace("`", "``") + "`"
