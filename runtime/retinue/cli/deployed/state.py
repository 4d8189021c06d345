"""An app's name → what is deployed of it, as its workspace tells: settings, files, grants.

Source of the paths and fields: https://docs.databricks.com/api/workspace/apps/get,
https://docs.databricks.com/api/workspace/apps/getpermissions and
https://docs.databricks.com/api/workspace/workspace/export
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from retinue.bundle.manifest import FILE, VERSION
from retinue.cli.deployed.app import refuse
from retinue.run.workspace import Workspace
from retinue.run.workspace_api import WorkspaceApi

Tree = Mapping[str, Any]

_PRINCIPALS = {"user_name": "user", "group_name": "group", "service_principal_name": "principal"}


@dataclass(frozen=True, slots=True)
class Deployed:
    """An app that is there. `manifest` is what its folder says of its agent; None where that
    can't be read, or no code was ever deployed. `grants` map who to the highest level, such as
    `group analysts` to `CAN_USE`; None where they may not be seen.
    """

    app: Tree
    manifest: Tree | None = None
    grants: Mapping[str, str] | None = None

    @property
    def principal(self) -> str | None:
        """The application id of its service principal."""
        found = self.app.get("service_principal_client_id")
        return found if isinstance(found, str) else None

    @property
    def active(self) -> Tree:
        """Its last deployment of code; empty where there is none."""
        return _tree(self.app.get("active_deployment"))

    @property
    def source(self) -> str | None:
        """The workspace folder that its code was deployed from.

        A stopped app tells of no deployment, and a deployment may tell of the platform's own copy:
        the Databricks CLI, too, compares the app's default.
        """
        default = self.app.get("default_source_code_path")
        return _path({"source_code_path": default}) or _path(self.active)


@dataclass(slots=True)
class State:
    """Reads what is deployed. Each method raises DeployedError where the workspace refuses."""

    workspace: Workspace
    api: WorkspaceApi
    _user: str = field(default="")

    async def user(self) -> str:
        """Who is logged in."""
        if not self._user:
            answer = await self.api.get("/api/2.0/preview/scim/v2/Me")
            refuse(answer, self.workspace)
            self._user = str(answer.body.get("userName", ""))
        return self._user

    async def app(self, name: str) -> Deployed | None:
        """The app of that name, or None."""
        answer = await self.api.get(f"/api/2.0/apps/{quote(name, safe='')}")
        if answer.status == 404:
            return None
        refuse(answer, self.workspace)
        listed = await self.api.get(f"/api/2.0/permissions/apps/{quote(name, safe='')}")
        grants = dict(_grants(listed.body)) if listed.status == 200 else None
        found = Deployed(answer.body, grants=grants)
        for folder in dict.fromkeys((snapshot(found.active), _path(found.active), found.source)):
            if folder and (tree := await self.manifest(folder)):
                return Deployed(answer.body, tree, grants)
        return found

    async def manifest(self, folder: str) -> Tree | None:
        """What an app's folder says of its agent; None where it says nothing that can be read."""
        path = quote(f"{folder.rstrip('/')}/{FILE}", safe="")
        answer = await self.api.get(f"/api/2.0/workspace/export?path={path}&direct_download=true")
        readable = answer.status == 200 and answer.body.get("version") == VERSION
        return answer.body if readable else None

    async def bundled(self, root: str) -> frozenset[tuple[str, str]] | None:
        """Kind and key of what the bundle at `root` has made; None where that can't be told.

        Source: the Databricks CLI's state of its direct engine.
        """
        path = quote(f"{root}/state/resources.json", safe="")
        answer = await self.api.get(f"/api/2.0/workspace/export?path={path}&direct_download=true")
        if answer.status == 404:
            return frozenset()
        state = answer.body.get("state")
        if answer.status != 200 or not isinstance(state, dict):
            return None
        # Beside `resources.KIND.KEY` there are parts of one, such as its permissions.
        named = (tuple(key.split(".")[1:]) for key in state if key.startswith("resources."))
        return frozenset((parts[0], parts[1]) for parts in named if len(parts) == 2)


def snapshot(deployment: Tree) -> str | None:
    """The platform's own copy of a deployment's files, which nothing uploaded later changes."""
    return _path(_tree(deployment.get("deployment_artifacts")))


def _path(holder: Tree) -> str | None:
    path = holder.get("source_code_path")
    return path if isinstance(path, str) and path.startswith("/") else None


def _grants(body: Tree) -> Iterator[tuple[str, str]]:
    """Those of the app itself, without what comes from elsewhere."""
    listed = body.get("access_control_list")
    for entry in listed if isinstance(listed, list) else ():
        who = next((f"{w} {entry[key]}" for key, w in _PRINCIPALS.items() if entry.get(key)), None)
        given = [entry, *(entry.get("all_permissions") or ())]
        own = [g.get("permission_level") for g in given if not g.get("inherited")]
        levels = sorted(str(level) for level in own if level)
        if who and levels:
            yield who, levels[0]  # CAN_MANAGE comes before CAN_USE


def _tree(value: object) -> Tree:
    return value if isinstance(value, dict) else {}
