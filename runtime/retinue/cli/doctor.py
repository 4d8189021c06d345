"""`retinue doctor`: a project → whether all that its agents need is there, and what is not."""

import asyncio
import json
import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from retinue.cli.options import (
    AgentsArgument,
    OfflineOption,
    Output,
    OutputOption,
    ProfileOption,
    ProjectOption,
    TargetOption,
    VariableOption,
    choose_profile,
    compile_project,
    open_project,
)
from retinue.compile import Compilation
from retinue.diagnostics import printable
from retinue.errors import UsageError
from retinue.project import Project

if TYPE_CHECKING:
    from retinue.cli.examination import Check


def command(
    ctx: typer.Context,
    agents: AgentsArgument = None,
    project: ProjectOption = None,
    variables: VariableOption = None,
    target: TargetOption = None,
    offline: OfflineOption = False,
    online: Annotated[
        bool, typer.Option("--online", help="Also see whether the models can be reached.")
    ] = False,
    profile: ProfileOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say what works and what doesn't: files, keys by name, tool servers, the store.

    With --online the models' routes too; no model is asked. With --offline the local twins.
    """
    if offline and (online or profile):
        raise UsageError("--offline asks nobody: leave out --online and --profile")
    opened = open_project(ctx, project)
    if profile:
        choose_profile(profile)
    compilation = compile_project(opened, agents, variables, target, origins=online)
    checks = _examined(compilation, opened, offline=offline, online=online)
    wrong = sum(check.state == "failed" for check in checks)
    if output is Output.JSON:
        typer.echo(json.dumps({"ok": not wrong, "checks": [c.plain() for c in checks]}, indent=2))
    else:
        _print(checks, wrong)
    if wrong:
        unread = any(c.area == "agent" and c.state == "failed" for c in checks)
        raise typer.Exit(2 if unread else 1)


command.__name__ = "doctor"


def _examined(
    compilation: Compilation, project: Project, *, offline: bool, online: bool
) -> "list[Check]":
    # Off the start-up path: these bring in the runtime.
    from retinue.cli.examination import compiled, keys, models, servers, surroundings  # noqa: PLC0415
    from retinue.cli.live import stop_like_interrupted  # noqa: PLC0415
    from retinue.cli.script_check import scripts  # noqa: PLC0415
    from retinue.cli.serving_check import serving  # noqa: PLC0415
    from retinue.offline import twin  # noqa: PLC0415
    from retinue.run.references import environment  # noqa: PLC0415
    from retinue.run.sub_agents import with_sub_agents  # noqa: PLC0415

    # What these would say is a check.
    for name in ("retinue.run", "databricks.sdk"):
        logging.getLogger(name).propagate = False
    stop_like_interrupted()
    asked = map(twin, compilation.agents) if offline else compilation.agents
    agents = tuple(with_sub_agents(asked).values())
    lookup = environment()

    async def all_checks() -> "Iterator[Check]":
        reached = [models(compilation, project, lookup)] if online else []
        served = [] if offline else [serving(compilation.agents, project, lookup)]
        found = await asyncio.gather(
            keys(agents, lookup), *reached, servers(agents, lookup), scripts(agents), *served
        )
        return (check for several in found for check in several)

    first = [*surroundings(project), *compiled(compilation)]
    return [*first, *asyncio.run(all_checks())]


def _print(checks: "Sequence[Check]", wrong: int) -> None:
    for check in checks:
        typer.echo(f"{check.state:<8} {check.area:<8} {check.name}: {printable(check.detail)}")
    typer.echo(f"{wrong} of {len(checks)} checks failed" if wrong else "all is well", err=True)
