"""`retinue logs`: a deployed agent's app → the lines that it writes; or the project's own log."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retinue.cli.options import (
    DeployTargetOption,
    Output,
    OutputOption,
    ProfileOption,
    ProjectOption,
    VariableOption,
    named_values,
    open_project,
)
from retinue.cli.stored import (
    OfAgentOption,
    SessionOption,
    SinceOption,
    StoreOption,
    UserOption,
    book_of,
    following,
    last,
    line,
    store_of,
    wanted,
)
from retinue.diagnostics import printable
from retinue.errors import UsageError
from retinue.project import Project

if TYPE_CHECKING:
    from retinue.cli.deployed.target import Target
    from retinue.store.log_query import Which


def command(
    ctx: typer.Context,
    agent: Annotated[
        str | None,
        typer.Argument(
            metavar="AGENT", help="An agent that is deployed; without it, the project's own log."
        ),
    ] = None,
    target: DeployTargetOption = None,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on with what comes, until Ctrl-C.")
    ] = False,
    lines: Annotated[
        int, typer.Option("-n", "--lines", min=1, max=100_000, help="Most lines of the past.")
    ] = 200,
    session: SessionOption = None,
    user: UserOption = None,
    of_agent: OfAgentOption = None,
    since: SinceOption = None,
    output: OutputOption = Output.TEXT,
    store: StoreOption = None,
    profile: ProfileOption = None,
    project: ProjectOption = None,
    variables: VariableOption = None,
) -> None:
    """Print what a deployed agent's app and its platform wrote, times in UTC.

    Without AGENT: the requests in the log of the project's own store. Those options that choose
    among requests, and -o, are for these.
    """
    if agent is None:
        if target is not None:
            raise UsageError("name the agent whose app's lines are wanted")
        which = wanted(session, user, of_agent, since)
        _print_own(open_project(ctx, project), variables, store, which, lines, output, follow)
        return
    if session or user or of_agent or since or store or output is Output.JSON:
        raise UsageError(
            "--session, --user, --agent, --since, --store and -o are for the project's own log: "
            "leave out the agent's name"
        )
    # Off the start-up path: these bring in the workspace's client.
    from retinue.cli.deployed.login import choose_login  # noqa: PLC0415
    from retinue.cli.deployed.target import read_target  # noqa: PLC0415
    from retinue.cli.live import stop_like_interrupted  # noqa: PLC0415

    there = read_target(open_project(ctx, project), named_values(variables), target)
    choose_login(there, profile)
    stop_like_interrupted()
    asyncio.run(_print(there, agent, lines, follow=follow))


command.__name__ = "logs"


def _print_own(
    project: Project,
    variables: list[str] | None,
    store: str | None,
    which: "Which",
    most: int,
    output: Output,
    follow: bool,
) -> None:
    # Off the start-up path, as above.
    from retinue.cli.live import stop_like_interrupted  # noqa: PLC0415
    from retinue.serve.wire.logs import log_object  # noqa: PLC0415

    address = store_of(project, variables, store)
    stop_like_interrupted()

    async def show() -> None:
        book = await book_of(address)
        try:
            if not follow:
                for row in reversed(await last(book, which, most)):
                    tell(row)
                return
            async with aclosing(following(book, which, most)) as coming:
                async for row in coming:
                    tell(row)
        finally:
            await book.database.aclose()

    def tell(row: Mapping[str, Any]) -> None:
        typer.echo(json.dumps(log_object(row)) if output is Output.JSON else printable(line(row)))

    asyncio.run(show())


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
