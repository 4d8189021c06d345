"""Compiled agents → diagnostics of everything in them that can't be reached as it should."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, TypeVar

from retinue.agent import Agent, Databricks, ToolServer
from retinue.cli.online import resources
from retinue.cli.online.credentials import check_credentials
from retinue.cli.online.finding import Finding, OnlineCode
from retinue.cli.online.places import Places
from retinue.cli.online.references import references
from retinue.cli.online.servers import bare, check_tools, listed
from retinue.compile import Compilation
from retinue.diagnostics import Diagnostic
from retinue.errors import MissingReferenceError
from retinue.project import Project
from retinue.route import Deployment
from retinue.run.ports import Lookup
from retinue.run.references import resolved
from retinue.run.workspace import Workspace
from retinue.run.workspace_api import WorkspaceApi
from retinue.values import Ref

T = TypeVar("T")

Found = list[tuple[str, Finding]]
"""Findings, each with the path in the agent's file that it is about."""

# A Databricks route's own key; with it the workspace isn't asked.
_OWN_KEY = Ref("env", "DATABRICKS_API_KEY", default="")
_NO_WORKSPACE = "set the variable, or log in with `databricks auth login`"
_NO_VALUE = "give the bundle variable with --var, or name a --target that has it"
_SERVERS_AT_ONCE = 8


async def verified(
    compilation: Compilation, project: Project, lookup: Lookup, *, longest: float = 60.0
) -> Mapping[str, tuple[Diagnostic, ...]]:
    """What is wrong with each agent, at the lines it is about.

    The compilation needs its origins. All checks run side by side, each for at most `longest`
    seconds; what several agents share is checked once.
    """
    places = {
        agent.name: Places(agent, compilation.origins.get(agent.name, ()), project)
        for agent in compilation.agents
    }
    async with AsyncExitStack() as stack:
        checks = _Checks(lookup, longest, stack)
        found = await asyncio.gather(
            *(checks.agent(agent, places[agent.name]) for agent in compilation.agents)
        )
    return {
        agent.name: places[agent.name].diagnostics(findings)
        for agent, findings in zip(compilation.agents, found, strict=True)
    }


