"""What an agent file may say of an MCP server."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from retinue.compile.fields import (
    Boolean,
    Duration,
    Integer,
    NonEmpty,
    Reference,
    Shorthand,
    Spec,
)


class GenieSpaceSpec(Spec):
    """A Genie space: one that exists, by its `id`, or one that the bundle makes of a `folder`."""

    hints: ClassVar = {
        "space_id": "use `id`",
        "path": "use `folder`",
        "warehouse_id": "use `warehouse`",
        "create": "use `folder`",
    }

    id: Reference | None = Field(
        default=None,
        description="The id of a space that exists.",
        examples=["${var.sales_space_id}"],
    )
    folder: NonEmpty | None = Field(
        default=None,
        description="A folder with a local Genie space, relative to the project's root: the bundle "
        "makes the workspace's of it, and --offline reads it.",
        examples=["samples/sales"],
    )
    warehouse: Reference | None = Field(
        default=None,
        description="With `folder`: the id of the SQL warehouse that runs the space's queries.",
        examples=["${var.warehouse_id}"],
    )


class DatabricksSpec(Spec):
    """A server that the Databricks workspace manages: exactly one kind."""

    hints: ClassVar = {
        "genie_space_id": "use `genie_space`",
        "space_id": "use `genie_space`",
        "warehouse": "use `sql`",
    }

    genie_space: Annotated[GenieSpaceSpec, Shorthand("id")] | None = Field(
        default=None,
        description="A Genie space: its id, or an object.",
        examples=[
            "${var.sales_space_id}",
            {"folder": "samples/sales", "warehouse": "${var.warehouse_id}"},
        ],
    )
    genie: Literal[True] | None = Field(
        default=None, description="Genie over everything that the caller sees.", examples=[True]
    )
    sql: Literal[True] | None = Field(
        default=None, description="SQL on the workspace's warehouses.", examples=[True]
    )
    functions: Reference | None = Field(
        default=None,
        description="Functions of Unity Catalog: CATALOG.SCHEMA, or CATALOG.SCHEMA.FUNCTION.",
        examples=["main.tools", "system.ai.python_exec"],
    )
    vector_search: Reference | None = Field(
        default=None,
        description="Vector search indexes: CATALOG.SCHEMA, or CATALOG.SCHEMA.INDEX.",
        examples=["main.docs.handbook_index"],
    )
    connection: Reference | None = Field(
        default=None,
        description="A connection of Unity Catalog to an MCP server outside.",
        examples=["github"],
    )
    app: Reference | None = Field(
        default=None,
        description="A Databricks App of the workspace that is an MCP server, by name.",
        examples=["mcp-tickets"],
    )


class OfflineSpec(Spec):
    """What stands in for a Databricks server under --offline."""

    genie_space: NonEmpty = Field(
        description="A folder with a local Genie space, relative to the project's root.",
        examples=["samples/sales"],
    )


class ToolsSpec(Spec):
    """Which of a server's tools the agent sees."""

    hints: ClassVar = {
        "allow": "use `include`",
        **dict.fromkeys(("deny", "block"), "use `exclude`"),
        **dict.fromkeys(("max_result_chars", "max_chars"), "use `max_result`"),
    }

    include: list[NonEmpty] = Field(
        default_factory=list,
        json_schema_extra={"default": []},
        description="Globs of tools to offer; without any, all are.",
        examples=[["search_*"]],
    )
    exclude: list[NonEmpty] = Field(
        default_factory=list,
        json_schema_extra={"default": []},
        description="Globs of tools to leave out.",
        examples=[["delete_*"]],
    )
    rename: dict[str, NonEmpty] = Field(
        default_factory=dict,
        json_schema_extra={"default": {}},
        max_length=200,
        description="What the agent calls a tool instead of the server's own name.",
        examples=[{"search_tickets": "find"}],
    )
    descriptions: dict[str, NonEmpty] = Field(
        default_factory=dict,
        json_schema_extra={"default": {}},
        max_length=200,
        description="What the model is told of a tool instead of the server's own description; by "
        "the server's own name.",
        examples=[{"search_tickets": "Find tickets by words in their title."}],
    )
    require_approval: list[NonEmpty] = Field(
        default_factory=list,
        json_schema_extra={"default": []},
        description="Globs of tools that are only called after the user agrees; by the server's "
        "own names.",
        examples=[["create_ticket"]],
    )
    resources: Boolean = Field(
        default=False,
        description="Whether the model can list and read the server's resources, with two tools.",
        examples=[True],
    )
    prompts: Boolean = Field(
        default=False,
        description="Whether the model can list and read the server's prompts, with two tools.",
        examples=[True],
    )
    max_result: Integer = Field(
        default=100_000,
        ge=1_000,
        le=1_000_000,
        description="Characters of a result that the model gets at once; the rest it can read on.",
        examples=[20_000],
    )
    pin: Literal["warn", "strict"] = Field(
        default="warn",
        description="What becomes of tools that are not as agents/NAME.lock has them: a warning, "
        "or they are not used.",
        examples=["strict"],
    )


