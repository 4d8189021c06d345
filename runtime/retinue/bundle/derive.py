"""What an agent reaches → the least that its app must be allowed: resources, scopes, secrets.

Kinds and permissions are those of a bundle's `resources.apps.<key>.resources`; the scopes those of
`user_api_scopes`, as the workspace's APIs name them today. There are older names, such as
`mcp.genie`, of which users report that they are taken and let no call through. Source: the bundle's
JSON schema (`databricks bundle schema`) and
https://docs.databricks.com/aws/en/agents/mcp/managed-mcp
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from retinue.agent import (
    Agent,
    Databricks,
    DatabricksKind,
    LocalSpace,
    RemoteAgent,
    ToolServer,
)
from retinue.bundle.agents import BundledAgent
from retinue.bundle.names import named
from retinue.bundle.secrets import secret_names
from retinue.bundle.spaces import OwnSpace
from retinue.bundle.written import Written
from retinue.databricks_app import AppResource
from retinue.route import Deployment, Route
from retinue.storage import Store
from retinue.values import Template, Text

EXPERIMENT = "retinue_traces"
"""The key of the experiment that a project's bundle makes, where a path names it."""

STORE = "retinue_store"
"""The key of the Lakebase project that a bundle makes."""

DATABASE = f"{STORE}_database"
"""The key of its database: no two resources of a bundle have one key, whatever their kinds."""

# Made with its project, as the `primary` endpoint of it is.
STORE_BRANCH = f"${{resources.postgres_projects.{STORE}.id}}/branches/production"

