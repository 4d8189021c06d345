"""`retinue proxy`: a deployed agent → an OpenAI endpoint on this machine."""

import asyncio
import json
from typing import Annotated

import typer

from retinue.cli.options import (
    DeployTargetOption,
    ProfileOption,
    ProjectOption,
    UrlOption,
    VariableOption,
    named_values,
    open_project,
)
from retinue.errors import UsageError


def command(
    ctx: typer.Context,
    agent: Annotated[
        str | None, typer.Argument(metavar="AGENT", help="The agent; its app has the name.")
    ] = None,
    target: DeployTargetOption = None,
    url: UrlOption = None,
    profile: ProfileOption = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes a free one.")
    ] = 8001,
    project: ProjectOption = None,
    variables: VariableOption = None,
) -> None:
    """Open an OpenAI endpoint on this machine that asks a deployed agent as you.

    Clients need no key: each request gets a fresh token of the login in use.
    """
    if (agent is None) == (url is None):
        raise UsageError("name the agent and its --target, or the app's --url")
    # Off the start-up path: these bring in the server and the runtime.
    from retinue.cli.deployed.find import find  # noqa: PLC0415
    from retinue.cli.deployed.login import choose_login  # noqa: PLC0415
    from retinue.cli.deployed.target import read_target  # noqa: PLC0415

    there = name = None
    if agent is not None or target is not None:
        there = read_target(open_project(ctx, project), named_values(variables), target)
    if there and agent is not None:
        name = there.app_name(agent)
    choose_login(there, profile)
    app = asyncio.run(find(name, url, there))

    from retinue.cli.deployed.forward import forwarder  # noqa: PLC0415
    from retinue.serve.server import listen, serve  # noqa: PLC0415

    serve(
        forwarder(app),
        listen("127.0.0.1", port),
        on_ready=lambda here: typer.echo(_greeting(app.name, app.url, here, agent), err=True),
    )


command.__name__ = "proxy"


def _greeting(app: str, there: str, here: str, agent: str | None) -> str:
    message = {"role": "user", "content": "What can you do?"}
    body = json.dumps({"model": agent or app, "stream": True, "messages": [message]})
    return "\n".join(
        [
            f"Forwarding {here}/v1 to the app {app} at {there}",
            "",
            f"  curl -N {here}/v1/chat/completions -H 'content-type: application/json' \\",
            f"    -d '{body}'",
            "",
        ]
    )
