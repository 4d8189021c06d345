"""`retinue ask`: one question → one answer on the terminal."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from retinue.agent import Agent
from retinue.cli.options import (
    AgentArgument,
    MaxTokensOption,
    MetadataOption,
    ModelOption,
    OfflineOption,
    Output,
    OutputOption,
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
from retinue.run.messages import Message

if TYPE_CHECKING:
    from retinue.run.runtime import Runtime


def command(
    ctx: typer.Context,
    agent: AgentArgument,
    question: Annotated[str, typer.Argument(metavar="QUESTION")],
    offline: OfflineOption = False,
    model: ModelOption = None,
    temperature: TemperatureOption = None,
    max_tokens: MaxTokensOption = None,
    project: ProjectOption = None,
    variables: VariableOption = None,
    target: TargetOption = None,
    metadata: MetadataOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Ask an agent one question. The answer goes to stdout, its steps to stderr."""
    opened = open_project(ctx, project)
    compilation = compile_project(opened, [agent], variables, target)
    (compiled,) = checked(compilation)
    chosen = compiled.with_model(
        model and compilation.routes.get(model, model), model_settings(temperature, max_tokens)
    )
    if not question.strip():
        raise typer.BadParameter("the question is empty", param_hint="QUESTION")
    given = named_values(metadata, "--metadata")
    _ask(chosen, question, given, offline, output)


command.__name__ = "ask"


def _ask(
    agent: Agent, question: str, metadata: dict[str, str], offline: bool, output: Output
) -> None:
    # Off the start-up path: these bring in the runtime, rich and jsonschema.
    from retinue.cli import live  # noqa: PLC0415
    from retinue.cli.approval import answers_at_terminal  # noqa: PLC0415
    from retinue.cli.conversation import JsonTranscript, Transcript  # noqa: PLC0415
    from retinue.offline.runtime import runtime_for  # noqa: PLC0415
    from retinue.run.caller import Caller  # noqa: PLC0415
    from retinue.run.options import RunOptions  # noqa: PLC0415

    if offline:
        for line in (live.OFFLINE_BANNER, *live.offline_gaps([agent])):
            typer.echo(line, err=True)
    live.stop_like_interrupted()
    transcript = JsonTranscript() if output is Output.JSON else Transcript()
    asked, caller = [Message("user", question)], Caller(metadata=metadata)
    # The loop stands still while a person is asked, so that Ctrl-C leaves at once.
    with asyncio.Runner() as loop:
        runtime = loop.run(_opened(runtime_for([agent], offline=offline)))
        try:
            end = loop.run(transcript.show(runtime.run(agent.name, asked, caller=caller)))
            while end.approvals:
                options = RunOptions(answers=answers_at_terminal(end))
                run = runtime.run(agent.name, asked, caller=caller, options=options)
                end = loop.run(transcript.show(run))
        finally:
            loop.run(runtime.__aexit__(None, None, None))
    if isinstance(transcript, JsonTranscript):
        typer.echo(transcript.text(end))


async def _opened(runtime: "Runtime") -> "Runtime":
    await runtime.__aenter__()
    runtime.warm()
    return runtime