class _Checks:
    """One verification. Every check is made once, whoever needs it."""

    def __init__(self, lookup: Lookup, longest: float, stack: AsyncExitStack) -> None:
        self._outer = lookup
        self._longest = longest
        self._stack = stack
        self._made: dict[Hashable, asyncio.Task[Any]] = {}
        self._starting = asyncio.Semaphore(_SERVERS_AT_ONCE)
        self._url: str | None = None
        self._secrets: dict[str, str] = {}
        self._unreadable: set[str] = set()

    async def agent(self, agent: Agent, places: Places) -> Found:
        """Everything that is wrong with it. Secrets come first: servers may need them."""
        deployments = dict.fromkeys(agent.model.deployments, "model")
        for index, fallback in enumerate(agent.model.fallbacks):
            for one in fallback.deployments:
                deployments.setdefault(one, f"model.fallbacks.{index}")
        needed = [(path, ref) for one, path in deployments.items() for ref in references(one)]
        needed += [(_path(s), ref) for s in agent.mcp_servers for ref in references(s)]
        found = await _side_by_side(
            self._within(path, "online-secret", self._prepare(ref)) for path, ref in needed
        )
        checks = [
            self._within(path, "online-model", self._model(d), d.model)
            for d, path in deployments.items()
        ]
        checks += [
            self._within(_path(server), "online-server", self._server(server))
            for server in agent.mcp_servers
        ]
        for index, resource in enumerate(agent.app.extra_resources):
            path = f"deploy.databricks_app.extra_resources.{index}.{resource.kind}"
            fields = {name: places.value(f"{path}.{name}") or v for name, v in resource.fields}
            check = self._resource(resource.kind, fields)
            checks.append(self._within(path, "online-resource", check))
        return _told_once([*found, *await _side_by_side(checks)])

    async def _within(
        self,
        path: str,
        code: OnlineCode,
        check: Coroutine[Any, Any, list[Finding]],
        value: str | None = None,
    ) -> Found:
        try:
            async with asyncio.timeout(self._longest):
                return [(path, finding) for finding in await check]
        except TimeoutError:
            message = f"there was no answer within {self._longest:g} s"
            return [(path, Finding(code, message, value=value))]
        except MissingReferenceError as missing:
            return [(path, Finding("online-credentials", str(missing), value=value))]

    async def _once(self, key: Hashable, check: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of a check that is made by the first who wants it."""
        if key not in self._made:
            task = self._made[key] = asyncio.create_task(check())
            self._stack.callback(task.cancel)
        result: T = await asyncio.shield(self._made[key])
        return result

    async def _api(self) -> WorkspaceApi:
        async def opened() -> WorkspaceApi:
            workspace = await Workspace.find(self._outer)
            self._url = workspace.url
            return await self._stack.enter_async_context(WorkspaceApi(workspace))

        return await self._once("workspace", opened)

    def _lookup(self, ref: Ref) -> str:
        """As a run's own, but for secrets that were read and a host that a profile names."""
        read = self._secrets.get(ref.name) if ref.kind == "secret" else None
        if ref.kind == "workspace" and ref.default is None:
            read = self._url
        return self._outer(ref) if read is None else read

    async def _prepare(self, ref: Ref) -> list[Finding]:
        """Look for what the workspace knows: its host, and secrets, which an App would be given."""
        if ref.kind == "workspace":
            await self._api()
        return await self._secret(ref) if ref.kind == "secret" else []

    async def _secret(self, ref: Ref) -> list[Finding]:
        try:
            self._outer(ref)
        except MissingReferenceError as unset:
            self._unreadable.add(ref.name)
            try:
                api = await self._api()
            except MissingReferenceError:
                message = f"{unset}, and no workspace can be asked for it without credentials"
                return [Finding("online-secret", message, _NO_WORKSPACE, value=str(ref))]
            scope, _, key = ref.name.partition("/")
            read = await resources.read_secret(api, scope, key)
            if not isinstance(read, str):
                return [replace(finding, value=str(ref)) for finding in read]
            self._secrets[ref.name] = read
            self._unreadable.discard(ref.name)
        return []

    def _is_told(self, holder: Deployment | ToolServer) -> bool:
        """Whether it needs a secret that can't be read, which is said already."""
        return any(ref.name in self._unreadable for ref in references(holder))

    async def _model(self, deployment: Deployment) -> list[Finding]:
        provider, _, name = deployment.model.partition("/")
        if provider == "offline" or self._is_told(deployment):
            return []
        elsewhere = deployment.api_base is not None or deployment.api_key is not None
        if provider == "databricks" and not elsewhere and not self._outer(_OWN_KEY):
            found = await resources.check_endpoint(await self._api(), name)
        else:
            found = await check_credentials(deployment, self._lookup)
        return [replace(finding, value=deployment.model) for finding in found]

    async def _server(self, server: ToolServer) -> list[Finding]:
        if self._is_told(server):
            return []
        transport = server.transport
        if isinstance(transport, Databricks) and transport.space:
            # The bundle makes it, and may not have yet; nothing but its warehouse has to be there.
            return await self._resource("sql_warehouse", {"id": transport.space.warehouse})
        if isinstance(transport, Databricks):
            found = await self._databricks(transport)
            if found:
                return found

        async def tools() -> list[str] | Finding:
            async with self._starting:
                return await listed(server, self._lookup)

        names = await self._once(bare(server), tools)
        return [names] if isinstance(names, Finding) else list(check_tools(server, names))

    async def _databricks(self, transport: Databricks) -> list[Finding]:
        if transport.target is None:
            message = f"its {transport.kind} has no value here"
            return [Finding("online-resource", message, _NO_VALUE)]
        target = resolved(transport.target, self._lookup)
        api = await self._api()
        match transport.kind:
            case "genie_space":
                return await resources.check_space(api, target)
            case "functions" | "vector_search" as kind:
                return await resources.check_in_schema(api, kind, target)
            case "connection":
                return await resources.check_securable(api, "CONNECTION", target)
            case "app":
                return await resources.check_app(api, target)
            case "genie" | "sql":  # a workspace has one, and it has no address of its own
                return []

    async def _resource(self, kind: str, fields: Mapping[str, str]) -> list[Finding]:
        if any("${" in value for value in fields.values()):
            return []  # a bundle's own, which may not be there before it is deployed
        api = await self._api()
        match kind:
            case "sql_warehouse":
                return await resources.check_warehouse(api, fields["id"])
            case "serving_endpoint":
                return await resources.check_endpoint(api, fields["name"])
            case "job":
                return await resources.check_job(api, fields["id"])
            case "genie_space":
                return await resources.check_space(api, fields["space_id"])
            case "app":
                return await resources.check_app(api, fields["name"])
            case "uc_securable":
                kind, name = fields["securable_type"], fields["securable_full_name"]
                return await resources.check_securable(api, kind, name)
            case "secret":
                read = await resources.read_secret(api, fields["scope"], fields["key"])
                return [] if isinstance(read, str) else read
        return []


def _path(server: ToolServer) -> str:
    return f"mcp_servers.{server.name}"


async def _side_by_side(checks: Iterable[Awaitable[Found]]) -> Found:
    return [finding for found in await asyncio.gather(*checks) for finding in found]


def _told_once(found: Found) -> Found:
    """Without repeats of what has one cause, such as credentials that nothing can do without."""
    seen: set[str] = set()
    kept: Found = []
    for path, finding in found:
        if finding.code != "online-credentials" or finding.message not in seen:
            kept.append((path, finding))
        seen.add(finding.message)
    return kept
