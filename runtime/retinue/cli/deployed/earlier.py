"""An app's earlier deployment → a new one of the same files, as far as the platform allows.

The platform keeps a copy of each deployment's files, and tells the names of its variables but not
their values: these come from `agent.json` among the files, and the target's variables. Source:
https://docs.databricks.com/api/workspace/apps/listdeployments and
https://docs.databricks.com/api/workspace/apps/createdeployment
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson

from retinue.bundle.plan import DIGEST_VARIABLE
from retinue.cli.deployed.app import DeployedError, refuse
from retinue.cli.deployed.state import Deployed, State, snapshot
from retinue.cli.deployed.target import Target
from retinue.diagnostics import printable
from retinue.run.workspace_api import Answer, WorkspaceApi

Tree = Mapping[str, Any]

_MOST_PAGES = 10
_TIMEOUT = aiohttp.ClientTimeout(total=60, connect=10)
_LARGEST = 2**20
_PAUSE = 2.0
# Seconds. The platform gives an app ten minutes to install and start.
_PATIENCE = 900.0
_INSTEAD = "take the change back with `git revert`, and deploy"


@dataclass(frozen=True, slots=True)
class Earlier:
    """A deployment whose files are still there: `folder` holds them, `manifest` is their own."""

    id: str
    made: str
    folder: str
    manifest: Tree


async def earlier(state: State, name: str, deployed: Deployed, wanted: str | None) -> Earlier:
    """The deployment with the id `wanted`, or the last one that was something else than what runs.

    Raises DeployedError where there is none, or its files can't be read.
    """
    running = deployed.active.get("deployment_id")
    seen = 0
    async for one in _deployments(state, name):
        number = one.get("deployment_id")
        if number == running or not _succeeded(one) or wanted not in (None, number):
            continue
        seen += 1
        folder = snapshot(one)
        manifest = await state.manifest(folder) if folder else None
        if folder and manifest is not None and (wanted or manifest != deployed.manifest):
            return Earlier(str(number), str(one.get("create_time", "")), folder, manifest)
    if wanted:
        raise DeployedError(
            f"there is no deployment '{printable(wanted)}' to go back to: {_INSTEAD}"
        )
    why = (
        "none of its earlier deployments has files that can be read" if seen else "it has no other"
    )
    raise DeployedError(f"the app '{printable(name)}' can't go back: {why}. Instead, {_INSTEAD}")


def request(back: Earlier, deployed: Deployed, target: Target) -> dict[str, Any]:
    """The body that deploys it again.

    Raises DeployedError where it needs a resource that the app has no more, or a variable that
    has no value.
    """
    resources = deployed.app.get("resources")
    has = {one.get("name") for one in resources} if isinstance(resources, list) else set()
    env = []
    for name, given in back.manifest["env"].items():
        if isinstance(given, dict):
            if given["value_from"] not in has:
                raise DeployedError(
                    f"the deployment {back.id} took {name} from the resource "
                    f"'{given['value_from']}', which the app has no more: {_INSTEAD}"
                )
            env.append({"name": name, **given})
            continue
        value = f"rollback-{back.id}" if name == DIGEST_VARIABLE else target.text(given)
        if "${" in value:
            raise DeployedError(f"{name} is {value}, which has no value here: give it with --var")
        env.append({"name": name, "value": value})
    return {
        "mode": "SNAPSHOT",
        "source_code_path": back.folder,
        "command": back.manifest["command"],
        "env_vars": env,
    }


async def deploy(state: State, name: str, body: Tree) -> None:
    """Deploy the code of an app and wait for it. Raises DeployedError where that fails."""
    path = f"/api/2.0/apps/{quote(name, safe='')}/deployments"
    answer = await _post(state, path, body)
    if answer.status != 200:
        code = printable(str(answer.body.get("error_code", "")))[:80]
        raise DeployedError(
            f"the workspace refused the deployment (status {answer.status} {code}): {_INSTEAD}"
        )
    number = quote(str(answer.body.get("deployment_id")), safe="")
    try:
        async with asyncio.timeout(_PATIENCE):
            stage = await _outcome(state, f"{path}/{number}")
    except TimeoutError:
        stage = "still in progress"
    if stage != "SUCCEEDED":
        raise DeployedError(f"the deployment is {stage}: see `retinue logs`; {_INSTEAD}")


async def _deployments(state: State, name: str) -> AsyncIterator[Tree]:
    """The latest first."""
    path = start = f"/api/2.0/apps/{quote(name, safe='')}/deployments?page_size=50"
    for _ in range(_MOST_PAGES):
        answer = await state.api.get(path)
        refuse(answer, state.workspace)
        listed = answer.body.get("app_deployments")
        for one in listed if isinstance(listed, list) else ():
            yield one
        token = answer.body.get("next_page_token")
        if not token:
            return
        path = f"{start}&page_token={quote(str(token), safe='')}"


def _succeeded(deployment: Tree) -> bool:
    status = deployment.get("status")
    return isinstance(status, dict) and status.get("state") == "SUCCEEDED"


async def _outcome(state: State, path: str) -> str:
    while True:
        # Answers are kept as long as an API is open, and this one changes.
        async with WorkspaceApi(state.workspace) as api:
            status = (await api.get(path)).body.get("status")
        if isinstance(status, dict) and status.get("state") != "IN_PROGRESS":
            return str(status.get("state"))
        await asyncio.sleep(_PAUSE)


async def _post(state: State, path: str, body: Tree) -> Answer:
    headers = await state.workspace.headers()
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=True) as session,
            session.post(
                state.workspace.url + path, json=body, headers=headers, allow_redirects=False
            ) as answer,
        ):
            said = orjson.loads(await answer.content.read(_LARGEST) or b"{}")
            return Answer(answer.status, said if isinstance(said, dict) else {})
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        return Answer(0)
