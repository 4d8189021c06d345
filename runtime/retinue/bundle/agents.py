"""A project → its agents as a bundle needs them: compiled for every target at once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from retinue.agent import Agent, Databricks, LocalSpace
from retinue.bundle.names import DIGEST_PREFIX
from retinue.bundle.spaces import OwnSpace, read_space
from retinue.bundle.written import Written
from retinue.compile import Compilation, CompileContext, compile_agents
from retinue.compile.reader import Reader
from retinue.compile.report import Report
from retinue.compile.variables import read_variables
from retinue.diagnostics import Diagnostic
from retinue.project import Project

# Nothing of this machine's environment goes into a bundle; a bundle knows its workspace itself.
_ENVIRONMENT = {"DATABRICKS_HOST": "${workspace.host}"}


@dataclass(frozen=True, slots=True)
class BundledAgent:
    """An agent, how its variables are written, and the Genie spaces that the bundle makes."""

    agent: Agent
    written: Written
    spaces: Mapping[LocalSpace, OwnSpace] = field(default_factory=dict)

    @property
    def all(self) -> tuple[Agent, ...]:
        """The agent and those that it calls, however indirectly; each once."""
        return tuple({agent.name: agent for agent in _with_callees(self.agent)}.values())


@dataclass(frozen=True, slots=True)
class Bundling:
    """The agents that were asked for, and what the compiler warns of.

    `settled` are variables that are numbers or choices: they have the value of one target.
    """

    agents: tuple[BundledAgent, ...]
    diagnostics: tuple[Diagnostic, ...]
    settled: tuple[str, ...] = ()


def bundled_agents(
    project: Project, names: Sequence[str] | None = None, target: str | None = None
) -> Bundling:
    """The named agents, or all. Raises CompileError, also for a space.yaml with mistakes, and
    UsageError for a name that none has.

    A variable keeps its name wherever a text may stand. One that is a number or a choice has the
    value of `target`, or else of the default one.
    """
    declared = _declared(project)
    stage = _Stage(project, target)
    written = Written(declared)
    compilation = stage.compiled(names, written)
    if _failed(compilation):
        written = Written(tuple(stage.texts(names, declared)))
        compilation = stage.compiled(names, written)
    agents = compilation.checked()
    spaces = {local: read_space(project, local) for local in _local_spaces(agents)}
    made = (BundledAgent(agent, written, spaces) for agent in agents)
    settled = tuple(name for name in declared if name not in written.names)
    return Bundling(tuple(made), compilation.diagnostics, settled)


def _declared(project: Project) -> tuple[str, ...]:
    """The variables of databricks.yml and its includes, but for those that this room makes."""
    variables = read_variables(Reader(project), Report(), given={}, env={}, target=None)
    return tuple(name for name in variables.declared or () if not name.startswith(DIGEST_PREFIX))


@dataclass(frozen=True, slots=True)
class _Stage:
    """Compiles a project's agents with stand-ins for some variables."""

    project: Project
    target: str | None

    def compiled(self, names: Sequence[str] | None, written: Written) -> Compilation:
        context = CompileContext(
            env=_ENVIRONMENT, variables=written.stand_ins, target=self.target, defer_env=True
        )
        return compile_agents(self.project, names or None, context)

    def texts(self, names: Sequence[str] | None, declared: Sequence[str]) -> Iterator[str]:
        """The variables that a stand-in can replace: those that bring no mistake of their own."""
        least = _failed(self.compiled(names, Written()))
        for name in declared:
            if _failed(self.compiled(names, Written((name,)))) <= least:
                yield name


def _failed(compilation: Compilation) -> int:
    return sum(diagnostic.severity == "error" for diagnostic in compilation.diagnostics)


def _local_spaces(agents: Sequence[Agent]) -> tuple[LocalSpace, ...]:
    """Those of all agents and the ones they call, each once."""
    servers = (s for agent in agents for each in _with_callees(agent) for s in each.mcp_servers)
    transports = (server.transport for server in servers)
    found = (t.space for t in transports if isinstance(t, Databricks) and t.space)
    return tuple(dict.fromkeys(found))


def _with_callees(agent: Agent) -> Iterator[Agent]:
    yield agent
    for call in agent.sub_agents:
        yield from _with_callees(call.agent)
