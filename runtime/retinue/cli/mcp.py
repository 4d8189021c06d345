"""`retinue mcp`: what others reach over MCP → a server that speaks it."""

import asyncio
from typing import Annotated

import typer

from retinue.cli.options import ProfileOption, choose_profile

app = typer.Typer(no_args_is_help=True)


@app.callback()
def command() -> None:
    """Servers of our own that speak MCP."""


@app.command("genie")
def genie(
    space: Annotated[
        str, typer.Option("--space", metavar="ID", help="The Genie space, by its id.")
    ],
    http: Annotated[
        int | None,
        typer.Option(
            "--http",
            metavar="PORT",
            min=0,
            max=65535,
            help="Serve http://127.0.0.1:PORT/mcp instead of stdio; 0 takes a free port.",
        ),
    ] = None,
    wait: Annotated[
        float,
        typer.Option(
            min=0,
            max=600,
            help="Seconds that a question waits for its answer before the client has to poll.",
        ),
    ] = 50.0,
    profile: ProfileOption = None,
) -> None:
    """Serve a Genie space over MCP, for workspaces that have no managed server for it.

    The tools are those of a managed one. Genie is asked as whoever is logged in here; over HTTP as
    the caller, where a request brings a Databricks token as its bearer.
    """
    if profile:
        choose_profile(profile)
    # Off the start-up path: these bring in MCP's SDK and the client.
    from retinue.serve.genie_server import serve_genie  # noqa: PLC0415

    asyncio.run(
        serve_genie(
            space,
            wait=wait,
            port=http,
            on_ready=lambda url: typer.echo(f"The Genie space {space} is at {url}", err=True),
        )
    )
