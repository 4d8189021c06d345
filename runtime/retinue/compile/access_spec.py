"""What agent files and retinue.yaml may say of callers, storage and traces."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from retinue.compile.fields import Age, Boolean, NonEmpty, Reference, Shorthand, Spec


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
    """A Lakebase database: that of a `name`, or of a `project` that the bundle makes."""

    hints: ClassVar = {"instance": "use `name`", "endpoint": "use `name`"}

    name: Reference | None = Field(
        default=None,
        description="An instance's name, or the path of an autoscaling endpoint.",
        examples=["agents", "projects/agents/branches/production/endpoints/primary"],
    )
    project: Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,51}[a-z0-9])?$")] | None = Field(
        default=None,
        description="The id of an autoscaling project that the bundle makes, with a database for "
        "the agents. The target's `app_suffix` is put at its end.",
        examples=["agents"],
    )
    database: Reference | None = Field(
        default=None,
        description="The database in what `name` says; databricks_postgres where this is left out.",
        examples=["databricks_postgres"],
    )


class LogSpec(Spec):
    """The log of requests."""

    hints: ClassVar = {
        **dict.fromkeys(
            ("retention", "retention_days", "keep"), "use `store: {keep: {logs: 30d}}`"
        ),
        "content": "use `messages`",
    }

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


_MONTH = 30 * 86_400.0


class KeepSpec(Spec):
    """Hours, days or for ever, after which something is forgotten."""

    hints: ClassVar = {
        "requests": "use `logs`",
        "log": "use `logs`",
        "sessions": "use `conversations`",
    }

    responses: Age = Field(
        default=_MONTH,
        json_schema_extra={"default": "30d"},
        description="Responses, after they were made.",
        examples=["90d"],
    )
    conversations: Age = Field(
        default=None,
        json_schema_extra={"default": "forever"},
        description="Conversations, after they were last used.",
        examples=["90d"],
    )
    files: Age = Field(
        default=None,
        json_schema_extra={"default": "forever"},
        description="Callers' files, after they were stored, unless the caller has set a time that "
        "is shorter.",
        examples=["30d"],
    )
    logs: Age = Field(
        default=_MONTH,
        json_schema_extra={"default": "30d"},
        description="What the log of requests has, after they were made.",
        examples=["365d"],
    )


class StoreSpec(Spec):
    """Where state is kept: at most one of `url` and `lakebase`."""

    hints: ClassVar = {
        "path": "use `url: sqlite:///…`",
        "dsn": "use `url`",
        "volume": "use `files: /Volumes/…`",
        **dict.fromkeys(("retention", "retention_days", "expire"), "use `keep`"),
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
        description="What is logged of requests.",
        examples=[{"messages": True}],
    )
    keep: KeepSpec = Field(
        default_factory=KeepSpec.model_construct,
        description="For how long things are kept.",
        examples=[{"responses": "90d", "conversations": "365d"}],
    )


class CallerLimitsSpec(Spec):
    """What one caller may use: a number for a second, minute, hour, day, month or year, or for
    several of one, such as 100/10 minutes.
    """

    hints: ClassVar = {
        **dict.fromkeys(("requests", "rate_limit", "rpm"), "use `rate: 60/minute`"),
        **dict.fromkeys(("max_tokens", "token_limit", "tpm"), "use `tokens: 1000000/day`"),
        **dict.fromkeys(("cost", "max_cost_usd", "budget"), "use `usd: 5.00/day`"),
    }

    rate: NonEmpty | None = Field(
        default=None, description="How often it may ask.", examples=["60/minute"]
    )
    tokens: NonEmpty | None = Field(
        default=None,
        description="How many tokens its runs may use, those that go in and those that come out.",
        examples=["1000000/day"],
    )
    usd: NonEmpty | None = Field(
        default=None,
        description="What its runs may cost, in US dollars.",
        examples=["5.00/day"],
    )


class ProjectServeSpec(Spec):
    """How the agents are served, all of them alike."""

    hints: ClassVar = {
        **dict.fromkeys(("steps", "system_messages"), "put it under `defaults: {serve: …}`"),
        **dict.fromkeys(("rate", "tokens", "usd"), "put it under `limits`"),
    }

    limits: CallerLimitsSpec | None = Field(
        default=None,
        description="What each caller may use, unless its key has limits of its own.",
        examples=[{"rate": "60/minute", "usd": "5.00/day"}],
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
