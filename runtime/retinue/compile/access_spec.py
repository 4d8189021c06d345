"""What agent files and retinue.yaml may say of callers, storage and traces."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from retinue.compile.fields import Boolean, Integer, NonEmpty, Reference, Shorthand, Spec


class AuthSpec(Spec):
    """Who may call."""

    hints: ClassVar = {"type": "use `mode`", "token": "use `keys`", "api_keys": "use `keys`"}

    mode: Literal["databricks", "api_key", "none"] | None = Field(
        default=None,
        description="Who may call: the workspace's users (databricks), holders of a key (api_key), "
        "or anyone, which works on loopback only (none).",
        examples=["databricks"],
    )
    keys: Reference | None = Field(
        default=None,
        description="Where the API keys are kept, with commas or white space between them; "
        "RETINUE_API_KEYS in the environment where this is left out.",
        examples=["${secret.retinue/api_keys}"],
    )


class LakebaseSpec(Spec):
    """A Lakebase database."""

    hints: ClassVar = {"instance": "use `name`", "endpoint": "use `name`"}

    name: Reference = Field(
        description="An instance's name, or the path of an autoscaling endpoint.",
        examples=["agents", "projects/agents/branches/production/endpoints/primary"],
    )
    database: Reference = Field(
        default="databricks_postgres",
        description="The database in it.",
        examples=["databricks_postgres"],
    )


class LogSpec(Spec):
    """The log of requests."""

    hints: ClassVar = {"retention": "use `retention_days`", "content": "use `messages`"}

    requests: Boolean = Field(
        default=True,
        description="Whether there is one: who asked which agent, when, and what came of it.",
        examples=[True],
    )
    messages: Boolean = Field(
        default=False,
        description="Whether questions, calls and answers are part of it.",
        examples=[True],
    )
    retention_days: Annotated[Integer, Field(ge=1, le=3650)] = Field(
        default=30, description="After how many days a request is forgotten.", examples=[30]
    )


class StoreSpec(Spec):
    """Where state is kept: at most one of `url` and `lakebase`."""

    hints: ClassVar = {
        "path": "use `url: sqlite:///…`",
        "dsn": "use `url`",
        "volume": "use `files: /Volumes/…`",
    }

    url: Reference | None = Field(
        default=None,
        description="sqlite:///PATH, postgresql://… with its password as a reference, or off.",
        examples=["sqlite:///retinue.db", "${secret.retinue/store_url}", "off"],
    )
    lakebase: Annotated[LakebaseSpec, Shorthand("name")] | None = Field(
        default=None,
        description="A Lakebase database, by its name or as an object.",
        examples=["agents"],
    )
    files: Reference | None = Field(
        default=None,
        description="Where the bytes of callers' files are kept: a folder, or a path in a Unity "
        "Catalog volume. By default a folder beside SQLite's file, and nowhere with PostgreSQL.",
        examples=["/Volumes/main/agents/files"],
    )
    log: LogSpec = Field(
        default_factory=LogSpec.model_construct,
        description="What is logged of requests, and for how long.",
        examples=[{"retention_days": 90}],
    )


class OtlpSpec(Spec):
    """A collector of OpenTelemetry traces."""

    endpoint: Reference = Field(
        description="The collector's URL (OTLP over HTTP).",
        examples=["https://otel.example.com/v1/traces"],
    )
    headers: dict[str, Reference] = Field(
        default_factory=dict,
        json_schema_extra={"default": {}},
        description="HTTP headers sent with traces.",
        examples=[{"Authorization": "Bearer ${secret.otel/token}"}],
    )


class ObservabilitySpec(Spec):
    """Where traces go."""

    hints: ClassVar = {"mlflow": "use `mlflow_experiment`", "tracing": "use `otlp`"}

    mlflow_experiment: NonEmpty | None = Field(
        default=None,
        description="The MLflow experiment that gets the traces.",
        examples=["/Shared/agents"],
    )
    otlp: OtlpSpec | None = Field(
        default=None,
        description="An OpenTelemetry collector that gets the traces.",
        examples=[{"endpoint": "https://otel.example.com/v1/traces"}],
    )
    content: Boolean = Field(
        default=False,
        description="Whether prompts and answers are part of the traces.",
        examples=[True],
    )
