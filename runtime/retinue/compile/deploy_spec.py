"""What an agent file may say of its deployment, by the names of the bundle's `apps` resource."""

from typing import ClassVar, Literal

from pydantic import Field

from retinue.compile.fields import Integer, NonEmpty, Reference, Spec


class InstancesSpec(Spec):
    """How many instances of the app run."""

    min: Integer = Field(default=1, ge=1, le=5, description="Fewest instances.", examples=[1])
    max: Integer = Field(default=1, ge=1, le=5, description="Most instances.", examples=[3])


class PermissionSpec(Spec):
    """Who may do what with the app: exactly one of `user`, `group` and `service_principal`."""

    hints: ClassVar = {
        "user_name": "use `user`",
        "group_name": "use `group`",
        "service_principal_name": "use `service_principal`",
        "permission": "use `level`",
    }

    user: NonEmpty | None = Field(
        default=None, description="A user's email.", examples=["me@example.com"]
    )
    group: NonEmpty | None = Field(
        default=None, description="A group's name.", examples=["analysts"]
    )
    service_principal: NonEmpty | None = Field(
        default=None,
        description="A service principal's application id.",
        examples=["0f0e0d0c-0000-0000-0000-000000000000"],
    )
    level: Literal["CAN_USE", "CAN_MANAGE"] = Field(
        description="What they may do.", examples=["CAN_USE"]
    )


class SqlWarehouseSpec(Spec):
    """A SQL warehouse that the app may use."""

    id: Reference = Field(description="Its id.", examples=["${var.warehouse_id}"])
    permission: Literal["CAN_MANAGE", "CAN_USE", "IS_OWNER"] = Field(
        description="What the app may do.", examples=["CAN_USE"]
    )


class ServingEndpointSpec(Spec):
    """An endpoint that the app may use."""

    name: Reference = Field(description="Its name.", examples=["databricks-claude-sonnet-4-5"])
    permission: Literal["CAN_MANAGE", "CAN_QUERY", "CAN_VIEW"] = Field(
        description="What the app may do.", examples=["CAN_QUERY"]
    )


class SecretSpec(Spec):
    """A secret that the app may use."""

    scope: Reference = Field(description="Its scope.", examples=["mcp"])
    key: Reference = Field(description="Its key.", examples=["tickets_token"])
    permission: Literal["READ", "WRITE", "MANAGE"] = Field(
        description="What the app may do.", examples=["READ"]
    )


class JobSpec(Spec):
    """A job that the app may use."""

    id: Reference = Field(description="Its id.", examples=["${var.job_id}"])
    permission: Literal["CAN_MANAGE", "IS_OWNER", "CAN_MANAGE_RUN", "CAN_VIEW"] = Field(
        description="What the app may do.", examples=["CAN_MANAGE_RUN"]
    )


class SecurableSpec(Spec):
    """Something in Unity Catalog."""

    securable_full_name: Reference = Field(
        description="Its full name.", examples=["main.sales.orders"]
    )
    securable_type: Literal["VOLUME", "TABLE", "FUNCTION", "CONNECTION"] = Field(
        description="What it is.", examples=["TABLE"]
    )
    permission: Literal[
        "READ_VOLUME", "WRITE_VOLUME", "SELECT", "EXECUTE", "USE_CONNECTION", "MODIFY"
    ] = Field(description="What the app may do.", examples=["SELECT"])


class ExperimentSpec(Spec):
    """An MLflow experiment that the app may use."""

    experiment_id: Reference = Field(description="Its id.", examples=["${var.experiment_id}"])
    permission: Literal["CAN_MANAGE", "CAN_EDIT", "CAN_READ"] = Field(
        description="What the app may do.", examples=["CAN_READ"]
    )


class GenieResourceSpec(Spec):
    """A Genie space that the app may use besides those of `mcp_servers`."""

    name: Reference = Field(description="What it is called.", examples=["Sales"])
    space_id: Reference = Field(description="Its id.", examples=["${var.sales_space_id}"])
    permission: Literal["CAN_MANAGE", "CAN_EDIT", "CAN_RUN", "CAN_VIEW"] = Field(
        description="What the app may do.", examples=["CAN_RUN"]
    )


class DatabaseSpec(Spec):
    """A database of a provisioned Lakebase instance."""

    instance_name: Reference = Field(description="The instance's name.", examples=["agents"])
    database_name: Reference = Field(description="The database's name.", examples=["agents"])
    permission: Literal["CAN_CONNECT_AND_CREATE"] = Field(
        default="CAN_CONNECT_AND_CREATE",
        description="What the app may do.",
        examples=["CAN_CONNECT_AND_CREATE"],
    )


class PostgresSpec(Spec):
    """A database of an autoscaling Lakebase project."""

    branch: Reference = Field(
        description="The branch's path.", examples=["projects/agents/branches/production"]
    )
    database: Reference = Field(
        description="The database's path.",
        examples=["projects/agents/branches/production/databases/agents"],
    )
    permission: Literal["CAN_CONNECT_AND_CREATE"] = Field(
        default="CAN_CONNECT_AND_CREATE",
        description="What the app may do.",
        examples=["CAN_CONNECT_AND_CREATE"],
    )


