"""A project → all files of its bundle under `bundles/`, by path."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from retinue.bundle.agents import BundledAgent, Bundling, bundled_agents
from retinue.bundle.app_file import app_yml, digest_yml
from retinue.bundle.manifest import FILE as MANIFEST
from retinue.bundle.plan import AppPlan, BundleError, plan
from retinue.bundle.references import ReferenceScan
from retinue.bundle.shared_file import body_name, experiment_yml, space_yml, store_yml
from retinue.bundle.source import digest, source_files
from retinue.bundle.spaces import OwnSpace
from retinue.bundle.targets import Targets, check_suffixes, targets_of
from retinue.compile.reader import Reader
from retinue.diagnostics import Diagnostic
from retinue.project import Project

FOLDER = "bundles"
EXPERIMENT_FILE = f"{FOLDER}/experiment.yml"
STORE_FILE = f"{FOLDER}/store.yml"
SPACES_FOLDER = f"{FOLDER}/genie_spaces"
"""No agent can be named so."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What `bundles/` should hold. `committed` are files to review and keep under version
    control; `generated` are the others, all that lies in the folders `sources` among them.

    Where only some agents were asked for, `whole` is false, what they share with others is left
    out, and what isn't in it may stay.
    """

    plans: tuple[AppPlan, ...]
    committed: Mapping[str, bytes]
    generated: Mapping[str, bytes]
    diagnostics: tuple[Diagnostic, ...]
    whole: bool = True

    @property
    def sources(self) -> tuple[str, ...]:
        """The folders that apps run from."""
        return tuple(f"{FOLDER}/{app.agent}/source" for app in self.plans)


def bundle_of(project: Project, names: Sequence[str] | None = None) -> Bundle:
    """The bundle of the named agents, or of all. Nothing is written.

    Raises CompileError for mistakes in files, BundleError for what can't be deployed,
    UsageError for a name that no agent has, and ProjectError without a databricks.yml.
    """
    check_suffixes(project)
    bundling = bundled_agents(project, names)
    plans = _plans(project, bundling.agents)
    targets = targets_of(project)
    _check_targets(project, names, bundling, plans, targets)
    committed: dict[str, bytes] = {}
    generated: dict[str, bytes] = {}
    for bundled, app in zip(bundling.agents, plans, strict=True):
        folder = f"{FOLDER}/{app.agent}"
        files = source_files(project, bundled, app)
        committed[f"{folder}/app.yml"] = app_yml(app).encode()
        # It tells of all other files, by their digest.
        whole = digest({MANIFEST: files[MANIFEST]})
        generated[f"{folder}/digest.yml"] = digest_yml(app, whole).encode()
        generated |= {f"{folder}/source/{path}": data for path, data in files.items()}
    if not names:
        committed |= _shared(plans, targets)
    return Bundle(plans, committed, generated, bundling.diagnostics, whole=not names)


def _shared(plans: Sequence[AppPlan], targets: Targets) -> Iterator[tuple[str, bytes]]:
    """The files of what apps share: as all of retinue.yaml, it is the same for each of them."""
    for path in {app.experiment for app in plans if app.experiment}:
        yield EXPERIMENT_FILE, experiment_yml(path, plans, targets).encode()
    for store in {app.store for app in plans if app.store}:
        yield STORE_FILE, store_yml(store, plans, targets).encode()
    for space in _spaces(plans):
        yield f"{SPACES_FOLDER}/{space.key}.yml", space_yml(space, plans, targets).encode()
        yield f"{SPACES_FOLDER}/{body_name(space)}", space.body.encode()


def _plans(project: Project, agents: Iterable[BundledAgent]) -> tuple[AppPlan, ...]:
    """The plans of all agents, or every reason why there is none, of all of them."""
    scan = ReferenceScan(Reader(project))
    plans: list[AppPlan] = []
    problems: list[str] = []
    for bundled in agents:
        sources = (source.path for agent in bundled.all for source in agent.sources)
        try:
            plans.append(plan(bundled, scan.of(sources)))
        except BundleError as error:
            problems += error.problems
    if problems:
        raise BundleError(problems)
    return tuple(plans)


def _spaces(plans: Iterable[AppPlan]) -> tuple[OwnSpace, ...]:
    """The Genie spaces of all apps. Raises BundleError where two are one and the same resource."""
    spaces = tuple(dict.fromkeys(space for app in plans for space in app.spaces))
    by_key = {space.key: space for space in spaces}
    for space in spaces:
        other = by_key[space.key]
        if other.file != space.file:
            problem = f"{space.file} and {other.file}: name one of the folders otherwise"
            raise BundleError([f"two Genie spaces would be '{space.key}': {problem}"])
        if other is not space:
            raise BundleError([f"{space.file}: agents name different warehouses for it"])
    return spaces


def _check_targets(
    project: Project,
    names: Sequence[str] | None,
    bundling: Bundling,
    plans: Sequence[AppPlan],
    targets: Targets,
) -> None:
    """One plan serves every target: refuse variables whose values would make it another one."""
    for target in targets.names if bundling.settled else ():
        there = _plans(project, bundled_agents(project, names, target).agents)
        for app, other in zip(plans, there, strict=True):
            if app != other:
                variables = ", ".join(bundling.settled)
                problem = (
                    f"{app.agent}: the target '{target}' would need another app, since numbers and "
                    f"choices in it come from variables ({variables}): write them out, and what "
                    "differs under that target's `resources` in databricks.yml"
                )
                raise BundleError([problem])
