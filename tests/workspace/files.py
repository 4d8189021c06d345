"""Workspace files: as the Databricks CLI uploads a bundle, and as an app's folder is read."""

from pathlib import Path, PurePosixPath
from typing import Any

from aiohttp import web

from workspace.fake import Caller, RefusedError, Workspace, fields

MOST_BYTES = 10 * 1_048_576


class Files:
    """Folders, and files with their bytes, by absolute path."""

    def __init__(self, workspace: Workspace) -> None:
        self.files: dict[str, bytes] = {}
        self.folders = {"/", "/Workspace", "/Workspace/Users"}
        on, api = workspace.on, r"/api/2\.0/workspace"
        on("GET", f"{api}/get-status", self._status)
        on("POST", f"{api}/mkdirs", self._mkdirs)
        on("POST", f"{api}/delete", self._delete)
        on("GET", f"{api}/export", self._export)
        on("POST", rf"{api}-files/import-file/.+", self._import)

    def take(self, folder: str, to: Path) -> None:
        """Write what a folder holds to disk, as the platform does for an app."""
        found = {p: data for p, data in self.files.items() if p.startswith(f"{folder}/")}
        assert found, f"{folder} holds nothing"
        for path, data in found.items():
            place = to / path.removeprefix(f"{folder}/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)

    def copy(self, folder: str, to: str) -> None:
        """The files of a folder, once more below another."""
        below = [path for path in self.files if path.startswith(f"{folder}/")]
        self.files |= {f"{to}{path.removeprefix(folder)}": self.files[path] for path in below}
        self.folders |= {to, *(str(PurePosixPath(to).parents[n]) for n in range(2))}

    async def _status(self, request: web.Request, _caller: Caller) -> web.Response:
        return web.json_response(self._object(request.query["path"]))

    def _object(self, path: str) -> dict[str, Any]:
        if path not in self.files and path not in self.folders:
            raise RefusedError(404, "RESOURCE_DOES_NOT_EXIST", f"{path} doesn't exist")
        kind = "FILE" if path in self.files else "DIRECTORY"
        return {"path": path, "object_type": kind, "object_id": abs(hash(path))}

    async def _mkdirs(self, request: web.Request, _caller: Caller) -> web.Response:
        path = PurePosixPath((await fields(request, {"path": str}))["path"])
        if not path.is_absolute() or ".." in path.parts:
            raise RefusedError(400, "INVALID_PARAMETER_VALUE", "the path is not absolute")
        self.folders |= {str(path), *map(str, path.parents)}
        return web.json_response({})

    async def _delete(self, request: web.Request, _caller: Caller) -> web.Response:
        body = await fields(request, {"path": str}, recursive=bool)
        path = body["path"]
        self._object(path)
        below = [p for p in (*self.files, *self.folders) if p.startswith(f"{path}/")]
        if below and not body.get("recursive"):
            raise RefusedError(400, "DIRECTORY_NOT_EMPTY", f"{path} is not empty")
        for each in (path, *below):
            self.files.pop(each, None)
            self.folders.discard(each)
        return web.json_response({})

    async def _export(self, request: web.Request, _caller: Caller) -> web.Response:
        path = request.query["path"]
        if request.query.get("direct_download") != "true" or path not in self.files:
            raise RefusedError(404, "RESOURCE_DOES_NOT_EXIST", f"{path} is no file")
        return web.Response(body=self.files[path])

    async def _import(self, request: web.Request, _caller: Caller) -> web.Response:
        path = "/" + request.path.split("/import-file/", 1)[1].lstrip("/")
        data = await request.read()
        if len(data) > MOST_BYTES:
            raise RefusedError(400, "MAX_NOTEBOOK_SIZE_EXCEEDED", "the file is too large")
        if str(PurePosixPath(path).parent) not in self.folders:
            raise RefusedError(404, "RESOURCE_DOES_NOT_EXIST", "the parent folder doesn't exist")
        if path in self.files and request.query.get("overwrite") != "true":
            raise RefusedError(409, "RESOURCE_ALREADY_EXISTS", f"{path} exists")
        self.files[path] = data
        return web.json_response({})