class ServerSpec(Spec):
    """An MCP server: exactly one of `databricks`, `url` and `command` says where it is."""

    hints: ClassVar = {
        **dict.fromkeys(
            ("type", "transport"), "remove it: `url` or `command` decides the transport"
        ),
        **dict.fromkeys(("httpUrl", "serverUrl", "endpoint"), "use `url`"),
        **dict.fromkeys(
            ("allowed_tools", "allowedTools", "include"), "use `tools: {include: […]}`"
        ),
        **dict.fromkeys(("disabled_tools", "exclude"), "use `tools: {exclude: […]}`"),
        **dict.fromkeys(("genie_space", "genie_space_id"), "use `databricks: {genie_space: …}`"),
        **dict.fromkeys(("environment", "envs"), "use `env`"),
        **dict.fromkeys(("disabled", "enabled"), "comment the server out"),
        "name": "the server's name is its key in `mcp_servers`",
        "call_timeout": "use `timeout`",
        "startup_timeout": "use `connect_timeout`",
        **dict.fromkeys(("trust", "trustLevel"), "use `trusted: true`"),
    }

    databricks: DatabricksSpec | None = Field(
        default=None,
        description="A managed server of the workspace.",
        examples=[{"genie_space": "${var.sales_space_id}"}],
    )
    url: Reference | None = Field(
        default=None,
        description="The server's URL: streamable HTTP, or the older HTTP with SSE.",
        examples=["https://mcp.example.com/mcp"],
    )
    command: NonEmpty | None = Field(
        default=None, description="A program to start, which speaks MCP on stdio.", examples=["uvx"]
    )
    args: list[Reference] = Field(
        default_factory=list,
        json_schema_extra={"default": []},
        description="The program's arguments; no shell reads them.",
        examples=[["mcp-server-calculator==0.2.0"]],
    )
    env: dict[str, Reference] = Field(
        default_factory=dict,
        json_schema_extra={"default": {}},
        description="The program's environment, besides PATH and the like.",
        examples=[{"PRECISION": "12"}],
    )
    headers: dict[str, Reference] = Field(
        default_factory=dict,
        json_schema_extra={"default": {}},
        description="HTTP headers sent to `url`.",
        examples=[{"Authorization": "Bearer ${secret.mcp/tickets_token}"}],
    )
    auth: Literal["user", "app"] | None = Field(
        default=None,
        description="Whose rights a Databricks server sees: the caller's (user) or the app's own "
        "(app, the default).",
        examples=["user"],
    )
    offline: OfflineSpec | None = Field(
        default=None,
        description="The twin that --offline uses instead.",
        examples=[{"genie_space": "samples/sales"}],
    )
    tools: ToolsSpec = Field(
        default_factory=ToolsSpec,
        description="Which of its tools the agent sees.",
        examples=[{"include": ["search_*"]}],
    )
    required: Boolean = Field(
        default=False,
        description="Whether the agent doesn't answer while it is down; otherwise it goes on, and "
        "the model is told.",
        examples=[True],
    )
    trusted: Boolean = Field(
        default=False,
        description="Whether it is believed which of its tools change nothing or can be called "
        "twice: only these are called again when a connection breaks.",
        examples=[True],
    )
    timeout: Duration = Field(
        default=60.0, description="Longest wait for one call.", examples=["20s"]
    )
    connect_timeout: Duration | None = Field(
        default=None,
        description="Longest wait until it is ready: 15 s for a `url`, 20 s for a `command` where "
        "this is left out.",
        examples=["45s"],
    )
