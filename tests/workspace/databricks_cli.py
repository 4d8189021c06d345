"""A stand-in for the `databricks` command, for the workspace that tests play.

`bundle deploy` runs the hook, uploads the folders, makes or updates the apps, deploys their code
where the declaration changed, and keeps its state in the workspace: the requests of the Databricks
CLI's direct engine, in the order in which it makes them. FAKE_CLI_VERSION is what it calls itself,
FAKE_CLI_LOG a file for what it was called with, FAKE_CLI_FAILS a message to fail with; with
FAKE_CLI_LIGHT the runtime's 250 files aren't uploaded.
"""

import configparser
import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import yaml

from workspace.cli_shared import SharedResources

VERSION = os.environ.get("FAKE_CLI_VERSION", "1.13.0")
APPS = "resources.apps."
USER = "deployer@example.com"
# What an update names, whether it changed or not.
KEPT = (
    "description",
    "budget_policy_id",
    "usage_policy_id",
    "resources",
    "user_api_scopes",
    "compute_size",
    "compute_min_instances",
    "compute_max_instances",
    "git_repository",
    "telemetry_export_destinations",
)


def main() -> int:
    words = sys.argv[1:]
    if log := os.environ.get("FAKE_CLI_LOG"):
        with Path(log).open("a") as file:
            file.write(" ".join(words) + "\n")
    if words == ["--version"]:
        print(f"Databricks CLI v{VERSION}")
        return 0
    options = dict(pairwise(words))
    bundle = yaml.safe_load(Path("databricks.yml").read_text())
    hook = bundle.get("experimental", {}).get("scripts", {}).get("preinit")
    if hook and (done := subprocess.run(hook, shell=True, check=False)).returncode:
        print(f"Error: failed to execute script: exit status {done.returncode}", file=sys.stderr)
        return 1
    if failure := os.environ.get("FAKE_CLI_FAILS"):
        print(f"Error: {failure}", file=sys.stderr)
        return 1
    target = options.get("-t", "dev")
    given = dict(w.split("=", 1) for k, w in pairwise(words) if k == "--var")
    with httpx.Client(**connection(options.get("--profile")), trust_env=False, timeout=60) as http:
        engine = Engine(http, bundle, target, given)
        match words[:2]:
            case ["bundle", "deploy"]:
                engine.deploy(approved="--auto-approve" in words)
            case ["bundle", "run"]:
                engine.start(words[2])
            case _:
                print(f"Error: unknown command {words}", file=sys.stderr)
                return 1
    return 0


def connection(profile: str | None) -> dict[str, Any]:
    """As whoever is logged in."""
    host, token = (os.environ.get(f"DATABRICKS_{name}") for name in ("HOST", "TOKEN"))
    if profile := profile or os.environ.get("DATABRICKS_CONFIG_PROFILE"):
        file = configparser.ConfigParser()
        file.read(Path.home() / ".databrickscfg")
        host, token = file[profile]["host"], file[profile]["token"]
    if not (host and token):
        sys.exit("Error: cannot configure default credentials")
    return {"base_url": host.rstrip("/"), "headers": {"Authorization": f"Bearer {token}"}}


