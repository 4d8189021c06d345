"""What the tests of this room share: a project to bundle, and the bundle's own schema."""

import functools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import regex
import yaml
from jsonschema import Draft202012Validator, ValidationError, validators

from retinue.agent import Agent
from retinue.bundle.agents import BundledAgent, bundled_agents
from retinue.bundle.plan import AppPlan, plan
from retinue.bundle.references import ReferenceScan
from retinue.compile.reader import Reader
from retinue.project import Project

REPOSITORY = Path(__file__).parents[2]
FLEET = Path(__file__).parent / "fleet"

BUNDLE_FILE = """
bundle: {name: tried}
variables: {app_suffix: {default: ""}}
targets: {dev: {default: true}}
"""

_SCHEMA = REPOSITORY / ".." / "shared" / "data" / "bundle_schema.json"


def project_in(folder: Path, **agents: str) -> Project:
    """A project with the given agents, and others' files as they are there already."""
    (folder / "agents").mkdir(exist_ok=True)
    for name, text in agents.items():
        (folder / "agents" / f"{name}.yaml").write_text(text)
    if not (folder / "databricks.yml").exists():
        (folder / "databricks.yml").write_text(BUNDLE_FILE)
    return Project.at(folder)


def deployable(bundled: BundledAgent) -> BundledAgent:
    """The same, as if this version could run all that the format can say."""
    return replace(bundled, agent=_runnable(bundled.agent))


def _runnable(agent: Agent) -> Agent:
    calls = tuple(replace(call, agent=_runnable(call.agent)) for call in agent.sub_agents)
    return replace(agent, unsupported=(), sub_agents=calls)


def plans(project: Project) -> Iterator[AppPlan]:
    scan = ReferenceScan(Reader(project))
    for each in bundled_agents(project).agents:
        sources = (source.path for agent in each.all for source in agent.sources)
        yield plan(deployable(each), scan.of(sources))


OPEN = "{name: openai/x, api_base: https://models.example.com/v1}"
"""A model that needs no key."""


def planned(folder: Path, text: str = "", model: str = OPEN) -> AppPlan:
    """The plan of an agent, named `it`, with `text` in its file."""
    project = project_in(folder, it=f"model: {model}\ninstructions: Hi.\n{text}")
    return next(app for app in plans(project) if app.agent == "it")


def resources(app: AppPlan) -> list[dict[str, str]]:
    """Kind and fields of each resource."""
    return [{"kind": r.kind, **dict(r.fields)} for r in app.resources]


def compiled(project: Project, name: str) -> Agent:
    return bundled_agents(project, [name]).agents[0].agent


def _pattern(_validator, pattern, instance, _schema):
    # The schema's patterns have \p{L}, which Python's own expressions don't know.
    if isinstance(instance, str) and not regex.search(pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


@functools.cache
def _validator():
    kind = validators.extend(Draft202012Validator, {"pattern": _pattern})
    return kind(json.loads(_SCHEMA.read_text()))


def conforms(text: str) -> None:
    """Fail where a file isn't what a bundle takes; skip where the schema is absent."""
    if not _SCHEMA.exists():
        pytest.skip("the bundle's schema is not beside this repository")
    problems = [
        f"{e.json_path}: {e.message}" for e in _validator().iter_errors(yaml.safe_load(text))
    ]
    assert not problems, "\n".join(problems)
