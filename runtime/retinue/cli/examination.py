"""A project → what it needs to run, checked one by one: files, keys, models, tool servers."""

import asyncio
import logging
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from retinue import __version__
from retinue.agent import Agent, Databricks, Http, RemoteAgent, Stdio, ToolServer
from retinue.cli.online import verified
from retinue.cli.online.credentials import check_credentials
from retinue.cli.online.references import references
from retinue.compile import Compilation
from retinue.diagnostics import Diagnostic
from retinue.errors import MissingReferenceError
from retinue.project import PROJECT_FILE, Project
from retinue.route import Deployment
from retinue.run.mcp import Connection, UserConnection
from retinue.run.ports import Lookup
from retinue.run.workspace import Workspace
from retinue.values import Ref

_FILES = (PROJECT_FILE, ".env", "databricks.yml")
_SERVERS_AT_ONCE = 8

State = Literal["ok", "warning", "failed"]
_Holder = Deployment | ToolServer | RemoteAgent


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `more` is what programs may want of it besides."""

    area: Literal["python", "project", "agent", "key", "model", "server", "scripts", "store"]
    name: str
    state: State
    detail: str
    more: Mapping[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        plain = asdict(self)
        return {k: v for k, v in plain.items() if k != "more"} | dict(self.more)


def surroundings(project: Project) -> Iterator[Check]:
    """What runs, and in which project."""
    version = platform.python_version()
    yield Check("python", version, "ok", f"retinue {__version__}, {sys.executable}")
    found = [name for name in _FILES if (project.root / name).is_file()]
    agents = len(project.agent_files())
    detail = ", ".join([f"{agents} agent file{'s' * (agents != 1)}", *found])
    yield Check("project", str(project.root), "ok", detail)


def compiled(compilation: Compilation) -> Iterator[Check]:
    """The agents, and what is wrong in their files."""
    for found in compilation.diagnostics:
        yield _of_diagnostic("agent", found)
    for agent in compilation.agents:
        for unsupported in agent.unsupported:
            yield Check("agent", agent.name, "failed", f"can't be run yet: {unsupported}")
        yield Check("agent", agent.name, "ok", f"model {agent.model.model}, {agent.digest}")


def _of_diagnostic(area: Literal["agent", "model"], found: Diagnostic) -> Check:
    state: State = "failed" if found.severity == "error" else "warning"
    hint = f" ({found.hint})" if found.hint else ""
    return Check(area, str(found.location), state, f"{found.message}{hint}", {"code": found.code})


async def keys(agents: Sequence[Agent], lookup: Lookup) -> list[Check]:
    """Every key that the agents name, by name, and what their models and servers need beside."""
    found: dict[str, Check] = {}
    deployments = dict.fromkeys(d for agent in agents for d in _deployments(agent))
    tool_servers = dict.fromkeys(server for agent in agents for server in agent.mcp_servers)
    elsewhere = dict.fromkeys(remote for agent in agents for remote in agent.remote_agents)
    holders: tuple[_Holder, ...] = (*deployments, *tool_servers, *elsewhere)
    for holder in holders:
        for ref in references(holder):
            found.setdefault(str(ref), _key(ref, lookup))
    if any(_is_managed(holder) for holder in holders):
        found["Databricks"] = await _workspace(lookup)
    for deployment in deployments:
        if not _is_managed(deployment) and (check := await _credentials(deployment, lookup)):
            found[check.name] = check
    return list(found.values())


def _key(ref: Ref, lookup: Lookup) -> Check:
    try:
        lookup(ref)
    except MissingReferenceError as missing:
        return Check("key", str(ref), "failed", str(missing))
    return Check("key", str(ref), "ok", "is set")


def _deployments(agent: Agent) -> tuple[Deployment, ...]:
    routes = (agent.model, *agent.model.fallbacks)
    return tuple(deployment for route in routes for deployment in route.deployments)


def _is_managed(holder: _Holder) -> bool:
    """Whether the workspace's own credentials are what it needs."""
    if not isinstance(holder, Deployment):
        return isinstance(holder.transport, Databricks)
    own = holder.api_base is not None or holder.api_key is not None
    return holder.provider == "databricks" and not own


