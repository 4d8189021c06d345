"""`retinue logs`: a deployed agent's app → the lines that it writes."""

import asyncio
from contextlib import aclosing
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


def command(
    ctx: typer.Context,
    agent: AgentArgument,
    target: DeployTargetOption = None,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on with what comes, until Ctrl-C.")
    ] = False,
    lines: Annotated[
        int, typer.Option("-n", "--lines", min=1, max=100_000, help="Most lines of the past.")
    ] = 200,
    profile: ProfileOption = None,
    project: ProjectOption = None,
    variables: VariableOption = None,
) -> None:
    """Print what a deployed agent's app and its platform wrote, times in UTC."""
    # Off the start-up path: these bring in the workspace's client.
    from retinue.cli.deployed.login import choose_login  # noqa: PLC0415
    from retinue.cli.deployed.target import read_target  # noqa: PLC0415
    from retinue.cli.live import stop_like_interrupted  # noqa: PLC0415

    there = read_target(open_project(ctx, project), named_values(variables), target)
    choose_login(there, profile)
    stop_like_interrupted()
    asyncio.run(_print(there, agent, lines, follow=follow))


command.__name__ = "logs"


async def _print(target: "Target", agent: str, most: int, *, follow: bool) -> None:
    # Off the start-up path, as above.
    from retinue.cli.deployed.app import app_named  # noqa: PLC0415
    from retinue.cli.deployed.login import signed_in  # noqa: PLC0415
    from retinue.cli.deployed.logs import Logs  # noqa: PLC0415
    from retinue.cli.deployed.ready import refuse_stopped  # noqa: PLC0415

    name = target.app_name(agent)
    workspace = await signed_in(target)
    app = await app_named(workspace, name)
    logs = Logs(app, workspace, lambda: refuse_stopped(workspace, name))
    await logs.running()
    if not follow:
        for line in await logs.last(most):
            typer.echo(line)
        return
    async with aclosing(logs.follow(most)) as coming:
        async for line in coming:
            typer.echo(line)
