"""`retinue validate`: agent files → every mistake in them."""

import json
from typing import Any

import typer

from retinue.agent import Agent
from retinue.cli.options import (
    AgentsArgument,
    Output,
    OutputOption,
    ProjectOption,
    TargetOption,
    VariableOption,
    compile_project,
    open_project,
)
from retinue.compile import Compilation
from retinue.diagnostics import Diagnostic
from retinue.errors import ProjectError


def command(
    ctx: typer.Context,
    agents: AgentsArgument = None,
    project: ProjectOption = None,
    variables: VariableOption = None,
    target: TargetOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Check agent files: all mistakes at once, each with its place and its cure."""
    opened = open_project(ctx, project)
    compilation = compile_project(opened, agents, variables, target)
    if not (compilation.agents or compilation.diagnostics):
        raise ProjectError("there are no agents: write agents/NAME.yaml")
    if output is Output.JSON:
        typer.echo(json.dumps(_as_json(compilation), indent=2, ensure_ascii=False))
    else:
        _print(compilation)
    if any(d.severity == "error" for d in compilation.diagnostics):
        raise typer.Exit(2)


command.__name__ = "validate"


def _print(compilation: Compilation) -> None:
    for diagnostic in compilation.diagnostics:
        typer.echo(diagnostic.render() + "\n", err=True)
    for agent in compilation.agents:
        files = len(agent.sources)
        typer.echo(f"ok      {agent.name}  ({files} file{'s' * (files != 1)}, {agent.digest})")
    errors = [d for d in compilation.diagnostics if d.severity == "error"]
    if errors:
        count = len(errors)
        typer.echo(f"failed  {count} mistake{'s' * (count != 1)}", err=True)


def _as_json(compilation: Compilation) -> dict[str, Any]:
    return {
        "agents": [_agent(agent) for agent in compilation.agents],
        "diagnostics": [_diagnostic(d) for d in compilation.diagnostics],
    }


def _agent(agent: Agent) -> dict[str, Any]:
    sources = [source.path for source in agent.sources]
    return {"name": agent.name, "digest": agent.digest, "sources": sources}


def _diagnostic(diagnostic: Diagnostic) -> dict[str, Any]:
    place = diagnostic.location
    return {
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "width": place.width,
        "severity": diagnostic.severity,
        "code": diagnostic.code,
        "message": diagnostic.message,
        "hint": diagnostic.hint,
    }
