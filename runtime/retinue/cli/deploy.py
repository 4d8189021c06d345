"""`retinue deploy`: agents → apps that answer in a target's workspace, step by step."""

import asyncio
import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from retinue.bundle import Bundle, bundle_of, stale, write
from retinue.cli.bundle import refused
from retinue.cli.options import (
    DeployTargetOption,
    ProfileOption,
    ProjectOption,
    VariableOption,
    checked,
    compile_project,
    named_values,
    open_project,
)
from retinue.project import Project

if TYPE_CHECKING:
    from retinue.cli.deployed.target import Target

_FAILED = 1


def command(
    ctx: typer.Context,
    target: DeployTargetOption = None,
    profile: ProfileOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, say what would be done, and stop.")
    ] = False,
    approve: Annotated[
        bool,
        typer.Option("--auto-approve", help="Also delete the apps of agents that are gone."),
    ] = False,
    project: ProjectOption = None,
    variables: VariableOption = None,
) -> None:
    """Deploy all agents: check, bundle, `databricks bundle deploy`, start, ask each one.

    It is a convenience: `databricks bundle deploy` alone does the same but for asking.
    """
    opened = open_project(ctx, project)
    agents = checked(compile_project(opened, None, variables, target, deploying=True))
    with refused():
        bundle = bundle_of(opened)

    # Off the start-up path: these bring in the workspace's client.
    from retinue.cli.deployed.deployment import Deployment, say  # noqa: PLC0415
    from retinue.cli.deployed.login import choose_login  # noqa: PLC0415
    from retinue.cli.deployed.target import read_target  # noqa: PLC0415
    from retinue.cli.live import stop_like_interrupted  # noqa: PLC0415

    there = read_target(opened, named_values(variables), target)
    say("checks", f"{len(agents)} agent{'s' * (len(agents) != 1)} for the target {there.name}")
    words = _words(there, profile, variables)
    if approve:
        words.append("--auto-approve")
    if dry_run:
        _tell_steps(opened, bundle, there, words)
        return
    changed = write(opened, bundle)
    say("bundles", f"{len(changed.written)} files written, {len(changed.removed)} removed")
    choose_login(there, profile)
    stop_like_interrupted()
    names = [plan.agent for plan in bundle.plans]
    if not asyncio.run(Deployment(opened.root, names, there, words).run()):
        raise typer.Exit(_FAILED)


command.__name__ = "deploy"


def _words(target: "Target", profile: str | None, variables: list[str] | None) -> list[str]:
    """How the Databricks CLI is told what this verb was told."""
    words = ["-t", target.name] if target.name else []
    words += ["--profile", profile] if profile else []
    return words + [word for given in variables or () for word in ("--var", given)]


def _tell_steps(project: Project, bundle: Bundle, target: "Target", words: list[str]) -> None:
    from retinue.cli.deployed.deployment import say  # noqa: PLC0415 - off the start-up path

    changed = stale(project, bundle)
    say("would", f"bring bundles/ up to date ({len(changed.written)} of its committed files)")
    say("would", f"run {shlex.join(['databricks', 'bundle', 'deploy', *words])}")
    for plan in bundle.plans:
        name = target.app_name(plan.agent)
        say("would", f"start the app {name} where it doesn't run, and ask it for {plan.agent}")
