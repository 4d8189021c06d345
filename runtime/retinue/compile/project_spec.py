"""What retinue.yaml may hold: its keys, and what a path in it is in an agent file."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from retinue.compile.access_spec import AuthSpec, ObservabilitySpec, ProjectServeSpec, StoreSpec
from retinue.compile.fields import ScalarDefault, Shorthand, Spec
from retinue.compile.model_spec import MODEL_NAME, ModelSpec
from retinue.compile.server_spec import ServerSpec
from retinue.compile.spec import DefaultsSpec, VariableSpec
from retinue.compile.tree import Entry, Node, Path

_STAND_INS: Mapping[str, object] = {"models": "-", "mcp_servers": {}, "variables": 0}


def agent_path(path: Path) -> Path:
    """Where a value of retinue.yaml ends up in an agent."""
    if path[:1] == ("defaults",):
        return path[1:]
    return ("model", *path[2:]) if path[:1] == ("models",) else path


def parted(root: Node) -> tuple[Node, dict[Path, Node]]:
    """The file's root with something right in place of all that agents take by name, and for each
    of those a root that holds nothing else.
    """
    entries: dict[Path, Node] = {}
    rest: dict[Path, Node | None] = {}
    for key, stand_in in _STAND_INS.items():
        for name, entry in root.find((key,)).entries.items() if key in root.entries else ():
            owner = root.entries[key]
            alone = Entry(owner.key, replace(owner.node, value={name: entry}))
            entries[key, name] = replace(root, value={key: alone})
            rest[key, name] = Node(stand_in, entry.node.place)
    return root.changed(rest), entries


class ProjectSpec(Spec):
    """What the agents of a project share."""

    hints: ClassVar = {
        **dict.fromkeys(("model", "instructions", "skills", "limits"), "put it under `defaults`"),
        **dict.fromkeys(("routes", "llms"), "use `models`"),
        **dict.fromkeys(("mcpServers", "servers"), "use `mcp_servers`"),
        **dict.fromkeys(("tracing", "telemetry"), "use `observability`"),
        "agents": "an agent is a file under agents/",
    }

    version: Literal[1] = Field(default=1, description="The version of this format.", examples=[1])
    models: dict[str, Annotated[ModelSpec, Shorthand("name", pattern=MODEL_NAME)]] = Field(
        max_length=100,
        default_factory=dict,
        json_schema_extra={"default": {}},
        description="Routes by name: an agent that says `model: NAME` gets the route.",
        examples=[{"analyst": {"name": "databricks/databricks-claude-sonnet-4-5"}}],
    )
    mcp_servers: dict[str, ServerSpec] = Field(
        max_length=100,
        default_factory=dict,
        json_schema_extra={"default": {}},
        description="MCP servers by name: an agent takes one by listing its name, or by an object "
        "under that name that doesn't say where the server is.",
        examples=[{"calc": {"command": "uvx", "args": ["mcp-server-calculator==0.2.0"]}}],
    )
    variables: dict[str, Annotated[VariableSpec, ScalarDefault()]] = Field(
        max_length=200,
        default_factory=dict,
        json_schema_extra={"default": {}},
        description="Prompt variables by name: any prompt may use them without declaring them; an "
        "agent's own variable of the same name comes first.",
        examples=[{"company": "Acme", "today": {"source": "clock.date"}}],
    )
    defaults: DefaultsSpec = Field(
        default_factory=DefaultsSpec.model_construct,
        description="Keys that every agent has unless it says otherwise: objects are merged key by "
        "key, anything else is replaced by the agent's.",
        examples=[{"limits": {"max_turns": 12}}],
    )
    store: Annotated[StoreSpec, Shorthand("url")] | None = Field(
        default=None,
        description="Where conversations and other state are kept: a URL, `off`, or an object.",
        examples=["sqlite:///retinue.db"],
    )
    auth: AuthSpec | None = Field(
        default=None,
        description="Who may call the agents, unless an agent says otherwise.",
        examples=[{"mode": "databricks"}],
    )
    serve: ProjectServeSpec | None = Field(
        default=None,
        description="How the agents are served: what each of their callers may use.",
        examples=[{"limits": {"rate": "60/minute"}}],
    )
    observability: ObservabilitySpec | None = Field(
        default=None,
        description="Where traces go.",
        examples=[{"mlflow_experiment": "/Shared/agents"}],
    )
