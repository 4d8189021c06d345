"""`retinue serve`: agents → OpenAI-compatible endpoints on an address."""

import json
import os
import time
from dataclasses import asdict
from typing import Annotated, Any

import typer

from retinue.agent import Agent
from retinue.cli.options import (
    AgentsArgument,
    MaxTokensOption,
    ModelOption,
    OfflineOption,
    ProjectOption,
    TargetOption,
    TemperatureOption,
    VariableOption,
    checked,
    compile_project,
    model_settings,
    named_values,
    open_project,
)

_MEGABYTE = 1024 * 1024
_NO_PROXY = (
    "note: no Databricks proxy stands before this process: callers are not checked, which is why "
    "only this machine reaches it"
)


def command(
    ctx: typer.Context,
    agents: AgentsArgument = None,
    offline: OfflineOption = False,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes a free one.")
    ] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that serve.")] = 1,
    max_body: Annotated[
        int, typer.Option(min=1, max=1024, help="The largest request body, in MB.")
    ] = 16,
    max_concurrency: Annotated[
        int, typer.Option(min=1, help="Runs at a time in each process; more are answered 503.")
    ] = 512,
    caller_concurrency: Annotated[
        int | None, typer.Option(min=1, help="Runs at a time of one user or key; more get a 429.")
    ] = None,
    rate_limit: Annotated[
        str | None,
        typer.Option(help="How often one user or key may ask each process, such as 60/minute."),
    ] = None,
    model: ModelOption = None,
    temperature: TemperatureOption = None,
    max_tokens: MaxTokensOption = None,
    project: ProjectOption = None,
    variables: VariableOption = None,
    target: TargetOption = None,
) -> None:
    """Serve agents at OpenAI-compatible endpoints; the first one named is the default."""
    opened = open_project(ctx, project)
    compilation = compile_project(opened, agents, variables, target)
    compiled = checked(compilation)

    # Off the start-up path: these bring in the runtime and fastapi.
    from retinue.cli.live import OFFLINE_BANNER, example, offline_gaps  # noqa: PLC0415
    from retinue.serve.admission import Access  # noqa: PLC0415
    from retinue.serve.factory import app_of  # noqa: PLC0415
    from retinue.serve.overload import Capacity  # noqa: PLC0415
    from retinue.serve.server import listen, serve  # noqa: PLC0415
    from retinue.serve.worker import hand_over  # noqa: PLC0415

    access = Access(compiled, os.environ)
    capacity = Capacity(
        max_body=max_body * _MEGABYTE,
        max_concurrency=max_concurrency,
        caller_concurrency=caller_concurrency,
        rate=rate_limit,
    )
    listener = listen(host, port)
    if not listener.loopback:
        access.refuse_open()
    options: dict[str, Any] = {
        "offline": offline,
        "model": model,
        "settings": model_settings(temperature, max_tokens),
        # Of the server, not of each worker: a client must not see it change.
        "created": int(time.time()),
        "local": listener.loopback,
    }
    notes = [OFFLINE_BANNER, *offline_gaps(compiled)] if offline else []
    if "databricks" in access.modes.values() and not access.proxied:
        notes.append(_NO_PROXY)
    asked = example(compiled, offline=offline)
    route = model and compilation.routes.get(model, model)
    serve(
        app_of(compiled, capacity=capacity, **{**options, "model": route})
        if workers == 1
        else hand_over(
            project=str(opened.root),
            agents=[agent.name for agent in compiled],
            variables=named_values(variables),
            target=target,
            capacity=asdict(capacity),
            **options,
        ),
        listener,
        workers=workers,
        on_ready=lambda url: typer.echo(_greeting(url, compiled, notes, asked), err=True),
    )


command.__name__ = "serve"


def _greeting(url: str, agents: tuple[Agent, ...], notes: list[str], asked: tuple[str, str]) -> str:
    agent, question = asked
    message = {"role": "user", "content": question}
    body = json.dumps({"model": agent, "stream": True, "messages": [message]})
    quoted = body.replace("'", "\\u0027")
    return "\n".join(
        [
            f"Serving {', '.join(agent.name for agent in agents)} at {url}",
            *notes,
            "",
            f"  curl -N {url}/v1/chat/completions -H 'content-type: application/json' \\",
            f"    -d '{quoted}'",
            "",
        ]
    )
