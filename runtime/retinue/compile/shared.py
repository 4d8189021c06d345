"""retinue.yaml → what a project's agents share, read and checked once."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from retinue.agent import Auth, CallerLimits, Observability, Variable
from retinue.compile.access_spec import (
    AuthSpec,
    LakebaseSpec,
    ObservabilitySpec,
    ProjectServeSpec,
    StoreSpec,
)
from retinue.compile.document import read_document
from retinue.compile.interpolate import CompileContext, Interpolation
from retinue.compile.layers import Layer
from retinue.compile.merge import over
from retinue.compile.mistakes import completed, read_spec
from retinue.compile.named import Named
from retinue.compile.project_spec import ProjectSpec, agent_path, parted
from retinue.compile.prompt_variables import PromptVariables
from retinue.compile.reader import Reader, ReadError
from retinue.compile.references import reference
from retinue.compile.report import Report, quoted
from retinue.compile.route import compile_route
from retinue.compile.servers import compile_servers
from retinue.compile.spec import holds_references, may_wait
from retinue.compile.tree import Document, Entry, Node, Path
from retinue.compile.variables import Variables
from retinue.diagnostics import Location
from retinue.project import PROJECT_FILE
from retinue.quotas import KINDS, QuotaError, quota
from retinue.route import Deployment, Route
from retinue.storage import STORE_DATABASE, STORE_ENDPOINT, Keep, Lakebase, Log, Store
from retinue.values import Ref, Template, Text

_MISNAMED = "retinue.yml"
_ROUTE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_PASSWORD = re.compile(r"://[^/@:]*:[^/@]+@")


@dataclass(frozen=True, slots=True)
class SharedEntry:
    """A part of the file, read by itself: its tree is under the file's root."""

    spec: ProjectSpec
    layer: Layer
    report: Report

    def node(self, path: Path) -> Node | None:
        below = self.layer.root.child(path[0])
        return below.child(path[1]) if below else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What retinue.yaml holds, right or left out; all empty where there is no such file.

    `entries` are what agents take by name, each with its own mistakes: they concern only the agents
    that take it. `base` is what every agent has.
    """

    base: Layer | None = None
    entries: Mapping[Path, SharedEntry] = field(default_factory=dict)
    named: Named = field(default_factory=lambda: Named({}, {}))
    routes: Mapping[str, Route] = field(default_factory=dict)
    variables: Mapping[str, Variable] = field(default_factory=dict)
    store: Store | None = None
    caller_limits: CallerLimits | None = None
    observability: Observability | None = None


def read_shared(
    reader: Reader,
    report: Report,
    documents: dict[str, Document],
    context: CompileContext,
    variables: Variables,
) -> Shared:
    """The project's shared settings; what is wrong in them goes to `report`."""
    own = report.sibling()
    if os.path.lexists(reader.project.root / _MISNAMED):
        message = f"the file is ignored: its name must be {PROJECT_FILE}"
        report.error(Location(_MISNAMED), message, "ignored-file", "rename it, or remove it")
    try:
        data = reader.read(PROJECT_FILE)
    except ReadError as error:
        if not os.path.lexists(reader.project.root / PROJECT_FILE):
            return Shared()
        report.error(Location(PROJECT_FILE), str(error), error.code)
        return Shared(base=replace(_nothing(failed=True), files=()))  # there is nothing to hash
    document = read_document(PROJECT_FILE, data, own)
    shared = Shared(base=_nothing(failed=True))
    if document:
        documents[PROJECT_FILE] = document
        found = _File(document, reader, own, context, variables).shared()
        # Where a part can't be read, nobody knows what agents may name.
        unread = Shared(base=_nothing(failed=True), entries=found.entries)
        shared = unread if document.root.absent else found
    report.take(own)
    return shared


def _nothing(*, failed: bool) -> Layer:
    return Layer(_no_keys(), files=(PROJECT_FILE,), failed=failed)


def _no_keys() -> Node:
    return Node({}, Location(PROJECT_FILE))


