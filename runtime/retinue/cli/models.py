"""`retinue models`: the routes of a project, and one real call to each."""

import asyncio
import json
from typing import Annotated

import typer

from retinue.cli.options import (
    Output,
    OutputOption,
    ProjectOption,
    TargetOption,
    VariableOption,
    checked,
    compile_project,
    open_project,
)
from retinue.errors import UsageError

app = typer.Typer()


@app.callback(invoke_without_command=True)
def command(
    ctx: typer.Context,
    project: ProjectOption = None,
    variables: VariableOption = None,
    target: TargetOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """List the models that agents are answered by: where they are, what they cost and take.

    What a model costs and takes comes from the list that LiteLLM is installed with, or from
    `price` on the model. Nothing is asked.
    """
    if ctx.invoked_subcommand:
        return
    # Off the start-up path: the list is read with it.
    from retinue.cli.routes import as_plain, lines, listed  # noqa: PLC0415

    compilation = compile_project(open_project(ctx, project), None, variables, target)
    checked(compilation)
    found = listed(compilation)
    if output is Output.JSON:
        typer.echo(json.dumps({"version": 1, "routes": [as_plain(one) for one in found]}, indent=2))
        return
    for one in found:
        for line in lines(one):
            typer.echo(line)


@app.command("test")
def try_out(
    ctx: typer.Context,
    route: Annotated[
        str | None,
        typer.Argument(metavar="ROUTE", help="A model of retinue.yaml, an id, or an agent's name."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Test every route.")] = False,
    project: ProjectOption = None,
    variables: VariableOption = None,
    target: TargetOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Ask each place of a route, and each of its fallbacks, one small question for real.

    Prints the time to the first token and in all, tokens, cost and the model that answered. A
    call costs what the provider asks for it. Fails where any of them gives no answer.
    """
    from retinue.cli.routes import chosen, listed  # noqa: PLC0415 - as above

    if (route is None) != every:
        raise UsageError("name one route, or say --all: `retinue models` lists them")
    compilation = compile_project(open_project(ctx, project), None, variables, target)
    checked(compilation)
    routes = listed(compilation)
    found = routes if route is None else chosen(routes, route)
    wanted = [(one.route, deployment) for one in found for deployment in one.deployments()]
    # Off the start-up path: these bring in the runtime.
    from retinue.cli.live import stop_like_interrupted  # noqa: PLC0415
    from retinue.cli.probe import probed  # noqa: PLC0415
    from retinue.offline import MODELS as OFFLINE_MODELS  # noqa: PLC0415
    from retinue.run.models import MODELS  # noqa: PLC0415
    from retinue.run.references import environment  # noqa: PLC0415

    stop_like_interrupted()
    results = asyncio.run(probed(wanted, {**MODELS, **OFFLINE_MODELS}, environment()))
    if output is Output.JSON:
        plain = [result.plain() for result in results]
        typer.echo(json.dumps({"version": 1, "results": plain}, indent=2))
    else:
        for result in results:
            typer.echo(result.line(), err=result.error is not None)
    if any(result.error for result in results):
        raise typer.Exit(1)
