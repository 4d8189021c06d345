"""Databricks Apps: the resource, its deployments and who may use it."""

import asyncio
import re
from typing import Any

from aiohttp import web

from workspace.fake import Caller, RefusedError, Workspace, fields
from workspace.files import Files
from workspace.shared import Shared

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,28}[a-z0-9])?")
SCALARS = {
    "description": str,
    "compute_size": str,
    "resources": list,
    "user_api_scopes": list,
    "budget_policy_id": str,
    "compute_min_instances": int,
    "compute_max_instances": int,
    "usage_policy_id": str,
    "git_repository": dict,
    "telemetry_export_destinations": list,
}
# What an app's resource kinds need beside their name.
KINDS = {
    "serving_endpoint": {"name", "permission"},
    "sql_warehouse": {"id", "permission"},
    "secret": {"scope", "key", "permission"},
    "genie_space": {"name", "space_id", "permission"},
    "uc_securable": {"securable_full_name", "securable_type", "permission"},
    "experiment": {"experiment_id", "permission"},
    "job": {"id", "permission"},
    "database": {"instance_name", "database_name", "permission"},
    "postgres": {"branch", "database", "permission"},
    "app": {"name", "permission"},
}
SUCCEEDED = {"state": "SUCCEEDED"}
LEVELS = ("CAN_USE", "CAN_MANAGE")


