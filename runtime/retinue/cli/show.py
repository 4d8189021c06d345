"""`retinue show`: one agent → what a run of it would send: prompt, tools, route, limits."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Annotated, Any

import typer

from retinue.agent import Agent, Databricks, Http, Stdio, ToolServer
from retinue.cli.options import (
    AgentArgument,
    Output,
    OutputOption,
    ProjectOption,
    TargetOption,
    VariableOption,
    checked,
    compile_project,
    open_project,
)
from retinue.compile import Origin
from retinue.route import Route

_LONGEST_VALUE = 80


def command(
    ctx: typer.Context,
    agent: AgentArgument,
    online: Annotated[
        bool,
        typer.Option("--online", help="List the tools of the real servers, not of offline twins."),
    ] = False,
    origin: Annotated[
        bool, typer.Option("--origin", help="Say where each value was written, and nothing else.")
    ] = False,
    project: ProjectOption = None,
    variables: VariableOption = None,
    target: TargetOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show what an agent is made of: rendered prompt, final tool list, route, digest.

    Prompt variables get sample values. No model is asked.
    """
    opened = open_project(ctx, project)
    compilation = compile_project(opened, [agent], variables, target, origins=origin)
    (compiled,) = checked(compilation)
    if origin:
        _print_origins(compilation.origins[compiled.name], output)
        return
    view = asyncio.run(_view(compiled, online))
    if output is Output.JSON:
        typer.echo(json.dumps(view, indent=2, ensure_ascii=False))
    else:
        _print(view)


command.__name__ = "show"


def _print_origins(origins: Sequence[Origin], output: Output) -> None:
    if output is Output.JSON:
        rows = [{"key": o.path, "value": o.value, "origin": str(o.place)} for o in origins]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for one in origins:
        value = one.value if len(one.value) <= _LONGEST_VALUE else one.value[:_LONGEST_VALUE] + "…"
        typer.echo(f"{one.place!s:<36} {one.path} = {value}")
    typer.echo("Keys that no file gives have their defaults, see docs/agents.md.", err=True)


async def _view(agent: Agent, online: bool) -> dict[str, Any]:
    # Off the start-up path: these bring in the runtime, rich and jsonschema.
    from retinue.cli import live  # noqa: PLC0415
    from retinue.offline.runtime import runtime_for  # noqa: PLC0415
    from retinue.run.prompt import sample_caller  # noqa: PLC0415

    live.stop_like_interrupted()
    # What can't be run yet is told, and all the rest can be shown.
    shown = replace(agent, unsupported=())
    async with runtime_for([shown], offline=not online) as runtime:
        health: Any = runtime.health()[agent.name]
        return {
            "name": agent.name,
            "description": agent.description,
            "digest": agent.digest,
            "sources": [source.path for source in agent.sources],
            "model": _route(agent.model),
            "limits": asdict(agent.limits),
            "unsupported": [key.key for key in agent.unsupported],
            "skills": [skill.name for skill in agent.skills],
            "mcp_servers": [
                {"name": s.name, "reached_by": _reached_by(s), **health.get(s.name, {})}
                for s in agent.mcp_servers
            ],
            "online": online,
            "tools": [asdict(tool) for tool in runtime.tools(agent.name)],
            "prompt": runtime.system_prompt(agent.name, sample_caller(agent)),
        }


def _route(route: Route) -> dict[str, Any]:
    """The route as JSON has it; references as they are written, for they may be secrets."""
    return {
        "id": route.model,
        "name": route.name,
        "settings": dict(route.settings),
        "deployments": [
            {"model": d.model, "weight": d.weight, "api_base": d.api_base and str(d.api_base)}
            for d in route.deployments
        ],
        "fallbacks": [spare.name for spare in route.fallbacks],
        "timeout": asdict(route.timeout),
        "retries": route.retries,
    }


def _models(route: dict[str, Any]) -> str:
    """One line: where it is reached, its settings, and what is asked when it fails."""
    places = ", ".join(
        d["model"] if len(route["deployments"]) == 1 else f"{d['model']} x{d['weight']}"
        for d in route["deployments"]
    )
    settings = "".join(f" {key}={value}" for key, value in route["settings"].items())
    return places + settings + "".join(f", else {name}" for name in route["fallbacks"])


def _reached_by(server: ToolServer) -> str:
    transport = server.transport
    if isinstance(transport, Stdio):
        return " ".join([transport.command, *map(str, transport.args)])
    if isinstance(transport, Http):
        return str(transport.url)
    if isinstance(transport, Databricks):
        target = "(no id yet)" if transport.target is None else transport.target
        return f"{transport.kind} {target}".rstrip()
    raise AssertionError(transport)


def _print(view: dict[str, Any]) -> None:
    limits = " ".join(
        f"{key}={value}" for key, value in view["limits"].items() if value is not None
    )
    rows = [
        ("agent", f"{view['name']}  {view['description']}".strip()),
        ("digest", view["digest"]),
        ("files", ", ".join(view["sources"])),
        ("model", _models(view["model"])),
        ("limits", limits),
        ("skills", ", ".join(view["skills"]) or "none"),
    ]
    if view["unsupported"]:
        rows.append(("not yet", ", ".join(view["unsupported"])))
    for label, value in rows:
        typer.echo(f"{label:<8}{value}")
    for server in view["mcp_servers"]:
        state = server.get("problem") or server.get("state", "left out")
        typer.echo(f"{'server':<8}{server['name']}: {server['reached_by']} ({state})")
    asked = "" if view["online"] else "; Databricks servers as their offline twins, see --online"
    typer.echo(f"\ntools ({len(view['tools'])}{asked})")
    for tool in view["tools"]:
        typer.echo(f"  {tool['name']}  {_first_line(tool['description'])}")
    typer.echo(f"\nprompt\n{_indented(view['prompt'])}")


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.splitlines())
