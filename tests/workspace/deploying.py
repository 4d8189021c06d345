"""A bundled agent → an app of the fake workspace, by the requests that the Databricks CLI makes;
and its folder → a process, with the environment that the platform gives an app and no more.
"""

import asyncio
import os
import re
import signal
import socket
from base64 import b64decode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from run.fake_workspace import CLIENT
from workspace.apps import Apps
from workspace.fake import Workspace
from workspace.files import Files
from workspace.genie import Genie
from workspace.model_serving import Serving
from workspace.shared import Shared

MODEL = "databricks-claude-sonnet-4-5"
ROOT = "/Workspace/Users/deployer@example.com/.bundle/retinue/prod/files"


@dataclass
class Cloud:
    """A workspace and its areas."""

    workspace: Workspace
    files: Files
    apps: Apps
    serving: Serving
    genie: Genie
    shared: Shared

    @property
    def url(self) -> str:
        return self.workspace.url

    async def create(self, app: str) -> None:
        """Make an app that has no code of its own yet."""
        signed = {"Authorization": f"Bearer {self.workspace.sign_in('owner@example.com')}"}
        async with httpx.AsyncClient(headers=signed, trust_env=False) as http:
            got = await http.post(f"{self.url}/api/2.0/apps", json={"name": app})
            assert got.status_code == 200, got.text


@asynccontextmanager
async def cloud() -> AsyncIterator[Cloud]:
    """A workspace that runs, with one model."""
    made = Workspace()
    files = Files(made)
    async with made.running():
        shared = Shared(made)
        apps = Apps(made, files, shared)
        yield Cloud(made, files, apps, Serving(made, MODEL), Genie(made), shared)


async def deploy(to: Cloud, project: Path, agent: str, values: Mapping[str, str]) -> str:
    """Make the bundle's Genie spaces, upload the agent's folder, make its app, deploy its code; the
    app's name.
    """
    folder = project / "bundles" / agent
    known = {**values}
    for file in (folder / "digest.yml", project / "databricks.yml"):
        for name, variable in yaml.safe_load(file.read_text()).get("variables", {}).items():
            known.setdefault(name, variable.get("default"))
    spaces: dict[str, str] = {}

    def resource(file: Path, kind: str) -> dict[str, Any]:
        """The only resource of that kind in a file, with what it refers to in it."""
        text = re.sub(r"\$\{var\.([\w-]+)\}", lambda m: known[m[1]], file.read_text())
        own = r"\$\{resources\.genie_spaces\.(\w+)\.space_id\}"
        found = yaml.safe_load(re.sub(own, lambda m: spaces[m[1]], text))["resources"][kind]
        (declared,) = found.values()
        return dict(declared)

    source = f"{ROOT}/bundles/{agent}/source"
    token = to.workspace.sign_in("deployer@example.com")
    signed = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=to.url, headers=signed, trust_env=False) as http:

        async def send(method: str, path: str, **more: Any) -> dict[str, Any]:
            got = await http.request(method, path, **more)
            assert got.status_code == 200, (path, got.text)
            return got.json()

        for file in sorted((project / "bundles/genie_spaces").glob("*.yml")):
            space = resource(file, "genie_spaces")
            space["serialized_space"] = (file.parent / space.pop("file_path")).read_text()
            spaces[file.stem] = (await send("POST", "/api/2.0/genie/spaces", json=space))[
                "space_id"
            ]
        app = resource(folder / "app.yml", "apps")
        for place in sorted((folder / "source").rglob("*")):
            path = f"{source}/{place.relative_to(folder / 'source').as_posix()}"
            if place.is_dir():
                await send("POST", "/api/2.0/workspace/mkdirs", json={"path": path})
            elif place.suffix != ".pyc":
                parent = {"path": path.rpartition("/")[0]}
                await send("POST", "/api/2.0/workspace/mkdirs", json=parent)
                there = f"/api/2.0/workspace-files/import-file{path}?overwrite=true"
                await send("POST", there, content=place.read_bytes())
        kept = ("name", "description", "compute_size", "resources", "user_api_scopes")
        await send("POST", "/api/2.0/apps", json={k: app[k] for k in kept if k in app})
        deployment = {
            "mode": "SNAPSHOT",
            "source_code_path": source,
            "command": app["config"]["command"],
            "env_vars": app["config"]["env"],
        }
        path = f"/api/2.0/apps/{app['name']}/deployments"
        made = await send("POST", path, json=deployment)
        done = await send("GET", f"{path}/{made['deployment_id']}")
        assert done["status"]["state"] == "SUCCEEDED"
    return str(app["name"])


