"""What several apps of a bundle use: Lakebase projects, and the permissions of such things.

An app that is made with one among its resources is given its right to it, and a list of permissions
that is set later goes over that.
"""

import re
from typing import Any

from aiohttp import web

from workspace.fake import Caller, RefusedError, Workspace, fields

PROJECT = re.compile(r"[a-z][a-z0-9-]{0,61}[a-z0-9]")
BELOW = re.compile(r"[a-z][a-z0-9-]{2,61}[a-z0-9]")


class Shared:
    """Lakebase by name, and who may do what by `experiments/ID` and the like."""

    def __init__(self, workspace: Workspace) -> None:
        self.lakebase: dict[str, dict[str, Any]] = {}
        self.grants: dict[str, dict[str, str]] = {}
        on, api = workspace.on, r"/api/2\.0/postgres"
        on("POST", f"{api}/projects", self._project)
        on("POST", rf"{api}/(projects/[^/]+/branches/[^/]+)/(?:roles|databases)", self._below)
        on("GET", rf"{api}/projects/.+", self._get)
        objects = r"(?:experiments|genie/spaces|database-projects)"
        on("*", rf"/api/2\.0/permissions/{objects}/[^/]+", self._permissions)

    def allow(self, principal: str, resources: list[dict[str, Any]]) -> None:
        """What the platform does for an app's service principal. Refuses what isn't there."""
        for resource in resources:
            match resource:
                case {"experiment": {"experiment_id": number, "permission": level}}:
                    self._allow(f"experiments/{number}", principal, level)
                case {"genie_space": {"space_id": space, "permission": level}}:
                    self._allow(f"genie/spaces/{space}", principal, level)
                case {"postgres": {"branch": branch, "database": database}}:
                    for name in (branch, database):
                        self._found(name)
                    self._allow(f"database-projects/{branch.split('/')[1]}", principal, "CAN_USE")

    def _allow(self, thing: str, principal: str, level: str) -> None:
        self.grants.setdefault(thing, {})[principal] = level

    def _found(self, name: str) -> dict[str, Any]:
        if name not in self.lakebase:
            raise RefusedError(404, "NOT_FOUND", f"{name} not found")
        return self.lakebase[name]

    async def _project(self, request: web.Request, _caller: Caller) -> web.Response:
        body = await fields(request, {"spec": dict})
        name = f"projects/{request.query['project_id']}"
        if not PROJECT.fullmatch(request.query["project_id"]):
            raise RefusedError(400, "INVALID_PARAMETER_VALUE", "no id of a project")
        for each in ("", "/branches/production", "/branches/production/endpoints/primary"):
            self._make(name + each, body["spec"])
        return _done(self.lakebase[name])

    async def _below(self, request: web.Request, _caller: Caller) -> web.Response:
        path = request.path.removeprefix("/api/2.0/postgres/")
        branch, _, kind = path.rpartition("/")
        self._found(branch)
        spec = (await fields(request, {"spec": dict}))["spec"]
        number = request.query["role_id" if kind == "roles" else "database_id"]
        if not BELOW.fullmatch(number):
            raise RefusedError(400, "INVALID_PARAMETER_VALUE", f"'{number}' is no id")
        if kind == "databases":
            self._found(spec.get("role", "the role"))
        return _done(self._make(f"{path}/{number}", spec))

    def _make(self, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        if name in self.lakebase:
            raise RefusedError(409, "ALREADY_EXISTS", f"{name} exists already")
        self.lakebase[name] = {"name": name, "status": spec}
        return self.lakebase[name]

    async def _get(self, request: web.Request, _caller: Caller) -> web.Response:
        return web.json_response(self._found(request.path.removeprefix("/api/2.0/postgres/")))

    async def _permissions(self, request: web.Request, _caller: Caller) -> web.Response:
        thing = request.path.removeprefix("/api/2.0/permissions/")
        if request.method == "PUT":
            given = (await fields(request, {"access_control_list": list}))["access_control_list"]
            self.grants[thing] = {_who(one): one["permission_level"] for one in given}
        listed = [
            {"service_principal_name": who, "all_permissions": [{"permission_level": level}]}
            for who, level in self.grants.get(thing, {}).items()
        ]
        return web.json_response({"access_control_list": listed})


def _who(grant: dict[str, str]) -> str:
    (who,) = (value for key, value in grant.items() if key != "permission_level")
    return who


def _done(response: dict[str, Any]) -> web.Response:
    """An operation that is over at once."""
    operation = f"{response['name']}/operations/1"
    return web.json_response({"name": operation, "done": True, "response": response})