@dataclass(frozen=True, slots=True)
class _File:
    """The file as read."""

    document: Document
    reader: Reader
    report: Report
    context: CompileContext
    variables: Variables

    def shared(self) -> Shared:
        root = self.document.root
        if root.value is None:  # nothing but comments
            return Shared(base=_nothing(failed=False))
        if not isinstance(root.value, dict):
            message = "expected an object with keys such as models and defaults"
            self.report.error(root.place, message, "wrong-type")
            return Shared(base=_nothing(failed=True))
        rest, entries = parted(root)
        read = self._read(rest, self.report)
        found = {path: self._read(entry, self.report.sibling()) for path, entry in entries.items()}
        bare = {name: _route(one, name, one.report.sibling()) for name, one in _of(found, "models")}
        routes = {name: _route(one, name, one.report, bare) for name, one in _of(found, "models")}
        for name, one in _of(found, "models"):
            _check_name(name, one)
        for _, one in _of(found, "mcp_servers"):
            servers = one.spec.mcp_servers
            compile_servers(servers, one.layer.written, one.layer.root, self.reader, one.report)
        variables = {name: _variable(one, name) for name, one in _of(found, "variables")}
        spec, layer = read.spec, read.layer
        return Shared(
            base=replace(layer, root=_base(layer.root), failed=self.report.failed),
            entries=found,
            named=Named(_nodes(found, "models"), _nodes(found, "mcp_servers")),
            routes=routes,
            variables=variables,
            store=self._store(spec.store, layer.root),
            caller_limits=self._caller_limits(spec.serve, layer.root),
            observability=self._observability(spec.observability, layer.root),
        )

    def _read(self, root: Node, report: Report) -> SharedEntry:
        """A part of the file with its references replaced and what is wrong left out."""
        stage = Interpolation(
            self.context,
            self.variables,
            report,
            lambda path: holds_references(agent_path(path)),
            lambda path: may_wait(agent_path(path)),
        )
        root = stage.apply(self.document, root)
        spec, root = read_spec(ProjectSpec, root, report, _filled) or (ProjectSpec(), _no_keys())
        return SharedEntry(spec, Layer(root, stage.used, stage.written, (PROJECT_FILE,)), report)

    def _store(self, spec: StoreSpec | None, root: Node) -> Store | None:
        if spec is None:
            return None
        log, keep = Log(**spec.log.model_dump()), Keep(**spec.keep.model_dump())
        if spec.url is not None and spec.lakebase is not None:
            message = "a store has a `url`, or is in `lakebase`: one of them, not both"
            self.report.error(root.at(("store",)), message, "conflicting-keys")
            return None
        files = None
        if spec.files is not None:
            files = reference(spec.files, root, ("store", "files"), self.report, line=True)
        if spec.lakebase:
            lakebase = self._lakebase(spec.lakebase, root)
            return Store(lakebase=lakebase, files=files, log=log, keep=keep) if lakebase else None
        if spec.url is None:
            return Store(files=files, log=log, keep=keep)
        path = ("store", "url")
        url = reference(spec.url, root, path, self.report, line=True)
        if url is None:
            return None
        place = root.at(path)
        if isinstance(url, str) and not url.startswith(("sqlite:", "postgresql:")) and url != "off":
            message = "a store's URL starts with sqlite: or postgresql:, or is off"
            self.report.error(place, message, "bad-url")
        if isinstance(url, str) and _PASSWORD.search(url):
            hint = "keep the URL in a secret: ${secret.scope/key}"
            self.report.error(place, "the URL holds a password", "secret-in-clear", hint)
        return Store(url=url, files=files, log=log, keep=keep)

    def _lakebase(self, spec: LakebaseSpec, root: Node) -> Lakebase | None:
        path = ("store", "lakebase")
        if spec.project is not None:
            for key in {"name", "database"} & spec.model_fields_set:
                message = f"the bundle makes the `project`: it has no `{key}` to write"
                self.report.error(root.key((*path, key)), message, "conflicting-keys")
            endpoint = Template((Ref("env", STORE_ENDPOINT),))
            return Lakebase(name=endpoint, database=STORE_DATABASE, project=spec.project)
        if spec.name is None:
            if root.find(path).absent:  # told already
                return None
            message = "missing key `name`, or `project` for a database that the bundle makes"
            self.report.error(root.at(path), message, "missing-key")
            return None
        name = reference(spec.name, root, (*path, "name"), self.report, line=True)
        database = reference(
            spec.database or "databricks_postgres",
            root,
            (*path, "database"),
            self.report,
            line=True,
        )
        return Lakebase(name=name, database=database) if name and database else None

    def _caller_limits(self, spec: ProjectServeSpec | None, root: Node) -> CallerLimits | None:
        if spec is None or spec.limits is None:
            return None
        told = spec.limits.model_dump()
        for kind in KINDS:
            try:
                if told[kind] is not None:
                    quota(kind, told[kind])
            except QuotaError as error:
                place = root.at(("serve", "limits", kind))
                self.report.error(place, str(error), "wrong-value")
        return CallerLimits(**told)

    def _observability(self, spec: ObservabilitySpec | None, root: Node) -> Observability | None:
        if spec is None:
            return None
        path = ("observability", "otlp")
        endpoint, headers = None, dict[str, Text]()
        if spec.otlp:
            endpoint = reference(
                spec.otlp.endpoint, root, (*path, "endpoint"), self.report, url=True
            )
            for name, value in spec.otlp.headers.items():
                place = (*path, "headers", name)
                headers[name] = reference(value, root, place, self.report, line=True) or ""
        return Observability(
            mlflow_experiment=spec.mlflow_experiment,
            otlp_endpoint=endpoint,
            otlp_headers=tuple(headers.items()),
            content=spec.content,
        )


