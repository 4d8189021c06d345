"""The Databricks App that an agent becomes: its size, who may use it, what it may use. Frozen."""

from dataclasses import dataclass
from typing import Literal

PrincipalKind = Literal["user", "group", "service_principal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """Who (`kind` and `name`) may do what with the app."""

    kind: PrincipalKind
    name: str
    level: Literal["CAN_USE", "CAN_MANAGE"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppResource:
    """A resource of a Databricks App. `fields` are those of its kind in the bundle's own terms;
    a bundle variable in them stays as written.
    """

    name: str
    kind: str
    fields: tuple[tuple[str, str], ...]
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """Tables of Unity Catalog, by their full names, for what the platform collects of an app."""

    logs_table: str
    metrics_table: str
    traces_table: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabricksApp:
    """The app that serves the agent; instances count from 1 to 5.

    `budget_policy` is an id. Bundle variables in it and in `telemetry` stay as written.
    """

    compute_size: Literal["MEDIUM", "LARGE", "XLARGE"] = "MEDIUM"
    min_instances: int = 1
    max_instances: int = 1
    permissions: tuple[Permission, ...] = ()
    extra_resources: tuple[AppResource, ...] = ()
    budget_policy: str | None = None
    telemetry: Telemetry | None = None
