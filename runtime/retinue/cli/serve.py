"""`retinue serve`: agents → OpenAI-compatible endpoints on an address."""

import json
import logging
import os
import time
from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
from retinue.diagnostics import did_you_mean
from retinue.errors import UsageError

if TYPE_CHECKING:
    from retinue.serve.admission import Access


class LogFormat(StrEnum):
    """How log lines are written."""

    text = "text"
    json = "json"


_MEGABYTE = 1024 * 1024
_NO_PROXY = (
    "note: no Databricks proxy stands before this process: callers are not checked, which is why "
    "only this machine reaches it"
)
_STORED_KEYS = (
    "note: RETINUE_API_KEYS is not set, so callers need a key of the store's: `retinue keys create "
    "NAME` makes one"
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
        int | None,
        typer.Option(
            min=1, help="Runs at a time of one user or key in each process; more get a 429."
        ),
    ] = None,
    rate_limit: Annotated[
        str | None,
        typer.Option(metavar="N/TIME", help="How often one user or key may ask: 60/minute."),
    ] = None,
    token_limit: Annotated[
        str | None,
        typer.Option(
            metavar="N/TIME", help="How many tokens one user or key may use: 1000000/day."
        ),
    ] = None,
    cost_limit: Annotated[
        str | None,
        typer.Option(
            metavar="USD/TIME", help="What the runs of one user or key may cost: 5.00/day."
        ),
    ] = None,
    allowed_apis: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="The surfaces to serve, with commas between them: chat, responses, invocations, "
            "mcp, models, files, logs, docs, operation (default: all).",
        ),
    ] = None,
    compat: Annotated[
        bool, typer.Option("--compat", help="Serve the routes of older agent servers, too.")
    ] = False,
    allowed_modes: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="With --compat, in place of --allowed-apis: chat, agent, logs, health.",
        ),
    ] = None,
    allow_restart: Annotated[
        bool,
        typer.Option(
            "--allow-restart", help="With --compat: administrators may use /restart and /kill."
        ),
    ] = False,
    log_format: Annotated[
        LogFormat | None,
        typer.Option(
            help="Log lines as text on standard error, or as JSON on standard output.",
            show_default="json in a Databricks App, else text",
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where state is kept: sqlite:///PATH, postgresql://…, or off "
            "(default: retinue.yaml's `store`, else .retinue/state.db).",
        ),
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
    from retinue.serve.compat_settings import allowed_apis as modes_apis  # noqa: PLC0415
    from retinue.serve.compat_settings import refuse_unchecked, store_url  # noqa: PLC0415
    from retinue.serve.control import Control  # noqa: PLC0415
    from retinue.serve.factory import agents_store, app_of, create_app  # noqa: PLC0415
    from retinue.serve.generations import Generations  # noqa: PLC0415
    from retinue.serve.limits import Limits  # noqa: PLC0415
    from retinue.serve.options import APIS, ServeOptions  # noqa: PLC0415
    from retinue.serve.overload import Capacity, House  # noqa: PLC0415
    from retinue.serve.request_log import log_settings  # noqa: PLC0415
    from retinue.serve.server import listen, serve  # noqa: PLC0415
    from retinue.serve.worker import hand_over  # noqa: PLC0415

    if not compat and (allowed_modes is not None or allow_restart):
        raise UsageError("--allowed-modes and --allow-restart need --compat")
    if compat:
        store = store or store_url(os.environ)
    address = agents_store(compiled, opened, store)
    access = Access(compiled, os.environ, stored=address is not None)
    if compat:
        refuse_unchecked(os.environ, access.unchecked)
    capacity = Capacity(
        max_body=max_body * _MEGABYTE,
        max_concurrency=max_concurrency,
        caller_concurrency=caller_concurrency,
    )
    listener = listen(host, port)
    if not listener.loopback:
        access.refuse_open()
    apis = modes_apis(allowed_modes) if allowed_modes is not None else None
    options = ServeOptions(
        capacity=capacity,
        limits=Limits(rate=rate_limit, tokens=token_limit, usd=cost_limit),
        # Of the server, not of each worker: a client must not see it change.
        created=int(time.time()),
        reach="local" if listener.loopback else "public",
        apis=tuple(chosen_apis(allowed_apis, APIS) if apis is None else apis),
        compat=("restart" if allow_restart else "on") if compat else "off",
    )
    served: dict[str, Any] = {
        "offline": offline,
        "model": model,
        "settings": model_settings(temperature, max_tokens),
    }
    notes = [OFFLINE_BANNER, *offline_gaps(compiled)] if offline else []
    notes += _about_callers(access)
    asked = example(compiled, offline=offline)
    again: dict[str, Any] = {
        "project": str(opened.root),
        # Where none were named, those that come later are served after a reload.
        "agents": agents,
        "variables": named_values(variables),
        "target": target,
        "store": store,
        **served,
    }

    style: Literal["text", "json"]
    style = log_format.value if log_format else "json" if access.proxied else "text"

    def ready(url: str) -> None:
        keyed = access.modes[asked[0]] == "api_key"
        _greet(style, url, compiled, notes, asked, keyed=keyed)

    if workers > 1:
        app = hand_over(options, **again)
        serve(app, listener, workers=workers, on_ready=ready, log_format=style)
        return
    control = Control(House(capacity))
    chosen = {**served, "model": model and compilation.routes.get(model, model)}
    how: dict[str, Any] = {"options": options, "control": control}
    generations = Generations(
        app_of(
            compiled,
            store=address,
            log=log_settings(compiled, opened.root),
            **chosen,
            **how,
        )
    )
    control.reload = partial(generations.reload, partial(create_app, **again, **how))
    serve(generations, listener, on_ready=ready, on_hangup=control.reload, log_format=style)


command.__name__ = "serve"


def _about_callers(access: "Access") -> list[str]:
    notes = []
    if "databricks" in access.modes.values() and not access.proxied:
        notes.append(_NO_PROXY)
    if access.needs_stored:
        notes.append(_STORED_KEYS)
    return notes


def chosen_apis(text: str | None, known: Sequence[str]) -> list[str]:
    """The names in a list with commas. Raises UsageError for one that isn't `known`."""
    if text is None:
        return list(known)
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known)
            raise UsageError(f"there is no API '{name}' to allow; {hint}")
    return names


def _greet(
    style: str,
    url: str,
    agents: tuple[Agent, ...],
    notes: list[str],
    asked: tuple[str, str],
    *,
    keyed: bool,
) -> None:
    if style == "text":
        typer.echo(_greeting(url, agents, notes, asked, keyed=keyed), err=True)
        return
    for line in (*notes, _serving(url, agents)):
        logging.getLogger("retinue.serve").info("%s", line)


def _serving(url: str, agents: tuple[Agent, ...]) -> str:
    return f"Serving {', '.join(agent.name for agent in agents)} at {url}"


def _greeting(
    url: str,
    agents: tuple[Agent, ...],
    notes: list[str],
    asked: tuple[str, str],
    *,
    keyed: bool,
) -> str:
    """`keyed`: whether the agent that is asked is for holders of a key."""
    agent, question = asked
    message = {"role": "user", "content": question}
    body = json.dumps({"model": agent, "stream": True, "messages": [message]})
    key = " -H 'authorization: Bearer KEY'" if keyed else ""
    quoted = body.replace("'", "\\u0027")
    return "\n".join(
        [
            _serving(url, agents),
            *notes,
            "",
            f"  curl -N {url}/v1/chat/completions{key} -H 'content-type: application/json' \\",
            f"    -d '{quoted}'",
            "",
        ]
    )