MODEL_SCOPE = "model-serving"
SERVER_SCOPES: Mapping[DatabricksKind, str] = {
    "genie_space": "genie",
    "genie": "genie",
    "sql": "sql",
    "functions": "unity-catalog",
    "vector_search": "ai-search",
    "connection": "unity-catalog",
    "app": "apps",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What an app must be allowed. `secrets` are (scope, key, name of their resource), `spaces` the
    Genie spaces that the bundle makes, each with the name of its resource; `notes` say what a
    bundle can't grant; `experiment` is the path of one that the bundle makes, `traced` the name of
    the resource that traces go to. `store` is the id of a Lakebase project that the bundle makes,
    `kept` the name of the resource of its database.
    """

    resources: tuple[AppResource, ...]
    scopes: tuple[str, ...]
    secrets: tuple[tuple[str, str, str], ...] = ()
    spaces: tuple[tuple[OwnSpace, str], ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    experiment: str | None = None
    traced: str | None = None
    store: str | None = None
    kept: str | None = None


@dataclass(frozen=True, slots=True)
class _Want:
    """A resource that has no name yet; `label` is what it is called after."""

    label: str
    kind: str
    fields: tuple[tuple[str, str], ...]


def derive(bundled: BundledAgent) -> Needs:
    """What the agent and those that it calls need of a workspace.

    Resources that the agent's file lists come first, and replace what would be derived for the
    same thing.
    """
    stage = _Derivation(bundled.written, bundled.spaces)
    for agent in bundled.all:
        stage.agent(agent)
    listed = [r for agent in bundled.all for r in agent.app.extra_resources]
    if stage.needs_warehouse and not any(r.kind == "sql_warehouse" for r in listed):
        stage.notes.append(
            "SQL needs a warehouse: list it as `sql_warehouse` under "
            "deploy.databricks_app.extra_resources"
        )
    if stage.branch and ("branch", stage.branch) not in (f for r in listed for f in r.fields):
        stage.notes.append(
            f"`store` is in {stage.branch}: list its database as `postgres` under "
            f"deploy.databricks_app.extra_resources; `databricks postgres list-databases "
            f"{stage.branch}` shows its path"
        )
    return stage.needs(listed)


class _Derivation:
    """Collects what several agents want; each thing once."""

    def __init__(self, written: Written, spaces: Mapping[LocalSpace, OwnSpace]) -> None:
        self._written = written
        self._known_spaces = spaces
        self._spaces: dict[OwnSpace, _Want] = {}
        self._wants: dict[tuple[str, ...], _Want] = {}
        self._secrets: dict[str, _Want] = {}
        self._scopes: set[str] = set()
        self._problems: list[str] = []
        self._experiment: str | None = None
        self._traced: tuple[tuple[str, str], ...] = ()
        self._store_project: str | None = None
        self._kept: tuple[tuple[str, str], ...] = ()
        self.notes: list[str] = []
        self.needs_warehouse = False
        self.branch = ""

    def agent(self, agent: Agent) -> None:
        for deployment in deployments(agent.model):
            self._model(deployment)
        for server in agent.mcp_servers:
            if isinstance(server.transport, Databricks):
                self._server(server, server.transport)
        for remote in agent.remote_agents:
            if isinstance(remote.transport, Databricks):
                self._remote(remote, remote.transport)
        for name in secret_names(agent):
            self._secret(name)
        if agent.observability and agent.observability.mlflow_experiment:
            self._traces(self._written.text(agent.observability.mlflow_experiment))
        if agent.store:
            self._store(agent.store)

    def needs(self, listed: Iterable[AppResource]) -> Needs:
        given = tuple(dict.fromkeys(listed))
        self._problems += _twice([resource.name for resource in given])
        has = {_identity(r.kind, r.fields) for r in given}
        wants = [want for identity, want in self._wants.items() if identity not in has]
        names = named([want.label for want in wants], taken=[r.name for r in given])
        made = [
            AppResource(name=name, kind=want.kind, fields=want.fields)
            for name, want in zip(names, wants, strict=True)
        ]
        resources = (*given, *made)
        by_identity = {_identity(r.kind, r.fields): r.name for r in resources}
        secrets = tuple(
            (scope, key, by_identity[_identity("secret", want.fields)])
            for name, want in sorted(self._secrets.items())
            for scope, _, key in [name.partition("/")]
        )
        return Needs(
            resources=resources,
            scopes=tuple(sorted(self._scopes)),
            secrets=secrets,
            spaces=tuple(
                (space, by_identity[_identity(want.kind, want.fields)])
                for space, want in self._spaces.items()
            ),
            notes=tuple(dict.fromkeys(self.notes)),
            problems=tuple(dict.fromkeys(self._problems)),
            experiment=self._experiment,
            traced=by_identity.get(_identity("experiment", self._traced)),
            store=self._store_project,
            kept=by_identity.get(_identity("postgres", self._kept)),
        )

    def _want(self, label: str, kind: str, **given: str) -> _Want:
        want = _Want(label, kind, tuple(given.items()))
        return self._wants.setdefault(_identity(kind, want.fields), want)

    def _model(self, deployment: Deployment) -> None:
        if deployment.provider != "databricks" or deployment.api_key is not None:
            return
        base = deployment.api_base
        if base is not None and not self._is_here(base):
            return
        endpoint = self._written.text(deployment.model.partition("/")[2])
        if deployment.auth == "user":
            self._scopes.add(MODEL_SCOPE)
        else:
            self._want(endpoint, "serving_endpoint", name=endpoint, permission="CAN_QUERY")

    def _is_here(self, base: str | Template) -> bool:
        at = self._written.at_deployment(base) or ""
        return "${workspace.host}" in at

    def _server(self, server: ToolServer, transport: Databricks) -> None:
        if server.auth == "user":
            self._scopes.add(SERVER_SCOPES[transport.kind])
        if transport.space:
            self._own_space(server, self._known_spaces[transport.space])
            return
        target = self._target(transport)
        if target is None:
            self._problems.append(
                f"the server '{server.name}' takes its {transport.kind} from a secret, so that no "
                "permission can be derived: use a bundle variable"
            )
            return
        match transport.kind:
            case "genie_space":
                self._genie_space(server, target)
            case _ if server.auth == "user":
                pass  # the caller's own rights decide
            case "genie" | "sql":
                self._whole_workspace(server, transport.kind)
            case "functions":
                self._in_catalog(server, target, "FUNCTION", "EXECUTE")
            case "vector_search":
                self._in_catalog(server, target, "TABLE", "SELECT")
            case "connection":
                self._securable(target, "CONNECTION", "USE_CONNECTION")
            case "app":
                self._want(target, "app", name=target, permission="CAN_USE")

    def _remote(self, remote: RemoteAgent, transport: Databricks) -> None:
        if remote.auth == "user":
            self._scopes.add(SERVER_SCOPES[transport.kind])
            return
        app = self._target(transport)
        if app is None:
            self._problems.append(
                f"the sub-agent '{remote.name}' takes its app from a secret, so that no permission "
                "can be derived: use a bundle variable"
            )
        else:
            self._want(app, "app", name=app, permission="CAN_USE")

    def _target(self, transport: Databricks) -> str | None:
        """What the target is at deployment; None where only a secret says it."""
        if transport.target is None:
            return transport.written
        return self._written.at_deployment(transport.target)

    def _genie_space(self, server: ToolServer, space: str) -> None:
        """Also where callers ask as themselves: the app opens the space's server when it starts.
        That shows it no data; for those it would need the tables too.
        """
        given = {"name": server.name, "space_id": space, "permission": "CAN_RUN"}
        self._want(server.name, "genie_space", **given)
        if server.auth == "app":
            self.notes.append(
                f"the Genie space of '{server.name}': grant the app's service principal SELECT on "
                "its tables and CAN USE on its warehouse"
            )

    def _own_space(self, server: ToolServer, space: OwnSpace) -> None:
        """What is known of it can be granted, too: its warehouse and its tables."""
        given = {"name": space.title, "space_id": space.id, "permission": "CAN_RUN"}
        self._spaces[space] = self._want(server.name, "genie_space", **given)
        self._problems += space.problems
        if server.auth == "user":
            self.notes.append(
                f"the Genie space of '{server.name}': share it with its users (Can run), who need "
                "its tables and its warehouse too"
            )
            return
        self._want("warehouse", "sql_warehouse", id=space.warehouse, permission="CAN_USE")
        for table in space.grantable:
            self._securable(table, "TABLE", "SELECT")

    def _whole_workspace(self, server: ToolServer, kind: DatabricksKind) -> None:
        self.needs_warehouse |= kind == "sql"
        self.notes.append(
            f"'{server.name}' sees what the app's service principal may see: grant it the tables, "
            "or use `auth: user`"
        )

    def _in_catalog(self, server: ToolServer, target: str, kind: str, permission: str) -> None:
        """One function or index, or those of a schema that `tools.include` names one by one."""
        if _names_one(target):
            self._securable(target, kind, permission)
            return
        prefix = target.replace(".", "__") + "__"
        tools = [tool for tool in server.include if _is_plain(tool) and tool.startswith(prefix)]
        if tools and len(tools) == len(server.include):
            for tool in tools:
                self._securable(f"{target}.{tool.removeprefix(prefix)}", kind, permission)
            return
        what = "functions" if kind == "FUNCTION" else "indexes"
        self.notes.append(
            f"the {what} of '{server.name}': GRANT USE SCHEMA, {permission} ON SCHEMA {target} TO "
            "the app's service principal; or name them one by one in tools.include"
        )

    def _securable(self, name: str, kind: str, permission: str) -> None:
        label = name.rpartition(".")[2]
        given = {"securable_full_name": name, "securable_type": kind, "permission": permission}
        self._want(label, "uc_securable", **given)

    def _secret(self, name: str) -> None:
        scope, _, key = name.partition("/")
        label = f"{scope}-{key}"
        self._secrets[name] = self._want(label, "secret", scope=scope, key=key, permission="READ")

    def _store(self, store: Store) -> None:
        """A database that the bundle makes and a provisioned instance's are derived; another one of
        an autoscaling project is known by a path that its name doesn't tell.
        """
        if store.files is not None:
            self._volume(store.files)
        if store.lakebase is None:
            if str(store.url).startswith("sqlite:"):
                self.notes.append(
                    "an app's disk is lost with each deployment: keep `store` in PostgreSQL"
                )
            return
        if store.lakebase.project:
            self._own_store(store.lakebase.project)
            return
        texts = (store.lakebase.name, store.lakebase.database)
        name, database = map(self._written.at_deployment, texts)
        if name is None or database is None:
            self._problems.append(
                "`store` takes its Lakebase database from a secret, so that no permission can be "
                "derived: use a bundle variable"
            )
        elif name.startswith("projects/"):
            self.branch = name.partition("/endpoints/")[0]
        else:
            given = {"instance_name": name, "database_name": database}
            self._want("store", "database", **given, permission="CAN_CONNECT_AND_CREATE")

    def _own_store(self, project: str) -> None:
        self._store_project = self._written.text(project)
        database = f"${{resources.postgres_databases.{DATABASE}.id}}"
        given = {"branch": STORE_BRANCH, "database": database}
        self._kept = self._want(
            "store", "postgres", **given, permission="CAN_CONNECT_AND_CREATE"
        ).fields

    def _volume(self, files: Text) -> None:
        """A path in a volume: `/Volumes/CATALOG/SCHEMA/VOLUME/…`."""
        path = self._written.at_deployment(files)
        parts = (path or "").split("/")
        if parts[:2] == ["", "Volumes"] and len(parts) > 4 and all(parts[2:5]):
            self._securable(".".join(parts[2:5]), "VOLUME", "WRITE_VOLUME")
        else:
            self.notes.append(
                "an app's disk is lost with each deployment: keep `store.files` in a volume"
            )

    def _traces(self, experiment: str) -> None:
        """Traces go to an experiment by id, or to one by path, which the bundle then makes."""
        if experiment.startswith("/"):
            self._experiment = experiment
            experiment = f"${{resources.experiments.{EXPERIMENT}.id}}"
        given = {"experiment_id": experiment, "permission": "CAN_EDIT"}
        self._traced = self._want("experiment", "experiment", **given).fields


def _twice(names: Sequence[str]) -> list[str]:
    """An agent and those that it calls may list different things under one name."""
    return [
        f"extra_resources: two are named '{name}' among the agent's own and those of the agents "
        "that it calls: give one another name"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]


def _identity(kind: str, given: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """What a resource is, whatever may be done with it and whatever it is called."""
    own = {"permission", "name"} if kind == "genie_space" else {"permission"}
    rights = (
        {value for key, value in given if key == "permission"} if kind == "uc_securable" else ()
    )
    return (kind, *(f"{key}={value}" for key, value in given if key not in own), *sorted(rights))


def deployments(route: Route) -> Iterator[Deployment]:
    """The route's own and those of its fallbacks."""
    yield from route.deployments
    for fallback in route.fallbacks:
        yield from deployments(fallback)


def _names_one(target: str) -> bool:
    """Whether it names a function or an index and not a schema; a variable is one name."""
    return _without_variables(target).count(".") == 2


def _without_variables(text: str) -> str:
    before, opening, rest = text.partition("${")
    return before + _without_variables(rest.partition("}")[2]) if opening else text


def _is_plain(glob: str) -> bool:
    return not set(glob) & set("*?[")
