"""`retinue plan`: agents and a target → what a deployment would change for people."""

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from retinue.bundle import Bundle, bundle_of
from retinue.cli.bundle import refused
from retinue.cli.findings import tell
from retinue.cli.options import (
    AgentsArgument,
    DeployTargetOption,
    ProfileOption,
    ProjectOption,
    VariableOption,
    named_values,
    open_project,
)
from retinue.errors import MissingReferenceError

if TYPE_CHECKING:
    from retinue.cli.deployed.planned import Planned
    from retinue.cli.deployed.target import Target

_WOULD_CHANGE = 3


class Format(StrEnum):
    """How a plan is printed."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


def command(
    ctx: typer.Context,
    agents: AgentsArgument = None,
    target: DeployTargetOption = None,
    profile: ProfileOption = None,
    output: Annotated[
        Format,
        typer.Option(
            "-o", "--output", help="How to print: for people, for programs, for a pull request."
        ),
    ] = Format.TEXT,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 3 where something would change.")
    ] = False,
    project: ProjectOption = None,
    variables: VariableOption = None,
) -> None:
    """Show what a deployment would change: prompts, models, tools, permissions, grants.

    It is compared with what is deployed in the target's workspace. Nothing is written.
    """
    opened = open_project(ctx, project)
    with refused():
        bundle = bundle_of(opened, agents)
    tell(bundle.diagnostics)

    # Off the start-up path: these bring in the workspace's client.
    from retinue.cli.deployed import shown  # noqa: PLC0415
    from retinue.cli.deployed.login import choose_login  # noqa: PLC0415
    from retinue.cli.deployed.target import read_target  # noqa: PLC0415

    there = read_target(opened, named_values(variables), target)
    choose_login(there, profile)
    plan = asyncio.run(_planned(bundle, there, must_log_in=profile is not None))
    forms = {
        Format.TEXT: shown.as_text,
        Format.JSON: shown.as_json,
        Format.MARKDOWN: shown.as_markdown,
    }
    typer.echo(forms[output](plan))
    if exit_code and plan.changes:
        raise typer.Exit(_WOULD_CHANGE)


command.__name__ = "plan"


async def _planned(bundle: Bundle, target: "Target", *, must_log_in: bool) -> "Planned":
    # Off the start-up path, as above.
    from retinue.cli.deployed.databricks_cli import find_cli  # noqa: PLC0415
    from retinue.cli.deployed.login import signed_in  # noqa: PLC0415
    from retinue.cli.deployed.planned import planned  # noqa: PLC0415
    from retinue.cli.deployed.state import State  # noqa: PLC0415
    from retinue.run.workspace_api import WorkspaceApi  # noqa: PLC0415

    cli = await find_cli()
    warnings = [cli.problem] if cli and cli.problem else []
    try:
        workspace = await signed_in(target)
    except MissingReferenceError as missing:
        if must_log_in:
            raise
        typer.echo(f"everything is shown as new: {missing}", err=True)
        return await planned(bundle, target, None, warnings)
    async with WorkspaceApi(workspace) as api:
        return await planned(bundle, target, State(workspace, api), warnings)
