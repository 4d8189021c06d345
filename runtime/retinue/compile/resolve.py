"""Agent files of a project → frozen Agents, and every mistake in all of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from retinue.agent import Agent, Skill
from retinue.compile.conduct import (
    compile_app,
    compile_compaction,
    compile_description,
    compile_guardrails,
    compile_serving,
)
from retinue.compile.digest import digest
from retinue.compile.document import read_document
from retinue.compile.instructions import Checked, InstructionsStage
from retinue.compile.interpolate import CompileContext
from retinue.compile.layers import Layer, Layers
from retinue.compile.lock import compile_lock
from retinue.compile.mistakes import read_agent
from retinue.compile.origins import Origin, origins
from retinue.compile.output import compile_output_schema
from retinue.compile.reader import Reader, ReadError
from retinue.compile.remote_agents import compile_remote_agents
from retinue.compile.report import Report
from retinue.compile.route import compile_limits, compile_route, refuse_offline
from retinue.compile.servers import compile_servers
from retinue.compile.shared import compile_auth, read_shared
from retinue.compile.skills import load_skill
from retinue.compile.sources import Sources
from retinue.compile.spec import AgentSpec, SkillSpec, is_agent_name
from retinue.compile.sub_agents import Calls, check_names, circles, linked
from retinue.compile.tree import Document, Node, Path
from retinue.compile.unsupported import agent_unsupported, warn
from retinue.compile.variables import Variables, read_variables
from retinue.diagnostics import CompileError, Diagnostic, Location, did_you_mean
from retinue.errors import UsageError
from retinue.project import Project
from retinue.route import Route


@dataclass(frozen=True, slots=True)
class Compilation:
    """What came of compiling: the agents without mistakes, and everything that was found.

    `origins` are by agent, in the order of the keys, and only where the context asks for them.
    `routes` are retinue.yaml's models by name, whether an agent uses them or not.
    """

    agents: tuple[Agent, ...]
    diagnostics: tuple[Diagnostic, ...]
    origins: Mapping[str, tuple[Origin, ...]] = field(default_factory=dict)
    routes: Mapping[str, Route] = field(default_factory=dict)

    def checked(self) -> tuple[Agent, ...]:
        """The agents. Raises CompileError, with all diagnostics, when there is any error."""
        if any(diagnostic.severity == "error" for diagnostic in self.diagnostics):
            raise CompileError(self.diagnostics)
        return self.agents


_NOTHING_GIVEN = CompileContext()

_MAY_BE_INHERITED = frozenset({"missing-key", "undeclared-variable", "unused-variable"})
"""What can't be told of an agent whose `extends` can't be read as a whole."""


def compile_agents(
    project: Project,
    names: Sequence[str] | None = None,
    context: CompileContext = _NOTHING_GIVEN,
) -> Compilation:
    """The agents `names` in that order, or all of the project's in the order of their files.

    Mistakes are diagnostics, never exceptions; one broken agent hides nothing of another.
    Raises UsageError for a name that no agent has.
    """
    return _Compiler(project, context).compile(names)


@dataclass(frozen=True, slots=True)
class _File:
    """An agent file as far as it could be read, and what was found in it."""

    path: str
    document: Document | None
    report: Report

    @property
    def name(self) -> str:
        """The name that the file gives its agent."""
        named = self.document.root.child("name") if self.document else None
        stem = self.path.rpartition("/")[2].rpartition(".")[0]
        return named.value if named and isinstance(named.value, str) else stem

    @property
    def name_place(self) -> Location:
        named = self.document and self.document.root.child("name")
        return named.place if named else Location(self.path)


@dataclass(frozen=True, slots=True)
class _Made:
    """What came of one file; its tree isn't kept."""

    name: str
    place: Location
    agent: Agent | None
    report: Report


