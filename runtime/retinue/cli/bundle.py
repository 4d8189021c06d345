"""`retinue bundle`: agents → `bundles/`, which `databricks bundle deploy` takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from retinue.bundle import BundleError, Changes, bundle_of, stale, write
from retinue.cli.findings import tell
from retinue.cli.options import AgentsArgument, ProjectOption, open_project
from retinue.diagnostics import printable

_STALE = 1
_INVALID = 2


def command(
    ctx: typer.Context,
    agents: AgentsArgument = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Write nothing; fail where a file under version control is stale."
        ),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Say nothing but what stands in the way.")
    ] = False,
    project: ProjectOption = None,
) -> None:
    """Make what `databricks bundle deploy` takes: for each agent an app and its folder.

    The same files always give the same bundle; nothing of this machine goes into it, and only
    what changed is written. Files of agents that are gone are removed.
    """
    opened = open_project(ctx, project)
    with refused():
        bundle = bundle_of(opened, agents)
    if not quiet:
        tell(bundle.diagnostics)
    changes = stale(opened, bundle) if check else write(opened, bundle)
    if check and changes:
        _say(changes, "stale  ", "over   ", err=True)
        typer.echo("run 'retinue bundle', and commit what it changes", err=True)
        raise typer.Exit(_STALE)
    if quiet:
        return
    _say(changes, "wrote  ", "removed")
    for app in bundle.plans:
        typer.echo(f"ok      {app.agent}  ({_counted(len(app.resources), 'resource')})")
        for note in app.notes:
            typer.echo(f"        to grant: {printable(note)}")


command.__name__ = "bundle"

_MOST_SHOWN = 20


@contextmanager
def refused() -> Iterator[None]:
    """Tell why agents can't be deployed, each reason in its own line, and exit."""
    try:
        yield
    except BundleError as error:
        for problem in error.problems:
            typer.echo(f"error: {printable(problem)}", err=True)
        raise typer.Exit(_INVALID) from None


def _say(changes: Changes, written: str, removed: str, *, err: bool = False) -> None:
    """Name the files; those in the folders of apps are many, and only counted."""
    for word, paths in ((written, changes.written), (removed, changes.removed)):
        shown = [path for path in paths if "/source/" not in path][:_MOST_SHOWN]
        for path in shown:
            typer.echo(f"{word} {printable(path)}", err=err)
        if more := len(paths) - len(shown):
            typer.echo(f"{word} {_counted(more, 'file')} more", err=err)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