class Apps:
    """Apps by name. `addresses` says where the one of a name is reached."""

    def __init__(self, workspace: Workspace, files: Files, shared: Shared) -> None:
        self._shared = shared
        self.apps: dict[str, dict[str, Any]] = {}
        self.deployments: dict[str, list[dict[str, Any]]] = {}
        self.grants: dict[str, list[dict[str, str]]] = {}
        self.addresses: dict[str, str] = {}
        self._files = files
        on, api = workspace.on, r"/api/2\.0/apps"
        on("GET", api, self._list)
        on("POST", api, self._create)
        on("GET", f"{api}/[^/]+", self._get)
        on("DELETE", f"{api}/[^/]+", self._delete)
        on("POST", f"{api}/[^/]+/(?:start|stop)", self._switch)
        on("POST", f"{api}/[^/]+/update", self._update)
        on("POST", f"{api}/[^/]+/deployments", self._deploy)
        on("GET", f"{api}/[^/]+/deployments", self._deployments)
        on("GET", f"{api}/[^/]+/deployments/[^/]+", self._deployment)
        on("*", r"/api/2\.0/permissions/apps/[^/]+", self._permissions)

    def may_use(self, name: str, caller: Caller) -> bool:
        """Whether the platform's proxy lets that user in."""
        return any(grant.get("user_name") == caller.name for grant in self.grants.get(name, ()))

    def _found(self, request: web.Request, part: int = 4) -> dict[str, Any]:
        name = request.path.split("/")[part]
        if name not in self.apps:
            raise RefusedError(404, "RESOURCE_DOES_NOT_EXIST", f"there is no app '{name}'")
        made = self.deployments[name]
        # The app tells its variables' values, a deployment by itself only their names.
        runs = made and self.apps[name]["compute_status"]["state"] == "ACTIVE"
        active = {"active_deployment": {**made[-1], "status": SUCCEEDED}} if runs else {}
        url = self.addresses.get(name, self.apps[name]["url"])
        return {**self.apps[name], **active, "url": url}

    async def _list(self, request: web.Request, _caller: Caller) -> web.Response:
        # Pages are small, so that whoever reads them has to turn them.
        names = sorted(self.apps)
        start = int(request.query.get("page_token", "0"))
        page = [
            {**self.apps[n], "url": self.addresses.get(n, self.apps[n]["url"])}
            for n in names[start : start + 2]
        ]
        more = {"next_page_token": str(start + 2)} if start + 2 < len(names) else {}
        return web.json_response({"apps": page, **more})

    async def _create(self, request: web.Request, caller: Caller) -> web.Response:
        body = await fields(request, {"name": str}, **SCALARS)
        name = body["name"]
        if not NAME.fullmatch(name):
            raise RefusedError(400, "INVALID_PARAMETER_VALUE", f"'{name}' is no name of an app")
        if name in self.apps:
            raise RefusedError(409, "RESOURCE_ALREADY_EXISTS", f"an app '{name}' exists")
        _check_resources(body.get("resources", []))
        stopped = request.query.get("no_compute") == "true"
        self.apps[name] = {
            **body,
            "creator": caller.name,
            "url": f"https://{name}-1.aws.databricksapps.com",
            "service_principal_client_id": f"sp-of-{name}",
            "compute_status": {"state": "STOPPED" if stopped else "ACTIVE"},
            "app_status": {"state": "UNAVAILABLE"},
        }
        self._shared.allow(f"sp-of-{name}", body.get("resources", []))
        self.deployments[name] = []
        self.grants[name] = [_owner(caller.name)]
        return web.json_response(self.apps[name])

    async def _get(self, request: web.Request, _caller: Caller) -> web.Response:
        return web.json_response(self._found(request))

    async def _delete(self, request: web.Request, _caller: Caller) -> web.Response:
        return web.json_response(self.apps.pop(self._found(request)["name"]))

    async def _switch(self, request: web.Request, _caller: Caller) -> web.Response:
        app = self.apps[self._found(request)["name"]]
        app["compute_status"] = {"state": "ACTIVE" if request.path.endswith("start") else "STOPPED"}
        return web.json_response(app)

    async def _update(self, request: web.Request, _caller: Caller) -> web.Response:
        app = self.apps[self._found(request)["name"]]
        body = await fields(request, {"app": dict, "update_mask": str})
        if body["app"].keys() - SCALARS.keys() - {"name"} or body["app"].get("name") != app["name"]:
            raise RefusedError(400, "INVALID_PARAMETER_VALUE", f"not of an app: {[*body['app']]}")
        given = {key: body["app"].get(key) for key in body["update_mask"].split(",")}
        if unknown := given.keys() - SCALARS.keys():
            raise RefusedError(400, "INVALID_PARAMETER_VALUE", f"can't update {sorted(unknown)}")
        _check_resources(given.get("resources") or [])
        self._shared.allow(app["service_principal_client_id"], given.get("resources") or [])
        app |= given
        return web.json_response({"status": {"state": "SUCCEEDED"}})

    async def _deploy(self, request: web.Request, caller: Caller) -> web.Response:
        app = self.apps[self._found(request)["name"]]
        body = await fields(
            request, {"source_code_path": str, "mode": str}, command=list, env_vars=list
        )
        if app["compute_status"]["state"] != "ACTIVE":
            raise RefusedError(400, "INVALID_STATE", "the app's compute doesn't run")
        if body["source_code_path"] not in self._files.folders:
            raise RefusedError(404, "RESOURCE_DOES_NOT_EXIST", "there is no such folder")
        known = {resource["name"] for resource in app.get("resources", ())}
        for variable in body.get("env_vars", ()):
            if variable.keys() not in ({"name", "value"}, {"name", "value_from"}):
                raise RefusedError(400, "INVALID_PARAMETER_VALUE", f"a variable has {[*variable]}")
            if variable.get("value_from", next(iter(known), None)) not in {*known, None}:
                raise RefusedError(400, "INVALID_PARAMETER_VALUE", "value_from names no resource")
        number = str(len(self.deployments[app["name"]]) + 1)
        # The platform keeps a copy, which outlives what is uploaded later.
        copy = f"/Workspace/Users/{app['service_principal_client_id']}/src/{number}"
        self._files.copy(body["source_code_path"], copy)
        made = {
            **body,
            "deployment_id": number,
            "create_time": f"2026-11-0{number}T10:00:00Z",
            "creator": caller.name,
            "deployment_artifacts": {"source_code_path": copy},
        }
        self.deployments[app["name"]].append(made)
        app["app_status"] = {"state": "RUNNING"}
        app["default_source_code_path"] = body["source_code_path"]
        return web.json_response({**_shown(made), "status": {"state": "IN_PROGRESS"}})

    async def _deployments(self, request: web.Request, _caller: Caller) -> web.Response:
        # The latest first, and few to a page.
        made = self.deployments[self._found(request)["name"]][::-1]
        start = int(request.query.get("page_token", "0"))
        page = [_shown(one) for one in made[start : start + 2]]
        more = {"next_page_token": str(start + 2)} if start + 2 < len(made) else {}
        return web.json_response({"app_deployments": page, **more})

    async def _deployment(self, request: web.Request, _caller: Caller) -> web.Response:
        await asyncio.sleep(0)
        name, number = self._found(request)["name"], request.path.rpartition("/")[2]
        for made in self.deployments[name]:
            if made["deployment_id"] == number:
                return web.json_response(_shown(made))
        raise RefusedError(404, "RESOURCE_DOES_NOT_EXIST", "no such deployment")

    async def _permissions(self, request: web.Request, _caller: Caller) -> web.Response:
        name = self._found(request, part=5)["name"]
        if request.method in ("PUT", "PATCH"):
            given = (await fields(request, {"access_control_list": list}))["access_control_list"]
            if wrong := [g for g in given if g.get("permission_level") not in LEVELS]:
                raise RefusedError(400, "INVALID_PARAMETER_VALUE", f"no such level: {wrong}")
            owner = _owner(self.apps[name]["creator"])
            before = self.grants[name] if request.method == "PATCH" else [owner]
            self.grants[name] = [*before, *given]
        listed = [_listed(grant) for grant in self.grants[name]]
        return web.json_response({"object_type": "apps", "access_control_list": listed})


def _owner(name: str) -> dict[str, str]:
    """Who makes an app may manage it, whatever else is granted."""
    return {"user_name": name, "permission_level": "CAN_MANAGE"}


def _listed(grant: dict[str, str]) -> dict[str, Any]:
    who = {key: value for key, value in grant.items() if key != "permission_level"}
    level = {"permission_level": grant["permission_level"], "inherited": False}
    return {**who, "all_permissions": [level]}


def _shown(deployment: dict[str, Any]) -> dict[str, Any]:
    """Of variables a deployment tells the names."""
    env = [{"name": variable["name"]} for variable in deployment.get("env_vars", ())]
    return {**deployment, "env_vars": env, "status": SUCCEEDED}


def _check_resources(resources: list[dict[str, Any]]) -> None:
    if len(resources) > 20:
        raise RefusedError(400, "INVALID_PARAMETER_VALUE", "more than 20 resources")
    for resource in resources:
        (kind,) = resource.keys() - {"name", "description"}
        if kind not in KINDS or resource[kind].keys() != KINDS[kind]:
            raise RefusedError(400, "INVALID_PARAMETER_VALUE", f"wrong resource: {resource}")
