"""The compiled agent: frozen data that every later stage reads and none changes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from retinue.databricks_app import DatabricksApp
from retinue.diagnostics import Location
from retinue.pins import ServerPins
from retinue.route import Deployment, Route
from retinue.storage import Store
from retinue.values import JsonValue, Template, Text

_NOTHING: Mapping[str, JsonValue] = MappingProxyType({})
_USUAL_APP = DatabricksApp()

VariableType = Literal["string", "integer", "number", "boolean"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A prompt variable. `source` is a path such as `request.metadata.region` or `clock.date`."""

    name: str
    type: VariableType = "string"
    default: JsonValue = None
    source: str | None = None
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Instructions:
    """The system prompt as Jinja2 source. `origin` names the file it came from, for messages.

    Plain text without variables is stored with `literal=True` and never meets Jinja2.
    `includes` maps a path under `prompts/` to its source.
    """

    text: str
    origin: str
    literal: bool = False
    variables: tuple[Variable, ...] = ()
    includes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillFile:
    """A file of a skill: `path` relative to the skill's folder, POSIX style; `size` in bytes."""

    path: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """An Agent Skills folder (agentskills.io): `body` is SKILL.md without its frontmatter.

    `scripts` says whether its scripts may be run: never, after the user agrees, or without asking;
    always in a sandbox, and with `strict` only in one that lacks nothing.
    """

    name: str
    description: str
    body: str
    root: Path
    files: tuple[SkillFile, ...] = ()
    scripts: Literal["off", "ask", "sandbox"] = "off"
    strict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stdio:
    """An MCP server started as a child process: argv, no shell."""

    command: str
    args: tuple[Text, ...] = ()
    env: tuple[tuple[str, Text], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    """An MCP server at a URL: streamable HTTP, or the older HTTP with SSE."""

    url: Text
    headers: tuple[tuple[str, Text], ...] = ()


DatabricksKind = Literal[
    "genie_space", "genie", "sql", "functions", "vector_search", "connection", "app"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSpace:
    """A folder with a local Genie space, of which a bundle makes one in the workspace.

    `warehouse` is the id of the SQL warehouse that runs its queries; a bundle variable in it stays
    as written.
    """

    path: Path
    warehouse: str

    @property
    def variable(self) -> str:
        """The variable of an app's environment that holds the id of the workspace's space."""
        name = self.path.name.upper()
        return "RETINUE_GENIE_SPACE_" + "".join(c if c.isalnum() else "_" for c in name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Databricks:
    """An MCP server that the workspace manages. `target` is the space's id, an index's name, …,
    and empty for `genie` and `sql`, of which a workspace has one.

    `target` is None where it is a bundle variable without a local value: then the server
    can be bundled, or replaced by its offline twin, but not reached. `written` is the target as
    the file has it: a bundle keeps the variable, which has a value per deployment target.

    A Genie space that the bundle makes is in `space`, and `target` then refers to the variable of
    the environment that an app finds its id in.
    """

    kind: DatabricksKind
    target: Text | None
    written: str = ""
    space: LocalSpace | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """What stands in for a Databricks server under `--offline`: a folder with a local space."""

    kind: DatabricksKind
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolServer:
    """An MCP server and how the agent uses it. `timeout` is per call, in seconds, and
    `connect_timeout` per attempt to get it ready, or None for what its transport takes.

    `include`, `exclude` and `require_approval` are globs over the server's own tool names;
    `rename` maps such names to what the agent calls the tools, `descriptions` to what it says of
    them. With `resources` and `prompts` these are tools too. Of a result the model gets
    `max_result` characters at once. What a `trusted` server says of its own tools is believed.
    With `pin: strict` tools that are not as the agent's lock has them aren't used.
    """

    name: str
    transport: Stdio | Http | Databricks
    auth: Literal["user", "app"] = "app"
    twin: Twin | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    rename: tuple[tuple[str, str], ...] = ()
    descriptions: tuple[tuple[str, str], ...] = ()
    require_approval: tuple[str, ...] = ()
    resources: bool = False
    prompts: bool = False
    max_result: int = 100_000
    pin: Literal["warn", "strict"] = "warn"
    required: bool = False
    trusted: bool = False
    timeout: float = 60.0
    connect_timeout: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a run may use. `timeout` is in seconds; `max_tokens` and `max_cost_usd` count all of
    its model calls.
    """

    max_turns: int = 20
    max_tool_calls: int = 50
    max_tokens: int | None = None
    max_cost_usd: float | None = None
    timeout: float = 110.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SubAgent:
    """Another agent that this one can call: as a tool, or by handing the conversation over."""

    agent: "Agent"
    mode: Literal["tool", "handoff"] = "tool"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteAgent:
    """An agent that answers elsewhere, as a tool of this one: at an OpenAI-compatible endpoint, or
    in a Databricks App, which is asked with the caller's rights or the app's own (`auth`).

    `name` is what it is called here, `agent` what its endpoint knows it as; `timeout` is in
    seconds.
    """

    name: str
    agent: str
    transport: Http | Databricks
    api_key: Text | None = None
    description: str = ""
    auth: Literal["user", "app"] = "app"
    timeout: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Guardrail:
    """A check of texts on their way in or out."""

    type: Literal["prompt_injection", "pii"]
    action: Literal["block", "redact"] = "block"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guardrails:
    """Checks of what goes in and of what comes out."""

    input: tuple[Guardrail, ...] = ()
    output: tuple[Guardrail, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Compaction:
    """From `at_tokens` tokens on a conversation is summed up, but for its last messages."""

    at_tokens: int = 120_000
    keep_last: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How tool calls are shown on the way, and what becomes of a caller's system messages.

    `file_urls` are the hosts that files are fetched from, where a caller names a URL: names, `*.`
    and a name for all below it, or `*`.
    """

    steps: Literal["reasoning", "extension", "openwebui", "off"] = "reasoning"
    system_messages: Literal["append", "ignore", "refuse"] = "append"
    file_urls: tuple[str, ...] = ()


AuthMode = Literal["databricks", "api_key", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth:
    """Who may call the agent: the workspace's users, holders of a key, or anyone on loopback.

    `keys` are the API keys with commas between them, where the files say where those are kept.
    """

    mode: AuthMode
    keys: Template | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerLimits:
    """What one caller may use, as texts that `retinue.quotas` reads: how often it may ask, and how
    many tokens and dollars its runs may use in a time.
    """

    rate: str | None = None
    tokens: str | None = None
    usd: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observability:
    """Where traces go. `content` says whether prompts and answers are part of them."""

    mlflow_experiment: str | None = None
    otlp_endpoint: Text | None = None
    otlp_headers: tuple[tuple[str, Text], ...] = ()
    content: bool = False


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A key that compiles, and that this version can't run: its place, and its path with dots."""

    place: Location
    key: str

    def __str__(self) -> str:
        return f"{self.place}: '{self.key}' is not supported yet"


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """A file the compiler read: `path` relative to the project's root, `sha256` in hex."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """One agent, complete: nothing after the compiler reads YAML or interpolates.

    `digest` is a hash over `sources`, the runtime's version and the variables that went in.
    Sub-agents are whole agents, and their sources are among the agent's own.
    `pins` are what its lock holds.
    An agent with `unsupported` keys can be shown, and is refused by a runtime.
    """

    name: str
    description: str
    model: Route
    instructions: Instructions
    skills: tuple[Skill, ...] = ()
    mcp_servers: tuple[ToolServer, ...] = ()
    pins: tuple[ServerPins, ...] = ()
    limits: Limits = Limits()
    sub_agents: tuple[SubAgent, ...] = ()
    remote_agents: tuple[RemoteAgent, ...] = ()
    output_schema: Mapping[str, JsonValue] | None = None
    guardrails: Guardrails = Guardrails()
    compaction: Compaction | None = None
    serving: Serving = Serving()
    app: DatabricksApp = _USUAL_APP
    auth: Auth | None = None
    store: Store | None = None
    caller_limits: CallerLimits | None = None
    observability: Observability | None = None
    unsupported: tuple[Unsupported, ...] = ()
    sources: tuple[Source, ...] = ()
    digest: str = ""

    @property
    def version(self) -> str:
        """What this state of the agent is called where versions are kept."""
        return f"{self.name}-{self.digest[:12]}"

    def with_model(
        self, model: "str | Route | None", settings: Mapping[str, JsonValue] = _NOTHING
    ) -> "Agent":
        """The same agent with another model (None keeps it) and `settings` over its own.

        An id drops the route's deployments and fallbacks: they belong to the old model.
        """
        old = self.model
        route = model if isinstance(model, Route) else old
        if isinstance(model, str):
            route = Route(
                deployments=(Deployment(model=model),),
                name=model,
                settings=old.settings,
                bounds=old.bounds,
                timeout=old.timeout,
                prompt_caching=old.prompt_caching,
            )
        merged = {**route.settings, **settings}
        return replace(self, model=replace(route, settings=merged))