class AppResourceSpec(Spec):
    """Another app that the app may call."""

    name: Reference = Field(description="Its name.", examples=["mcp-tickets"])
    permission: Literal["CAN_USE"] = Field(
        default="CAN_USE", description="What the app may do.", examples=["CAN_USE"]
    )


class ExtraResourceSpec(Spec):
    """A resource that the app may use besides those its agent's files call for."""

    hints: ClassVar = {"lakebase": "use `postgres`, or `database` for a provisioned instance"}

    name: NonEmpty = Field(
        max_length=30, description="What the app calls the resource.", examples=["wh"]
    )
    description: str = Field(default="", description="What it is for.", examples=["Reports."])
    sql_warehouse: SqlWarehouseSpec | None = Field(
        default=None,
        description="A SQL warehouse.",
        examples=[{"id": "${var.warehouse_id}", "permission": "CAN_USE"}],
    )
    serving_endpoint: ServingEndpointSpec | None = Field(
        default=None,
        description="A model serving endpoint.",
        examples=[{"name": "databricks-gte-large-en", "permission": "CAN_QUERY"}],
    )
    secret: SecretSpec | None = Field(
        default=None,
        description="A secret.",
        examples=[{"scope": "mcp", "key": "token", "permission": "READ"}],
    )
    job: JobSpec | None = Field(
        default=None,
        description="A job.",
        examples=[{"id": "${var.job_id}", "permission": "CAN_MANAGE_RUN"}],
    )
    uc_securable: SecurableSpec | None = Field(
        default=None,
        description="A volume, table, function or connection of Unity Catalog.",
        examples=[
            {
                "securable_full_name": "main.sales.orders",
                "securable_type": "TABLE",
                "permission": "SELECT",
            }
        ],
    )
    experiment: ExperimentSpec | None = Field(
        default=None,
        description="An MLflow experiment.",
        examples=[{"experiment_id": "${var.experiment_id}", "permission": "CAN_READ"}],
    )
    genie_space: GenieResourceSpec | None = Field(
        default=None,
        description="A Genie space. Those of `mcp_servers` need no entry.",
        examples=[{"name": "Sales", "space_id": "${var.sales_space_id}", "permission": "CAN_RUN"}],
    )
    database: DatabaseSpec | None = Field(
        default=None,
        description="A database of a provisioned Lakebase instance.",
        examples=[{"instance_name": "agents", "database_name": "agents"}],
    )
    postgres: PostgresSpec | None = Field(
        default=None,
        description="A database of an autoscaling Lakebase project.",
        examples=[
            {
                "branch": "projects/agents/branches/production",
                "database": "projects/agents/branches/production/databases/agents",
            }
        ],
    )
    app: AppResourceSpec | None = Field(
        default=None,
        description="Another app.",
        examples=[{"name": "mcp-tickets"}],
    )


class TelemetrySpec(Spec):
    """Tables of Unity Catalog that the platform writes an app's own telemetry to."""

    logs_table: Reference = Field(
        description="The table for logs.", examples=["main.ops.otel_logs"]
    )
    metrics_table: Reference = Field(
        description="The table for metrics.", examples=["main.ops.otel_metrics"]
    )
    traces_table: Reference = Field(
        description="The table for traces.", examples=["main.ops.otel_spans"]
    )


class DatabricksAppSpec(Spec):
    """A Databricks App."""

    hints: ClassVar = {
        "compute_min_instances": "use `instances: {min: …}`",
        "compute_max_instances": "use `instances: {max: …}`",
        "resources": "use `extra_resources`",
        "budget_policy_id": "use `budget_policy`",
        "telemetry_export_destinations": "use `telemetry`",
    }

    compute_size: Literal["MEDIUM", "LARGE", "XLARGE"] = Field(
        default="MEDIUM", description="How large an instance is.", examples=["LARGE"]
    )
    instances: InstancesSpec = Field(
        default_factory=InstancesSpec,
        description="How many instances run.",
        examples=[{"min": 1, "max": 3}],
    )
    permissions: list[PermissionSpec] = Field(
        default_factory=list,
        json_schema_extra={"default": []},
        max_length=100,
        description="Who may use or manage the app.",
        examples=[[{"group": "analysts", "level": "CAN_USE"}]],
    )
    extra_resources: list[ExtraResourceSpec] = Field(
        default_factory=list,
        json_schema_extra={"default": []},
        max_length=20,
        description="Resources besides those that the agent's models and servers call for.",
        examples=[
            [{"name": "wh", "sql_warehouse": {"id": "${var.warehouse}", "permission": "CAN_USE"}}]
        ],
    )
    budget_policy: Reference | None = Field(
        default=None,
        description="The id of the budget policy that the app's cost is counted under.",
        examples=["${var.budget_policy}"],
    )
    telemetry: TelemetrySpec | None = Field(
        default=None,
        description="Tables of Unity Catalog for the logs, metrics and traces that the platform "
        "collects of the app.",
        examples=[
            {
                "logs_table": "main.ops.otel_logs",
                "metrics_table": "main.ops.otel_metrics",
                "traces_table": "main.ops.otel_spans",
            }
        ],
    )


class DeploySpec(Spec):
    """The places where the agent is deployed."""

    databricks_app: DatabricksAppSpec = Field(
        default_factory=DatabricksAppSpec,
        description="The Databricks App that serves the agent.",
        examples=[{"compute_size": "LARGE"}],
    )
