"""retinue.yaml → what a project's agents share, read and checked once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from retinue.agent import Auth, Observability, Route, Store, Text, Unsupported, Variable
from retinue.compile.access_spec import AuthSpec, ObservabilitySpec, StoreSpec
from retinue.compile.document import read_document
from retinue.compile.interpolate import CompileContext, Interpolation
from retinue.compile.layers import Layer
from retinue.compile.merge import over
from retinue.compile.mistakes import completed, read_spec
from retinue.compile.named import Named
from retinue.compile.project_spec import ProjectSpec, agent_path
from retinue.compile.prompt_variables import PromptVariables
from retinue.compile.reader import Reader, ReadError
from retinue.compile.references import reference
from retinue.compile.report import Report, quoted
from retinue.compile.route import compile_route
from retinue.compile.servers import compile_servers
from retinue.compile.spec import holds_references, may_wait
from retinue.compile.tree import Document, Entry, Node
from retinue.compile.unsupported import unsupported_keys
from retinue.compile.variables import Variables
from retinue.diagnostics import Location
from retinue.project import PROJECT_FILE

_ROUTE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_PASSWORD = re.compile(r"://[^/@:]*:[^/@]+@")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What retinue.yaml holds, right or left out; all empty where there is no such file."""

    base: Layer | None = None
    named: Named = field(default_factory=lambda: Named({}, {}))
    routes: Mapping[str, Route] = field(default_factory=dict)
    variables: Mapping[str, Variable] = field(default_factory=dict)
    store: Store | None = None
    observability: Observability | None = None
    unsupported: tuple[Unsupported, ...] = ()


def read_shared(
    reader: Reader,
    report: Report,
    documents: dict[str, Document],
    context: CompileContext,
    variables: Variables,
) -> Shared:
    """The project's shared settings; what is wrong in them goes to `report`."""
    own = report.sibling()
    try:
        data = reader.read(PROJECT_FILE)
    except ReadError as error:
        if not (reader.project.root / PROJECT_FILE).exists():
            return Shared()
        report.error(Location(PROJECT_FILE), str(error), error.code)
        return Shared(base=replace(_nothing(failed=True), files=()))  # there is nothing to hash
    document = read_document(PROJECT_FILE, data, own)
    shared = Shared(base=_nothing(failed=True))
    if document:
        documents[PROJECT_FILE] = document
        shared = _File(document, reader, own, context, variables).shared()
    report.take(own)
    return shared


def _nothing(*, failed: bool) -> Layer:
    return Layer(Node({}, Location(PROJECT_FILE)), files=(PROJECT_FILE,), failed=failed)


@dataclass(frozen=True, slots=True)
class _File:
    """The file as read."""

    document: Document
    reader: Reader
    report: Report
    context: CompileContext
    variables: Variables

    def shared(self) -> Shared:
        stage = Interpolation(
            self.context,
            self.variables,
            self.report,
            lambda path: holds_references(agent_path(path)),
            lambda path: may_wait(agent_path(path)),
        )
        root = stage.apply(self.document)
        if root.value is None:  # nothing but comments
            return Shared(base=_nothing(failed=False))
        if not isinstance(root.value, dict):
            message = "expected an object with keys such as models and defaults"
            self.report.error(root.place, message, "wrong-type")
            return Shared(base=_nothing(failed=True))
        read = read_spec(ProjectSpec, root, self.report, _filled)
        if read is None:
            return Shared(base=_nothing(failed=True))
        spec, root = read
        self._check_names(root)
        routes = self._routes(spec, root)
        compile_servers(spec.mcp_servers, stage.written, root, self.reader, self.report)
        found = PromptVariables(root, ("variables",), self.report).compile(spec.variables)
        return Shared(
            base=Layer(_base(root), stage.used, stage.written, (PROJECT_FILE,), self.report.failed),
            named=Named(_nodes(root, "models"), _nodes(root, "mcp_servers")),
            routes=routes,
            variables={variable.name: variable for variable in found},
            store=self._store(spec.store, root),
            observability=self._observability(spec.observability, root),
            unsupported=unsupported_keys(root, ("store", "observability")),
        )

    def _routes(self, spec: ProjectSpec, root: Node) -> dict[str, Route]:
        """The models, first without fallbacks, which may be any of them."""
        unheard = self.report.sibling()
        bare = {
            name: compile_route(model, root, unheard, ("models", name), name=name)
            for name, model in spec.models.items()
        }
        return {
            name: compile_route(model, root, self.report, ("models", name), routes=bare, name=name)
            for name, model in spec.models.items()
        }

    def _check_names(self, root: Node) -> None:
        for name in _nodes(root, "models"):
            if not _ROUTE_NAME.fullmatch(name):
                message = f"{quoted(name)} can't be a model's name here"
                hint = "letters, digits, dots, hyphens and underscores; no slash"
                self.report.error(root.key(("models", name)), message, "bad-name", hint)

    def _store(self, spec: StoreSpec | None, root: Node) -> Store | None:
        if spec is None:
            return None
        path = ("store", "url")
        url = reference(spec.url, root, path, self.report, line=True)
        if url is None:
            return None
        place = root.at(path)
        if isinstance(url, str) and not url.startswith(("sqlite:", "postgresql:")):
            message = "a store's URL starts with sqlite: or postgresql:"
            self.report.error(place, message, "bad-url")
        if isinstance(url, str) and _PASSWORD.search(url):
            hint = "keep the URL in a secret: ${secret.scope/key}"
            self.report.error(place, "the URL holds a password", "secret-in-clear", hint)
        return Store(url=url)

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


def compile_auth(spec: AuthSpec | None) -> Auth | None:
    """Who may call, where the files say it."""
    return Auth(mode=spec.mode) if spec and spec.mode else None


def _filled(plain: dict[str, object]) -> dict[str, object]:
    """The file with what its defaults lack."""
    defaults = plain.get("defaults")
    return {**plain, "defaults": completed(defaults)} if isinstance(defaults, dict) else plain


def _nodes(root: Node, key: str) -> dict[str, Node]:
    node = root.child(key)
    return {name: entry.node for name, entry in node.entries.items()} if node else {}


def _base(root: Node) -> Node:
    """The tree that every agent starts from: `auth`, under the defaults."""
    defaults = root.child("defaults") or Node({}, root.place)
    auth = root.entries.get("auth")
    own = Node({"auth": Entry(auth.key, auth.node)} if auth else {}, root.place)
    return over(own, defaults)
