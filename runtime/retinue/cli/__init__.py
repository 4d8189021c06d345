"""Words on a command line → one verb. Parsing only; the work lies in the rooms."""

import gc
import os
import sys
from typing import Annotated

import typer

from retinue import __version__
from retinue.cli.options import ProjectOption, choose_project
from retinue.cli.verbs import Verbs
from retinue.diagnostics import CompileError, printable
from retinue.errors import ConfigurationError, ProjectError, RetinueError, UsageError

FAILED = 1
INVALID = 2

app = typer.Typer(
    name="retinue",
    cls=Verbs,
    help="Declarative agents for Databricks: YAML in, OpenAI-compatible endpoints out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"retinue {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    ctx: typer.Context,
    project: ProjectOption = None,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    choose_project(ctx, project)


def main() -> None:
    """Run the command line; exit 0 done, 1 failed, 2 wrong usage or config, 130 interrupted."""
    # Trees and specs live as long as their compilation: looking for garbage among them every 700
    # objects costs a sixth of its time.
    gc.set_threshold(50_000, 20, 100)
    try:
        app()
    except BrokenPipeError:
        # The reader went away (`| head`); Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except CompileError as error:
        # Off the start-up path: this brings in the compiler, which is here already.
        from retinue.cli.findings import tell  # noqa: PLC0415

        tell(error.diagnostics)
        sys.exit(INVALID)
    except RetinueError as error:
        said = "\n".join(map(printable, str(error).splitlines()))
        typer.echo(f"error: {said}", err=True)
        wrong = isinstance(error, ConfigurationError | ProjectError | UsageError)
        sys.exit(INVALID if wrong else FAILED)