async def _credentials(deployment: Deployment, lookup: Lookup) -> Check | None:
    """What its provider wants in the environment; None where its own references say it."""
    if deployment.provider == "offline" or deployment.api_key is not None:
        return None
    try:
        missing = await check_credentials(deployment, lookup)
    except MissingReferenceError:
        return None
    if missing:
        return Check("key", deployment.model, "failed", missing[0].message)
    return Check("key", deployment.model, "ok", "its provider's key is set")


async def _workspace(lookup: Lookup) -> Check:
    try:
        async with asyncio.timeout(30):
            workspace = await Workspace.find(lookup)
    except MissingReferenceError as missing:
        return Check("key", "Databricks", "failed", str(missing))
    except TimeoutError:
        return Check("key", "Databricks", "failed", "no credentials were given within 30 s")
    return Check("key", "Databricks", "ok", f"signs requests to {workspace.url}")


async def models(compilation: Compilation, project: Project, lookup: Lookup) -> list[Check]:
    """Whether the models' routes lead somewhere; no model is asked."""
    alone = tuple(replace(agent, mcp_servers=()) for agent in compilation.agents)
    found = await verified(replace(compilation, agents=alone), project, lookup)
    wrong = dict.fromkeys(one for several in found.values() for one in several)
    if wrong:
        return [_of_diagnostic("model", one) for one in wrong]
    names = dict.fromkeys(d.model for agent in alone for d in _deployments(agent))
    return [Check("model", name, "ok", "can be reached") for name in names]


async def servers(agents: Sequence[Agent], lookup: Lookup) -> list[Check]:
    """Every tool server, started or connected to; several at a time."""
    users: dict[ToolServer, list[str]] = {}
    for agent in agents:
        for server in agent.mcp_servers:
            users.setdefault(server, []).append(agent.name)
    places = asyncio.Semaphore(_SERVERS_AT_ONCE)

    async def one(server: ToolServer, names: list[str]) -> Check:
        async with places:
            return await _server(server, names, lookup)

    return await asyncio.gather(*(one(server, names) for server, names in users.items()))


async def _server(server: ToolServer, agents: list[str], lookup: Lookup) -> Check:
    kind = UserConnection if server.auth == "user" else Connection
    connection = kind(server, lookup)
    remarks = _Remarks(server.name)
    log = logging.getLogger("retinue.run.mcp")
    log.addHandler(remarks)
    try:
        await connection.start()
        return _seen(server, agents, connection, remarks.told)
    finally:
        await connection.aclose()
        log.removeHandler(remarks)


def _seen(
    server: ToolServer,
    agents: list[str],
    connection: Connection | UserConnection,
    remarks: list[str],
) -> Check:
    """What a connection shows after its first attempt."""
    names = [tool.name for tool in connection.tools]
    more = {
        "agents": agents,
        "transport": _transport(server),
        "required": server.required,
        "connection": connection.state,
        "latency_seconds": connection.latency and round(connection.latency, 3),
        "protocol": connection.protocol,
        "tools": names,
        "remarks": remarks,
    }
    if connection.state != "up":
        return Check("server", server.name, "failed", f"is down: {connection.problem}", more)
    parts = [f"is up in {connection.latency:.2f} s" if connection.latency else "is up"]
    parts += [f"{len(names)} tool{'s' * (len(names) != 1)}", f"MCP {connection.protocol}"]
    state: State = "warning" if remarks or connection.problem else "ok"
    told = [", ".join(parts), *filter(None, [connection.problem]), *remarks]
    return Check("server", server.name, state, "; ".join(told), more)


class _Remarks(logging.Handler):
    """What the log says of one server meanwhile: tools left out, filters that match none."""

    def __init__(self, server: str) -> None:
        super().__init__(logging.WARNING)
        self._marks = (f"'{server}': ", f"'{server}' lists", f"mcp_servers.{server}.")
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text.startswith(self._marks):
            self.told.append(text)


def _transport(server: ToolServer) -> str:
    match server.transport:
        case Http():
            return "url"
        case Databricks(kind=kind):
            return f"databricks {kind}"
        case Stdio():
            return "command"
