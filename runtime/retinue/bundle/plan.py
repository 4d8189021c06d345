"""A compiled agent → the plan of its app: what a bundle says of it, or why it can't be deployed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from retinue.agent import Agent
from retinue.bundle.agents import BundledAgent
from retinue.bundle.derive import Needs, deployments, derive
from retinue.bundle.names import DIGEST_PREFIX, secret_variable
from retinue.bundle.references import References
from retinue.bundle.spaces import OwnSpace
from retinue.databricks_app import AppResource, Permission, Telemetry
from retinue.errors import RetinueError
from retinue.storage import STORE_ENDPOINT

MAX_RESOURCES = 20
"""Resources that one app may have, by the platform's limit."""

DIGEST_VARIABLE = "RETINUE_SOURCE_DIGEST"


class BundleError(RetinueError):
    """Agents compile and can't be deployed; `problems` says of each why, and what to do."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class EnvVar:
    """A variable of an app's environment: its value, or the resource that gives it."""

    name: str
    value: str | None = None
    value_from: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AppPlan:
    """The app of one agent, for every target. `file` is where the agent was written.

    `notes` say what has to be granted besides, which no bundle can. `experiment` is the path of
    an MLflow experiment that the bundle makes for all of the project's apps, `store` the id of a
    Lakebase project likewise, `spaces` are the Genie spaces that it makes.
    """

    agent: str
    file: str
    description: str
    compute_size: str
    instances: tuple[int, int]
    command: tuple[str, ...]
    env: tuple[EnvVar, ...]
    resources: tuple[AppResource, ...]
    scopes: tuple[str, ...]
    permissions: tuple[Permission, ...]
    budget_policy: str | None = None
    telemetry: Telemetry | None = None
    notes: tuple[str, ...] = ()
    experiment: str | None = None
    store: str | None = None
    spaces: tuple[OwnSpace, ...] = ()

    @property
    def digest_variable(self) -> str:
        """The bundle variable that holds the digest of the app's source folder."""
        return digest_variable(self.agent)


def digest_variable(agent: str) -> str:
    """The name of the bundle variable that holds the digest of an agent's source folder."""
    return DIGEST_PREFIX + agent


def plan(bundled: BundledAgent, references: References) -> AppPlan:
    """The app of one agent. Pure. Raises BundleError with everything that stands in its way.

    `references` are those of all its files.
    """
    agent, needs = bundled.agent, derive(bundled)
    app = agent.app
    env = _environment(agent.name, references.variables, needs)
    problems = [
        *_unsupported(bundled),
        *_unset(references),
        *needs.problems,
        *_unfit(references),
        *_keyless(agent),
        *_clashes(env),
        *_too_many(needs.resources),
    ]
    if problems:
        raise BundleError(f"{agent.name}: {problem}" for problem in problems)
    text = bundled.written.text
    return AppPlan(
        agent=agent.name,
        file=_file(bundled),
        description=text(agent.description),
        compute_size=app.compute_size,
        instances=(app.min_instances, app.max_instances),
        command=_command(agent.name),
        env=env,
        resources=needs.resources,
        scopes=needs.scopes,
        permissions=tuple(
            Permission(kind=p.kind, name=text(p.name), level=p.level) for p in app.permissions
        ),
        budget_policy=app.budget_policy,
        telemetry=app.telemetry,
        notes=(*needs.notes, *_unprovided(bundled)),
        experiment=needs.experiment,
        store=needs.store,
        spaces=tuple(space for space, _ in needs.spaces),
    )


def _file(bundled: BundledAgent) -> str:
    own = [s.path for s in bundled.agent.sources if s.path.startswith("agents/")]
    stem = [
        path for path in own if path.rpartition("/")[2].rpartition(".")[0] == bundled.agent.name
    ]
    return (stem or own or [f"agents/{bundled.agent.name}.yaml"])[0]


def _command(agent: str) -> tuple[str, ...]:
    """No shell reads it; the platform itself puts the port in."""
    serve = ("python", "-m", "retinue", "serve", agent)
    return (*serve, "--host", "0.0.0.0", "--port", "$DATABRICKS_APP_PORT")  # noqa: S104 - behind the platform's proxy


def _environment(agent: str, variables: Sequence[str], needs: Needs) -> tuple[EnvVar, ...]:
    """The digest first: a change of files alone would not be deployed without it."""
    digest = EnvVar(DIGEST_VARIABLE, value=f"${{var.{digest_variable(agent)}}}")
    values = [EnvVar(f"BUNDLE_VAR_{name}", value=f"${{var.{name}}}") for name in variables]
    secrets = [
        EnvVar(secret_variable(scope, key), value_from=resource)
        for scope, key, resource in needs.secrets
    ]
    spaces = [EnvVar(space.variable, value_from=name) for space, name in needs.spaces]
    # The commit only where it is noted: an app whose environment changes is deployed again.
    traced = [
        EnvVar("MLFLOW_EXPERIMENT_ID", value_from=needs.traced),
        EnvVar("RETINUE_GIT_COMMIT", value="${bundle.git.commit}"),
    ]
    kept = [EnvVar(STORE_ENDPOINT, value_from=needs.kept)] if needs.kept else []
    return (digest, *values, *secrets, *spaces, *kept, *(traced if needs.traced else ()))


def _unsupported(bundled: BundledAgent) -> list[str]:
    return [str(key) for agent in bundled.all for key in agent.unsupported]


def _unset(references: References) -> list[str]:
    return [
        f"{place}: an app has no environment variable {name}: use ${{var.name}} or "
        f"${{secret.scope/key}}, or give a default: ${{env.{name}:-…}}"
        for place, name in references.missing
    ]


def _keyless(agent: Agent) -> list[str]:
    """An app's environment holds no keys but those that the files get from a secret; others are in
    a store.
    """
    if agent.auth is None or agent.auth.mode != "api_key" or agent.auth.keys is not None:
        return []
    if agent.store and (agent.store.lakebase or agent.store.url not in (None, "off")):
        return []
    needed = "add `keys: ${secret.scope/key}`, or a `store` in retinue.yaml for `retinue keys`"
    return [f"`auth: {{mode: api_key}}` needs keys: {needed}"]


def _unprovided(bundled: BundledAgent) -> list[str]:
    """Of models elsewhere, which take their keys from variables that an app doesn't have."""
    found = (one for agent in bundled.all for one in deployments(agent.model))
    keyless = (d for d in found if d.provider != "databricks" and not (d.api_key or d.api_base))
    return [
        f"a key for {model}: an app has none of this machine's variables, so add "
        "`api_key: ${secret.scope/key}` to the model"
        for model in dict.fromkeys(bundled.written.text(d.model) for d in keyless)
    ]


def _unfit(references: References) -> list[str]:
    """A variable reaches the app in its environment, where names have no hyphens."""
    return [
        f"the variable '{name}' can't be given to an app: name it with underscores"
        for name in references.variables
        if "-" in name
    ]


def _clashes(env: Sequence[EnvVar]) -> list[str]:
    names = [variable.name for variable in env]
    return [
        f"two things come to the environment variable {name}: rename one"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]


def _too_many(resources: Sequence[AppResource]) -> list[str]:
    if len(resources) <= MAX_RESOURCES:
        return []
    listed = ", ".join(resource.name for resource in resources)
    return [
        f"it needs {len(resources)} resources, and an app has at most {MAX_RESOURCES}: {listed}"
    ]
