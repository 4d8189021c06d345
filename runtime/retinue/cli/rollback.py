"""`retinue rollback`: an app's earlier deployment → the one that runs."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from retinue.cli.options import (
    AgentArgument,
    DeployTargetOption,
    ProfileOption,
    ProjectOption,
    VariableOption,
    named_values,
    open_project,
)

if TYPE_CHECKING:
    from retinue.cli.deployed.target import Target

_PATIENCE = 180.0
_LIMITS = (
    "The app's resources, permissions and scopes stay as they are. The next deployment sees that "
    "the app differs from the files, and goes over it: take the change back with `git revert`, too."
)


def command(
    ctx: typer.Context,
    agent: AgentArgument,
    target: DeployTargetOption = None,
    profile: ProfileOption = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="ID", help="A deployment's id (default: the last other one)."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and stop.")
    ] = False,
    project: ProjectOption = None,
    variables: VariableOption = None,
) -> None:
    """Run an earlier deployment of an agent's app again: its files, as they were.

    What belongs to the app and not to its files stays: resources, permissions, scopes.
    """
    # Off the start-up path: these bring in the workspace's client.
    from retinue.cli.deployed.login import choose_login  # noqa: PLC0415
    from retinue.cli.deployed.target import read_target  # noqa: PLC0415
    from retinue.cli.live import stop_like_interrupted  # noqa: PLC0415

    there = read_target(open_project(ctx, project), named_values(variables), target)
    choose_login(there, profile)
    stop_like_interrupted()
    asyncio.run(_roll_back(there, agent, to, dry_run=dry_run))


command.__name__ = "rollback"


async def _roll_back(target: "Target", agent: str, to: str | None, *, dry_run: bool) -> None:
    # Off the start-up path, as above.
    from retinue.cli.deployed import earlier  # noqa: PLC0415
    from retinue.cli.deployed.app import DeployedError  # noqa: PLC0415
    from retinue.cli.deployed.login import signed_in  # noqa: PLC0415
    from retinue.cli.deployed.ready import ready  # noqa: PLC0415
    from retinue.cli.deployed.shown import differences  # noqa: PLC0415
    from retinue.cli.deployed.state import State  # noqa: PLC0415
    from retinue.run.workspace_api import WorkspaceApi  # noqa: PLC0415

    name = target.app_name(agent)
    workspace = await signed_in(target)
    async with WorkspaceApi(workspace) as api:
        state = State(workspace, api)
        deployed = await state.app(name)
        if deployed is None:
            raise DeployedError(f"there is no app '{name}' in {workspace.url}")
        back = await earlier.earlier(state, name, deployed, to)
        body = earlier.request(back, deployed, target)
        typer.echo(f"{name} goes back to the deployment {back.id} of {back.made}")
        for line in differences(deployed.manifest or {}, back.manifest, agent):
            typer.echo(f"  {line}")
        if dry_run:
            return
        await earlier.deploy(state, name, body)
    app = await ready(name, deployed, agent, _PATIENCE)
    typer.echo(f"{agent} answers at {app.url}")
    typer.echo(_LIMITS, err=True)
