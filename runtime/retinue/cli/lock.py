"""`retinue lock`: what tool servers list now → a lock for each agent, or what differs from it."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from retinue.agent import Agent, ToolServer
from retinue.cli.options import (
    AgentsArgument,
    ProjectOption,
    TargetOption,
    VariableOption,
    checked,
    compile_project,
    open_project,
)
from retinue.compile.lock import lock_path, lock_text
from retinue.errors import NotReadyError
from retinue.pins import ServerPins
from retinue.project import Project

if TYPE_CHECKING:
    from retinue.run.ports import Lookup


def command(
    ctx: typer.Context,
    agents: AgentsArgument = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail where a lock is not up to date.")
    ] = False,
    project: ProjectOption = None,
    variables: VariableOption = None,
    target: TargetOption = None,
) -> None:
    """Keep the tools of an agent's MCP servers as they are now, in agents/NAME.lock.

    Tools that are not as they were locked are told when the agent runs, or not used
    (`tools: {pin: strict}`). Commit the file: a change of it shows what a server changed.
    """
    opened = open_project(ctx, project)
    compiled = checked(compile_project(opened, agents, variables, target))
    listed = asyncio.run(_listed({s for agent in compiled for s in agent.mcp_servers}))
    stale = [agent.name for agent in compiled if _lock(opened, agent, listed, check=check)]
    if check and stale:
        typer.echo(f"not up to date: {', '.join(stale)}; run `retinue lock`", err=True)
        raise typer.Exit(1)


command.__name__ = "lock"


def _lock(
    project: Project, agent: Agent, listed: dict[ToolServer, ServerPins], *, check: bool
) -> bool:
    """Bring one lock up to date, or only look; whether it was not."""
    # Off the start-up path: this brings in the ports of a run.
    from retinue.run.pins import drift  # noqa: PLC0415

    path = lock_path(agent.name)
    place = project.inside(path)
    found = [listed[server] for server in agent.mcp_servers]
    old = place.read_text(encoding="utf-8") if place.is_file() else ""
    new = lock_text(found) if found else ""
    if old == new:
        typer.echo(f"{path}: up to date" if new else f"{agent.name}: no tool servers")
        return False
    typer.echo(f"{path}: {'not up to date' if check else 'written' if new else 'removed'}")
    locked = {one.server: one for one in agent.pins}
    for name in sorted({one.server for one in found} | locked.keys()):
        now = next((one for one in found if one.server == name), ServerPins(name, ()))
        for one in drift(locked.get(name, ServerPins(name, ())), now):
            typer.echo("\n".join(f"  {name} {line}" for line in one.lines()))
    if not check and new:
        place.write_text(new, encoding="utf-8")
    elif not check:
        place.unlink()
    return True


async def _listed(servers: set[ToolServer]) -> dict[ToolServer, ServerPins]:
    """What each server lists. Raises NotReadyError, which names all that can't be reached."""
    from retinue.run.references import environment  # noqa: PLC0415

    lookup = environment()
    ordered = sorted(servers, key=lambda server: server.name)
    answers = await asyncio.gather(*(_ask(server, lookup) for server in ordered))
    problems = [answer for answer in answers if isinstance(answer, str)]
    if problems:
        raise NotReadyError("\n".join([*dict.fromkeys(problems), "nothing was written"]))
    return {s: a for s, a in zip(ordered, answers, strict=True) if not isinstance(a, str)}


async def _ask(server: ToolServer, lookup: "Lookup") -> ServerPins | str:
    from retinue.run.mcp import Connection  # noqa: PLC0415
    from retinue.run.pins import pinned  # noqa: PLC0415

    connection = Connection(server, lookup)
    try:
        await connection.start()
        if connection.state != "up":
            return f"the tool server '{server.name}' can't be reached: {connection.problem}"
        return pinned(server.name, connection.tools)
    finally:
        await connection.aclose()
