"""`retinue chat`: lines on a terminal ⇄ one conversation with an agent."""

import asyncio
import importlib
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from retinue.cli.options import (
    MaxTokensOption,
    MetadataOption,
    ModelOption,
    OfflineOption,
    ProfileOption,
    ProjectOption,
    TargetOption,
    TemperatureOption,
    UrlOption,
    VariableOption,
    checked,
    compile_project,
    model_settings,
    named_values,
    open_project,
)
from retinue.errors import RetinueError, UsageError
from retinue.project import Project
from retinue.run.messages import Message

if TYPE_CHECKING:
    from retinue.cli.conversation import Transcript
    from retinue.run.events import Event

HELP = "/clear forgets the conversation, Ctrl-C stops an answer, /exit or Ctrl-D leaves."


def command(
    ctx: typer.Context,
    agent: Annotated[
        str | None, typer.Argument(metavar="AGENT", help="An agent's name; with --url it may miss.")
    ] = None,
    offline: OfflineOption = False,
    model: ModelOption = None,
    temperature: TemperatureOption = None,
    max_tokens: MaxTokensOption = None,
    project: ProjectOption = None,
    variables: VariableOption = None,
    target: TargetOption = None,
    metadata: MetadataOption = None,
    url: UrlOption = None,
    profile: ProfileOption = None,
) -> None:
    """Talk with an agent; it remembers the conversation until you leave.

    With --url it is a deployed one, which is asked as you.
    """
    local = (offline, model, temperature, max_tokens, variables, metadata)
    if url is not None:
        if any(one is not None and one is not False for one in local):
            raise UsageError("--url goes with --profile, --target and an agent's name alone")
        at = (open_project(ctx, project), target) if target else None
        _talk(url, agent, profile, at)
        return
    if agent is None or profile:
        raise UsageError(
            "--profile goes with --url" if profile else "name the agent, or give --url"
        )
    opened = open_project(ctx, project)
    compilation = compile_project(opened, [agent], variables, target)
    (compiled,) = checked(compilation)
    chosen = compiled.with_model(
        model and compilation.routes.get(model, model), model_settings(temperature, max_tokens)
    )

    # Off the start-up path: these bring in the runtime, rich and jsonschema.
    from retinue.cli import live  # noqa: PLC0415
    from retinue.cli.conversation import Transcript  # noqa: PLC0415
    from retinue.offline.runtime import runtime_for  # noqa: PLC0415
    from retinue.run.caller import Caller  # noqa: PLC0415

    for line in (live.OFFLINE_BANNER, *live.offline_gaps([chosen])) if offline else ():
        typer.echo(line, err=True)
    typer.echo(f"{chosen.name}. {HELP}", err=True)
    caller = Caller(metadata=named_values(metadata, "--metadata"))
    with suppress(ImportError):
        importlib.import_module("readline")  # gives `input` line editing and history
    # The loop runs only while there is something to wait for but the keyboard: so the prompt has
    # line editing, and Ctrl-C leaves it at once.
    live.stop_like_interrupted()
    with asyncio.Runner() as loop:
        runtime = loop.run(runtime_for([chosen], offline=offline).__aenter__())
        try:
            _converse(loop, partial(runtime.run, chosen.name, caller=caller), Transcript())
        finally:
            loop.run(runtime.__aexit__(None, None, None))


command.__name__ = "chat"


def _talk(url: str, agent: str | None, profile: str | None, at: tuple[Project, str] | None) -> None:
    # Off the start-up path, as above.
    from retinue.cli import live  # noqa: PLC0415
    from retinue.cli.conversation import Transcript  # noqa: PLC0415
    from retinue.cli.deployed.find import find  # noqa: PLC0415
    from retinue.cli.deployed.login import choose_login  # noqa: PLC0415
    from retinue.cli.deployed.talk import Talk  # noqa: PLC0415
    from retinue.cli.deployed.target import read_target  # noqa: PLC0415

    target = read_target(at[0], {}, at[1]) if at else None
    choose_login(target, profile)
    with suppress(ImportError):
        importlib.import_module("readline")
    live.stop_like_interrupted()
    with asyncio.Runner() as loop:
        app = loop.run(find(None, url, target))
        talk = loop.run(Talk.open(app, agent))
        typer.echo(f"{talk.agent} at {app.url}. {HELP}", err=True)
        try:
            _converse(loop, talk.run, Transcript())
        finally:
            loop.run(talk.aclose())


def _converse(
    loop: asyncio.Runner,
    run: "Callable[..., AsyncGenerator[Event, None]]",
    transcript: "Transcript",
) -> None:
    # Off the start-up path, as above.
    from retinue.cli.approval import answers_at_terminal  # noqa: PLC0415
    from retinue.run.options import RunOptions  # noqa: PLC0415

    history: tuple[Message, ...] = ()
    while (line := _read()) != "/exit":
        if line == "/clear":
            history = ()
            typer.echo("forgotten", err=True)
        elif line.startswith("/"):
            typer.echo(f"there is no {line.split()[0]}. {HELP}", err=True)
        elif line:
            conversation = (*history, Message("user", line))
            try:
                end = loop.run(transcript.show(run(conversation)))
                while end.approvals:
                    options = RunOptions(answers=answers_at_terminal(end))
                    end = loop.run(transcript.show(run(conversation, options=options)))
                history = (*conversation, *end.messages)
            except RetinueError as error:
                typer.echo(f"error: {error}", err=True)
            except KeyboardInterrupt:
                typer.echo("\nstopped", err=True)


def _read() -> str:
    """The next line; the end of the input, and a bare `exit`, read as `/exit`."""
    try:
        line = input("> ").strip()
    except EOFError:
        return "/exit"
    return "/exit" if line in ("exit", "quit", "/quit") else line