class Engine:
    """One target of a bundle, deployed below `root`."""

    def __init__(self, http: httpx.Client, bundle: dict, target: str, given: dict) -> None:
        self.http, self.target = http, bundle.get("targets", {}).get(target) or {}
        me = self.send("GET", "/api/2.0/preview/scim/v2/Me")["userName"]
        self.me, self.shared = me, SharedResources(bundle, target)
        self.root = f"/Workspace/Users/{me}/.bundle/{bundle['bundle']['name']}/{target}"
        self.values = self.variables(given)

    def variables(self, given: dict) -> dict[str, str]:
        found = {}
        for file in (Path("databricks.yml"), *sorted(Path("bundles").glob("*/digest.yml"))):
            for name, variable in yaml.safe_load(file.read_text()).get("variables", {}).items():
                found[name] = (variable or {}).get("default")
        found |= self.target.get("variables", {})
        start = "BUNDLE_VAR_"
        env = {k.removeprefix(start): v for k, v in os.environ.items() if k.startswith(start)}
        return found | env | given

    def send(self, method: str, path: str, *, may_miss: bool = False, **more: Any) -> Any:
        got = self.http.request(method, path, **more)
        if may_miss and got.status_code == 404:
            return None
        if got.status_code != 200:
            sys.exit(f"Error: {got.json().get('message')} ({got.status_code})")
        return got.json() if got.content.startswith((b"{", b"[")) else got.content

    def declared(self) -> dict[str, dict]:
        found = {}
        for file in sorted(Path("bundles").glob("*/app.yml")):
            found |= yaml.safe_load(self.resolved(file.read_text()))["resources"]["apps"]
        return self.shared.filled(found)

    def resolved(self, text: str) -> str:
        return re.sub(r"\$\{var\.([\w-]+)\}", lambda m: str(self.values[m[1]]), text)

    def deploy(self, *, approved: bool) -> None:
        state = self.state()
        apps, beside = self.declared(), self.shared.declared(self.resolved)
        wanted = {*(("apps", key) for key in apps), *beside}
        gone = [key for key in state if tuple(key.split(".")[1:]) not in wanted]
        if gone and not approved:
            sys.exit("Error: the deployment requires destructive actions: specify --auto-approve")
        for key in apps:
            self.upload(key)
        print("Deploying resources...", file=sys.stderr)
        for key in gone:
            entry = state.pop(key)
            if key.startswith(APPS):
                self.send("DELETE", f"/api/2.0/apps/{entry['__id__']}")
        self.shared.make(beside, state, self.send)
        for key, app in self.declared().items():
            entry = state.get(APPS + key)
            if not entry or entry["state"] != app or self.differs(app):
                self.apply(app, known=entry is not None)
                self.start(key)
                state[APPS + key] = {"__id__": app["name"], "state": app}
            self.keep(state)
            there = self.send("GET", f"/api/2.0/apps/{app['name']}")
            principal = there["service_principal_client_id"]
            self.shared.values["apps", key, "service_principal_client_id"] = principal
        self.shared.permit(beside, self.me, self.send)
        self.keep(state)
        print("Deployment complete!", file=sys.stderr)

    def differs(self, app: dict) -> bool:
        """Whether what runs was stopped, or deployed by somebody else."""
        there = self.send("GET", f"/api/2.0/apps/{app['name']}")
        runs = there.get("active_deployment")
        if not runs or there["compute_status"]["state"] == "STOPPED":
            return True
        return (runs["command"], runs["env_vars"]) != (
            app["config"]["command"],
            app["config"]["env"],
        )

    def apply(self, app: dict, *, known: bool) -> None:
        kept = {key: app[key] for key in KEPT if key in app}
        path = f"/api/2.0/apps/{app['name']}"
        if known:
            given = {"name": app["name"], **kept}
            self.send("POST", f"{path}/update", json={"app": given, "update_mask": ",".join(KEPT)})
        else:
            self.send("POST", "/api/2.0/apps", json={"name": app["name"], **kept})
        if permissions := app.get("permissions"):
            given = [
                {k: v for k, v in p.items() if k != "level"} | {"permission_level": p["level"]}
                for p in permissions
            ]
            listed = {"access_control_list": given}
            self.send("PUT", f"/api/2.0/permissions/apps/{app['name']}", json=listed)

    def start(self, key: str) -> None:
        app = self.declared()[key]
        path = f"/api/2.0/apps/{app['name']}"
        if self.send("GET", path)["compute_status"]["state"] == "STOPPED":
            self.send("POST", f"{path}/start")
        self.send("POST", f"{path}/deployments", json={
            "mode": "SNAPSHOT",
            "source_code_path": f"{self.root}/files/bundles/{key}/source",
            "command": app["config"]["command"],
            "env_vars": app["config"]["env"],
        })  # fmt: skip

    def upload(self, key: str) -> None:
        folder = Path("bundles") / key / "source"
        there = f"{self.root}/files/{folder.as_posix()}"
        files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix != ".pyc"]
        if os.environ.get("FAKE_CLI_LIGHT"):
            files = [p for p in files if p.relative_to(folder).parts[0] != "retinue"]
        for parent in sorted({p.parent.relative_to(folder).as_posix() for p in files}):
            path = f"{there}/{parent}".removesuffix("/.")
            self.send("POST", "/api/2.0/workspace/mkdirs", json={"path": path})
        for place in files:
            path = f"{there}/{place.relative_to(folder).as_posix()}?overwrite=true"
            self.send(
                "POST", f"/api/2.0/workspace-files/import-file{path}", content=place.read_bytes()
            )

    def state(self) -> dict[str, dict]:
        query = {"path": f"{self.root}/state/resources.json", "direct_download": "true"}
        found = self.send("GET", "/api/2.0/workspace/export", params=query, may_miss=True)
        return (found or {"state": {}})["state"]

    def keep(self, state: dict[str, dict]) -> None:
        folder = f"{self.root}/state"
        self.send("POST", "/api/2.0/workspace/mkdirs", json={"path": folder})
        path = f"/api/2.0/workspace-files/import-file{folder}/resources.json?overwrite=true"
        self.send("POST", path, content=json.dumps({"state_version": 1, "state": state}).encode())