def compile_auth(spec: AuthSpec | None, root: Node, report: Report) -> Auth | None:
    """Who may call, where the files say it."""
    if spec is None or spec.mode is None:
        return None
    path = ("auth", "keys")
    keys = reference(spec.keys, root, path, report)
    if isinstance(keys, str):
        hint = "write a reference: ${secret.scope/key} or ${env.NAME}"
        report.error(root.at(path), "API keys can't be written here", "secret-in-clear", hint)
        keys = None
    return Auth(mode=spec.mode, keys=keys)


def _filled(plain: dict[str, object]) -> dict[str, object]:
    """The file with what its defaults lack."""
    defaults = plain.get("defaults")
    return {**plain, "defaults": completed(defaults)} if isinstance(defaults, dict) else plain


def _of(entries: Mapping[Path, SharedEntry], key: str) -> list[tuple[str, SharedEntry]]:
    return [(str(path[1]), entry) for path, entry in entries.items() if path[0] == key]


def _nodes(entries: Mapping[Path, SharedEntry], key: str) -> dict[str, Node | None]:
    """The trees of what agents take by name; None for one that was wrong as a whole."""
    return {name: entry.node((key, name)) for name, entry in _of(entries, key)}


def _route(
    entry: SharedEntry, name: str, report: Report, routes: Mapping[str, Route] | None = None
) -> Route:
    """A model; one that was wrong as a whole goes by its name, so that fallbacks may name it."""
    spec = entry.spec.models.get(name)
    if spec is None:
        return Route(deployments=(Deployment(model=name),), name=name)
    root, path = entry.layer.root, ("models", name)
    return compile_route(spec, root, report, path, routes=routes or {}, name=name)


def _check_name(name: str, entry: SharedEntry) -> None:
    if not _ROUTE_NAME.fullmatch(name):
        message = f"{quoted(name)} can't be a model's name here"
        hint = "letters, digits, dots, hyphens and underscores; no slash"
        entry.report.error(entry.layer.root.key(("models", name)), message, "bad-name", hint)


def _variable(entry: SharedEntry, name: str) -> Variable:
    found = PromptVariables(entry.layer.root, ("variables",), entry.report)
    return next(iter(found.compile(entry.spec.variables)), Variable(name=name))


def _base(root: Node) -> Node:
    """The tree that every agent starts from: `auth`, under the defaults."""
    defaults = root.child("defaults") or Node({}, root.place)
    auth = root.entries.get("auth")
    own = Node({"auth": Entry(auth.key, auth.node)} if auth else {}, root.place)
    return over(own, defaults)