class _Compiler:
    """One compilation: what several agents share is read once."""

    def __init__(self, project: Project, context: CompileContext) -> None:
        self._project = project
        self._context = context
        self._reader = Reader(project)
        self._report = Report()
        self._prompts: Checked = {}
        self._origins: dict[str, tuple[Origin, ...]] = {}
        self._calls: dict[str, Calls] = {}
        self._taken: dict[Path, None] = {}
        self._named: dict[str, list[str]] | None = None
        self._found: dict[str, bool] = {}
        self._skills: dict[str, tuple[Skill, tuple[str, ...]] | None] = {}
        self._sources = Sources(self._reader)
        self._variables: Variables = read_variables(
            self._reader,
            self._report,
            given=context.variables,
            env=context.env,
            target=context.target,
        )
        self._documents: dict[str, Document] = {}
        self._shared = read_shared(
            self._reader, self._report, self._documents, context, self._variables
        )
        self._layers = Layers(
            context,
            self._variables,
            self._reader,
            self._report,
            self._documents,
            self._shared.base,
        )

    def compile(self, names: Sequence[str] | None) -> Compilation:
        paths = self._paths() if names is None else self._chosen([*dict.fromkeys(names)])
        made = [self._made(self._file(path)) for path in paths]
        clashing = _clashes(made)
        others = self._called(made)
        whole = self._linked([*made, *others])
        # What none of the chosen agents takes from retinue.yaml isn't theirs to mend.
        entries = self._shared.entries
        told = [one.report for one in (*made, *others)]
        told += [entries[path].report for path in (entries if names is None else self._taken)]
        for report in told:
            self._report.take(report)
        names_made = [one.name for one in made if one.name not in clashing]
        found = tuple(whole[name] for name in names_made if name in whole)
        return Compilation(found, self._report.diagnostics(), self._origins, self._shared.routes)

    def _called(self, made: Sequence[_Made]) -> list[_Made]:
        """Agents that weren't asked for, as far as the calls of those that were lead to them."""
        others: list[_Made] = []
        known = {one.name for one in made}
        while missing := {c.name for calls in self._calls.values() for c in calls} - known:
            known |= missing
            paths = [path for name in sorted(missing) for path in self._by_name().get(name, [])]
            others += [self._made(self._file(path)) for path in paths]
        return others

    def _linked(self, made: Sequence[_Made]) -> dict[str, Agent]:
        """Whole agents by name; a call that closes a circle is an error, and those in it aren't."""
        reports = {one.name: one.report for one in made}
        found = list(circles(self._calls))
        for circle in found:
            circle.tell(next((reports[n] for n in circle.names if n in reports), self._report))
        circling = {name for circle in found for name in circle.names}
        agents = {one.name: one.agent for one in made if one.agent and one.name not in circling}
        return linked(agents, self._calls, reports)

    def _paths(self) -> list[str]:
        return [path for paths in self._by_stem.values() for path in paths]

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        """The agent files by what comes before the suffix."""
        found: dict[str, list[str]] = {}
        for path in self._project.agent_files():
            found.setdefault(path.stem, []).append(self._project.shown(path))
        return found

    def _chosen(self, names: list[str]) -> list[str]:
        """The files of the agents `names`; all files are read only where stems don't decide."""
        likely = [path for name in names for path in self._by_stem.get(name, ())]
        if [self._file(path).name for path in likely] == names:
            return likely
        return [path for name in names for path in _named(name, self._by_name())]

    def _by_name(self) -> dict[str, list[str]]:
        """The files of every agent; all are read."""
        if self._named is None:
            self._named = {}
            for path in self._paths():
                self._named.setdefault(self._file(path).name, []).append(path)
        return self._named

    def _names(self) -> list[str]:
        return sorted(self._by_name())

    def _exists(self, name: str) -> bool:
        """Whether an agent has that name; all files are read only where a stem doesn't decide."""
        if name not in self._found:
            likely = self._by_stem.get(name, ())
            by_stem = any(self._file(path).name == name for path in likely)
            self._found[name] = by_stem or name in self._by_name()
        return self._found[name]

    def _file(self, path: str) -> _File:
        report = self._report.sibling()
        try:
            return _File(path, read_document(path, self._reader.read(path), report), report)
        except ReadError as error:
            report.error(Location(path), str(error), error.code)
            return _File(path, None, report)

    def _made(self, file: _File) -> _Made:
        return _Made(file.name, file.name_place, self._agent(file), file.report)

    def _agent(self, file: _File) -> Agent | None:
        if file.document is None:
            return None
        layer = self._layers.agent(file.document, file.report)
        if layer.failed:
            file.report.pass_over(_MAY_BE_INHERITED)
        layer = self._with(self._shared.named.taken(layer.root), layer)
        root = self._shared.named.applied(layer.root, file.report)
        read = read_agent(root, file.report)
        if read is None:
            return None
        spec, root = read
        if self._context.origins:
            self._origins[spec.name or file.name] = origins(root)
        fallbacks = (("models", name) for name in spec.model.fallbacks)
        return self._compiled(spec, root, file, file.document, self._with(fallbacks, layer))

    def _with(self, paths: Iterable[Path], layer: Layer) -> Layer:
        """The layer with what an agent takes from retinue.yaml, as far as it stands there."""
        taken = {path: self._shared.entries.get(path) for path in paths}
        found = {path: entry for path, entry in taken.items() if entry}
        self._taken.update(dict.fromkeys(found))
        layers = [layer, *(entry.layer for entry in found.values())]
        return replace(
            layer,
            used={name: value for one in layers for name, value in one.used.items()},
            written={place: text for one in layers for place, text in one.written.items()},
            failed=layer.failed or any(entry.report.failed for entry in found.values()),
        )

    def _compiled(
        self, spec: AgentSpec, root: Node, file: _File, document: Document, layer: Layer
    ) -> Agent | None:
        """The agent, or None where there are mistakes: all of them are found."""
        report, shared = file.report, self._shared
        if spec.name is None and "name" not in root.absent:
            _check_stem(file)
        skills = self._resolved_skills(spec.skills, root, report)
        servers = compile_servers(spec.mcp_servers, layer.written, root, self._reader, report)
        documents = {**self._documents, file.path: document}
        stage = InstructionsStage(
            file.path, documents, root, shared.variables, self._reader, report, self._prompts
        )
        prompt = stage.compile(spec.instructions)
        chosen = shared.named.route_name(layer.root)
        route = compile_route(spec.model, root, report, routes=shared.routes, name=chosen)
        if self._context.deploying:
            refuse_offline(route, root, report)
        description, described_in = compile_description(
            spec.description, root, self._reader, report
        )
        schema, schema_files = compile_output_schema(root, self._reader, report)
        guardrails = compile_guardrails(spec.guardrails, root, report)
        app = compile_app(spec.deploy.databricks_app, layer.written, root, report)
        name = spec.name or file.name
        pins, locks = compile_lock(name, servers, root, self._reader, report)
        self._calls[name] = check_names(spec.sub_agents, root, self._exists, self._names, report)
        remote = compile_remote_agents(spec.sub_agents, layer.written, root, report)
        unsupported = agent_unsupported(root)
        warn(unsupported, report)
        if prompt is None:
            return None
        instructions, prompt_paths = prompt
        own = spec.instructions.variables
        others = (variable.name for variable in instructions.variables if variable.name not in own)
        layer = self._with((("variables", name) for name in others), layer)
        if layer.failed or report.failed:
            return None
        read = [*layer.files, *prompt_paths, *described_in, *schema_files, *locks]
        read += [path for _, paths in skills for path in paths]
        agent = Agent(
            name=name,
            description=description,
            model=route,
            instructions=instructions,
            skills=tuple(skill for skill, _ in skills),
            mcp_servers=servers,
            pins=pins,
            limits=compile_limits(spec.limits),
            remote_agents=remote,
            output_schema=schema,
            guardrails=guardrails,
            compaction=compile_compaction(spec.session),
            serving=compile_serving(spec.serve),
            app=app,
            auth=compile_auth(spec.auth, root, report),
            store=shared.store,
            caller_limits=shared.caller_limits,
            observability=shared.observability,
            unsupported=unsupported,
            sources=self._sources.of(read),
        )
        return replace(agent, digest=digest(agent, layer.used))

    def _resolved_skills(
        self, specs: Sequence[SkillSpec], root: Node, report: Report
    ) -> list[tuple[Skill, tuple[str, ...]]]:
        found: dict[str, tuple[Skill, tuple[str, ...]]] = {}
        known = self._project.skill_names()
        for index, spec in enumerate(specs):
            place = root.at(("skills", index, "name"))
            if spec.name not in known:
                message = f"there is no skill '{spec.name[:60]}' under skills/"
                report.error(place, message, "unknown-skill", did_you_mean(spec.name[:60], known))
            elif spec.name in found:
                message = f"the skill '{spec.name}' is listed twice"
                report.error(place, message, "duplicate-skill", "remove one of them")
            elif skill := self._skill(spec.name, place, report):
                allowed = replace(skill[0], scripts=spec.scripts, strict=spec.strict)
                found[spec.name] = allowed, skill[1]
        return list(found.values())

    def _skill(
        self, name: str, place: Location, report: Report
    ) -> tuple[Skill, tuple[str, ...]] | None:
        """A skill, read once; a broken one is told where it lies and where it is used."""
        if name not in self._skills:
            loaded = load_skill(name, self._reader, self._report)
            self._skills[name] = loaded and (loaded[0], self._sources.add(loaded[1], self._report))
        if self._skills[name] is None:
            message = f"the skill '{name}' can't be loaded"
            report.error(place, message, "broken-skill", f"see what is said of skills/{name}")
        return self._skills[name]


def _named(name: str, paths: Mapping[str, list[str]]) -> list[str]:
    """The files that give `name`. Raises UsageError when there is none."""
    if name not in paths:
        hint = did_you_mean(name, sorted(paths))
        raise UsageError(f"there is no agent '{name}'" + (f": {hint}" if hint else ""))
    return paths[name]


def _clashes(made: Iterable[_Made]) -> set[str]:
    """Names that several files give, with an error at each."""
    by_name: dict[str, list[_Made]] = {}
    for one in made:
        by_name.setdefault(one.name, []).append(one)
    clashing = {name: group for name, group in by_name.items() if len(group) > 1}
    for name, group in clashing.items():
        for one in group:
            others = tuple((other.place, "also here") for other in group if other is not one)
            message = f"two agents are named '{name}'"
            hint = "give one of them another name"
            one.report.error(one.place, message, "duplicate-agent", hint, others)
    return set(clashing)


def _check_stem(file: _File) -> None:
    if not is_agent_name(file.name):
        file.report.error(
            Location(file.path),
            f"the file's name '{file.name}' can't be the agent's name: it takes a-z, 0-9 and "
            "hyphens, at most 20 characters",
            "bad-name",
            "add 'name: …', or rename the file",
        )
