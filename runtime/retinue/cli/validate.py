"""`retinue validate`: agent files → every mistake in them."""

import asyncio
import logging
from dataclasses import replace
from enum import StrEnum
from typing import Annotated

import typer

from retinue.cli.findings import MAX_SHOWN, as_github, as_json, as_sarif, counted, tell
from retinue.cli.options import (
    AgentsArgument,
    ProjectOption,
    TargetOption,
    VariableOption,
    choose_profile,
    compile_project,
    open_project,
)
from retinue.compile import Compilation
from retinue.compile.codes import codes
from retinue.diagnostics import did_you_mean, in_order
from retinue.errors import ProjectError, UsageError
from retinue.project import Project


class Format(StrEnum):
    """How the mistakes are printed."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    GITHUB = "github"


def _explain(code: str | None) -> None:
    """Print what a code means, and stop: no project is needed for that."""
    if code is None:
        return
    known = codes()
    if code not in known:
        near = did_you_mean(code, list(known))
        raise UsageError(f"there is no code '{code[:60]}'" + (f": {near}" if near else ""))
    typer.echo(f"{code}\n\n{known[code].text}")
    raise typer.Exit


def command(
    ctx: typer.Context,
    agents: AgentsArgument = None,
    project: ProjectOption = None,
    variables: VariableOption = None,
    target: TargetOption = None,
    output: Annotated[
        Format,
        typer.Option(
            "-o",
            "--output",
            help="How to print: for people, for programs, as SARIF 2.1.0, or as annotations of "
            "GitHub Actions.",
        ),
    ] = Format.TEXT,
    online: Annotated[
        bool,
        typer.Option(
            "--online",
            help="Also reach for everything that the agents name: models, tool servers, Genie "
            "spaces, secrets. No model is asked.",
        ),
    ] = False,
    profile: Annotated[
        str | None,
        typer.Option("--profile", metavar="NAME", help="The Databricks profile for --online."),
    ] = None,
    maximum: Annotated[
        int,
        typer.Option("--max", min=0, metavar="N", help="Most mistakes in the text; 0 shows all."),
    ] = MAX_SHOWN,
    _code: Annotated[
        str | None,
        typer.Option(
            "--explain",
            metavar="CODE",
            callback=_explain,
            is_eager=True,
            help="Say what a code means and how to mend it, and exit.",
        ),
    ] = None,
) -> None:
    """Check agent files: all mistakes at once, each with its place and its cure.

    With --target they are checked for deployment: every bundle variable needs its value there.
    """
    if profile and not online:
        raise UsageError("--profile goes with --online")
    opened = open_project(ctx, project)
    compilation = compile_project(
        opened, agents, variables, target, deploying=target is not None, origins=online
    )
    sound = not counted(compilation.diagnostics)["errors"]
    if online and sound:
        compilation = _verified(compilation, opened, profile)
    found = compilation.diagnostics
    if not (compilation.agents or found):
        raise ProjectError("there are no agents: write agents/NAME.yaml")
    match output:
        case Format.JSON:
            typer.echo(as_json(compilation.agents, found))
        case Format.SARIF:
            typer.echo(as_sarif(found))
        case Format.GITHUB:
            typer.echo(as_github(found), nl=bool(found))
        case Format.TEXT:
            _print(compilation, maximum)
    if counted(found)["errors"]:
        raise typer.Exit(1 if sound else 2)


command.__name__ = "validate"


def _verified(compilation: Compilation, project: Project, profile: str | None) -> Compilation:
    """The compilation with what is wrong where its agents lead, and the agents that are fine."""
    # Off the start-up path: these bring in the runtime.
    from retinue.cli.live import stop_like_interrupted  # noqa: PLC0415
    from retinue.cli.online import verified  # noqa: PLC0415
    from retinue.run.references import environment  # noqa: PLC0415

    # What these would say is a diagnostic.
    for name in ("retinue.run", "databricks.sdk"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if profile:
        choose_profile(profile)
    stop_like_interrupted()
    found = asyncio.run(verified(compilation, project, environment()))
    together = [*compilation.diagnostics, *(one for several in found.values() for one in several)]
    fine = [agent for agent in compilation.agents if not counted(found[agent.name])["errors"]]
    return replace(compilation, agents=tuple(fine), diagnostics=in_order(together))


def _print(compilation: Compilation, maximum: int) -> None:
    tell(compilation.diagnostics, maximum)
    for agent in compilation.agents:
        files = len(agent.sources)
        typer.echo(f"ok      {agent.name}  ({files} file{'s' * (files != 1)}, {agent.digest})")
    if errors := counted(compilation.diagnostics)["errors"]:
        typer.echo(f"failed  {errors} mistake{'s' * (errors != 1)}", err=True)