async def grant(to: Cloud, app: str, *users: str) -> None:
    """Let users use an app, as its owner does."""
    signed = {"Authorization": f"Bearer {to.workspace.sign_in('owner@example.com')}"}
    grants = [{"user_name": user, "permission_level": "CAN_USE"} for user in users]
    async with httpx.AsyncClient(headers=signed, trust_env=False) as http:
        path = f"{to.url}/api/2.0/permissions/apps/{app}"
        got = await http.put(path, json={"access_control_list": grants})
        assert got.status_code == 200, got.text


@dataclass
class AppProcess:
    """An app that runs. What it writes is in `stdout` and `stderr` as it comes."""

    process: asyncio.subprocess.Process
    url: str
    folder: Path
    home: Path
    written: dict[str, list[str]] = field(default_factory=lambda: {"stdout": [], "stderr": []})

    @property
    def log(self) -> str:
        return "".join(self.written["stdout"] + self.written["stderr"])

    async def ready(self, within: float = 60) -> None:
        """Until it answers, as the platform asks for it."""
        async with asyncio.timeout(within), httpx.AsyncClient(trust_env=False) as http:
            while True:
                assert self.process.returncode is None, self.log
                try:
                    if (await http.get(f"{self.url}/health", timeout=5)).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.05)

    async def heard(self, text: str, within: float = 60) -> None:
        """Until it has logged that."""
        async with asyncio.timeout(within):
            while text not in self.log:
                assert self.process.returncode is None, self.log
                await asyncio.sleep(0.05)

    async def stop(self, within: float = 15) -> int:
        """The platform's end: SIGTERM, and 15 seconds. The exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), within)


@asynccontextmanager
async def started(of: Cloud, app: str, place: Path, python: str) -> AsyncIterator[AppProcess]:
    """The last deployment of an app as a process in `place`, which is empty."""
    deployment = of.apps.deployments[app][-1]
    folder, home, temporary = (place / name for name in ("app", "home", "tmp"))
    home.mkdir(parents=True)
    temporary.mkdir()
    of.files.take(deployment["source_code_path"], folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env = {
        "PATH": f"{Path(python).parent}:{os.defpath}",
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "DATABRICKS_HOST": of.url,
        "DATABRICKS_CLIENT_ID": CLIENT[0],
        "DATABRICKS_CLIENT_SECRET": CLIENT[1],
        "DATABRICKS_WORKSPACE_ID": "1",
        "DATABRICKS_APP_NAME": app,
        "DATABRICKS_APP_PORT": str(port),
        "PORT": str(port),
        **{v["name"]: _value(of, app, v) for v in deployment["env_vars"]},
    }
    command = [w.replace("$DATABRICKS_APP_PORT", str(port)) for w in deployment["command"]]
    assert command[0] == "python"
    pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
    process = await asyncio.create_subprocess_exec(
        python, *command[1:], cwd=folder, env=env, **pipes
    )
    running = AppProcess(process, f"http://127.0.0.1:{port}", folder, home)

    async def follow(name: str, stream: asyncio.StreamReader) -> None:
        async for line in stream:
            running.written[name].append(line.decode())

    assert process.stdout and process.stderr
    pumps = asyncio.gather(follow("stdout", process.stdout), follow("stderr", process.stderr))
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await pumps


def _value(of: Cloud, app: str, variable: Mapping[str, str]) -> str:
    """A variable's value; by `value_from`, what the platform gives for a resource."""
    if "value" in variable:
        return variable["value"]
    resources = {r["name"]: r for r in of.apps.apps[app]["resources"]}
    resource = resources[variable["value_from"]]
    if "secret" in resource:
        scope, key = resource["secret"]["scope"], resource["secret"]["key"]
        return b64decode(of.workspace.secrets[scope, key]).decode()
    if "genie_space" in resource:
        return str(resource["genie_space"]["space_id"])
    return str(resource["serving_endpoint"]["name"])
