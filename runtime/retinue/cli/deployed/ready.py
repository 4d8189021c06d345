"""A deployed app → whether it runs, and answers for its agent to whoever asks here."""

import asyncio
from collections.abc import Mapping
from typing import Any

from retinue.cli.deployed.app import DeployedApp, DeployedError, app_of
from retinue.cli.deployed.state import Deployed, State
from retinue.cli.deployed.talk import served
from retinue.diagnostics import printable
from retinue.run.workspace import Workspace
from retinue.run.workspace_api import WorkspaceApi

_PAUSE = 3.0
_RUNNING = frozenset({"ACTIVE", "STARTING", "UPDATING", "RUNNING", "DEPLOYING"})
_STOPPED = ("STOPPED", "STOPPING", "DELETING", "ERROR")


def runs(app: Mapping[str, Any]) -> bool:
    """Whether the app has its machine, and code on it, or is about to."""
    compute, code = (app.get(key) for key in ("compute_status", "app_status"))
    states = {one.get("state") for one in (compute, code) if isinstance(one, dict)}
    deployed = app.get("active_deployment") or app.get("pending_deployment")
    return bool(deployed) and states <= _RUNNING


async def refuse_stopped(workspace: Workspace, name: str) -> None:
    """Raise DeployedError for an app that has no machine, so that nothing of it can be reached."""
    async with WorkspaceApi(workspace) as api:
        deployed = await State(workspace, api).app(name)
    compute = deployed.app.get("compute_status") if deployed else None
    state = compute.get("state") if isinstance(compute, dict) else None
    if deployed is None or state in _STOPPED:
        said = str(state).lower() if deployed else "gone"
        raise DeployedError(
            f"the app '{printable(name)}' is {said}, and so is its log: `retinue deploy` starts it"
        )


async def ready(name: str, deployed: Deployed | None, agent: str, patience: float) -> DeployedApp:
    """Ask the app whom it serves until it answers, for at most `patience` seconds. No model is
    asked.

    Raises DeployedError where it doesn't answer in time, serves another agent, or lets nobody in.
    """
    if deployed is None:
        raise DeployedError(f"there is no app '{printable(name)}' in the workspace")
    app = app_of(name, deployed.app)
    loop = asyncio.get_running_loop()
    end = loop.time() + patience
    while True:
        try:
            names = await served(app)
            break
        except DeployedError as error:
            if not error.passing or loop.time() >= end:
                raise
        await asyncio.sleep(_PAUSE)
    if agent not in names:
        shown = ", ".join(map(printable, names))
        raise DeployedError(f"the app '{printable(name)}' serves {shown}, and not '{agent}'")
    return app
