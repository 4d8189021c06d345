"""`description`, `guardrails`, `session`, `serve` and `deploy` of a spec → their frozen forms."""

from collections.abc import Mapping

from retinue.agent import Compaction, Guardrail, Guardrails, Serving
from retinue.compile.conduct_spec import GuardrailsSpec, ServeSpec, SessionSpec
from retinue.compile.deploy_spec import (
    DatabricksAppSpec,
    ExtraResourceSpec,
    PermissionSpec,
    TelemetrySpec,
)
from retinue.compile.interpolate import Pending
from retinue.compile.reader import Reader, ReadError
from retinue.compile.report import Report
from retinue.compile.source_text import decode_text
from retinue.compile.spec import MAX_DESCRIPTION, DescriptionSpec
from retinue.compile.tree import Node, Path
from retinue.databricks_app import AppResource, DatabricksApp, Permission, PrincipalKind, Telemetry
from retinue.diagnostics import Location
from retinue.values import Text

_APP: Path = ("deploy", "databricks_app")
_KINDS = tuple(key for key in ExtraResourceSpec.model_fields if key not in ("name", "description"))


def compile_description(
    spec: DescriptionSpec, root: Node, reader: Reader, report: Report
) -> tuple[str, tuple[str, ...]]:
    """The text, and the file that it was read from."""
    if spec.file is None:
        return spec.text, ()
    place = root.at(("description", "file"))
    if spec.text:
        message = "'text' and 'file' exclude each other"
        report.error(place, message, "conflicting-keys", "keep one of them")
    try:
        data = reader.read(spec.file)
    except ReadError as error:
        report.error(place, str(error), error.code)
        return "", ()
    text = (decode_text(spec.file, data, report) or "").strip()
    if len(text) > MAX_DESCRIPTION:
        message = f"the text has {len(text):,} characters; at most {MAX_DESCRIPTION} are allowed"
        report.error(place, message, "too-long")
    return text, (spec.file,)


def compile_guardrails(spec: GuardrailsSpec, root: Node, report: Report) -> Guardrails:
    """The checks; an action that its kind can't do goes to `report`."""
    for side in ("input", "output"):
        for index, guardrail in enumerate(getattr(spec, side)):
            if guardrail.action == "redact" and guardrail.type != "pii":
                place = root.at(("guardrails", side, index, "action"))
                message = f"'{guardrail.type}' can't be redacted"
                report.error(place, message, "conflicting-keys", "use `action: block`")
    return Guardrails(
        input=tuple(Guardrail(type=g.type, action=g.action) for g in spec.input),
        output=tuple(Guardrail(type=g.type, action=g.action) for g in spec.output),
    )


def compile_compaction(spec: SessionSpec) -> Compaction | None:
    """When conversations are summed up, if ever."""
    chosen = spec.compaction
    if chosen is None:
        return None
    return Compaction(at_tokens=chosen.at_tokens, keep_last=chosen.keep_last)


def compile_serving(spec: ServeSpec) -> Serving:
    """How answers are served."""
    return Serving(
        steps=spec.steps,
        system_messages=spec.system_messages,
        file_urls=tuple(host.lower() for host in spec.file_urls),
    )


def compile_app(
    spec: DatabricksAppSpec, written: Mapping[Location, str], root: Node, report: Report
) -> DatabricksApp:
    """The app; what no single key shows goes to `report`."""
    if spec.instances.max < spec.instances.min:
        place = root.at((*_APP, "instances"))
        message = f"max is {spec.instances.max}, and min {spec.instances.min}"
        report.error(place, message, "out-of-range", "max must be at least min")
    permissions = [
        _permission(permission, (*_APP, "permissions", index), root, report)
        for index, permission in enumerate(spec.permissions)
    ]
    resources = [
        _resource(resource, (*_APP, "extra_resources", index), written, root, report)
        for index, resource in enumerate(spec.extra_resources)
    ]
    _check_names(spec.extra_resources, root, report)
    return DatabricksApp(
        compute_size=spec.compute_size,
        min_instances=spec.instances.min,
        max_instances=spec.instances.max,
        permissions=tuple(p for p in permissions if p),
        extra_resources=tuple(r for r in resources if r),
        budget_policy=_budget_policy(spec, written, root),
        telemetry=_telemetry(spec.telemetry, written, root),
    )


def _budget_policy(
    spec: DatabricksAppSpec, written: Mapping[Location, str], root: Node
) -> str | None:
    place = root.at((*_APP, "budget_policy"))
    return None if spec.budget_policy is None else _as_bundled(spec.budget_policy, place, written)


def _telemetry(
    spec: TelemetrySpec | None, written: Mapping[Location, str], root: Node
) -> Telemetry | None:
    if spec is None:
        return None
    tables = {
        key: _as_bundled(getattr(spec, key), root.at((*_APP, "telemetry", key)), written)
        for key in TelemetrySpec.model_fields
    }
    return Telemetry(**tables)


def _permission(spec: PermissionSpec, path: Path, root: Node, report: Report) -> Permission | None:
    every: Mapping[PrincipalKind, str | None] = {
        "user": spec.user,
        "group": spec.group,
        "service_principal": spec.service_principal,
    }
    named = {kind: name for kind, name in every.items() if name is not None}
    if len(named) != 1:
        message = "a permission has exactly one of 'user', 'group' and 'service_principal'"
        report.error(root.at(path), message, "conflicting-keys")
        return None
    ((kind, name),) = named.items()
    return Permission(kind=kind, name=name, level=spec.level)


def _resource(
    spec: ExtraResourceSpec,
    path: Path,
    written: Mapping[Location, str],
    root: Node,
    report: Report,
) -> AppResource | None:
    given = [(kind, found) for kind in _KINDS if (found := getattr(spec, kind)) is not None]
    if len(given) != 1:
        if not root.find(path).absent:
            message = f"a resource has exactly one of {', '.join(_KINDS)}"
            report.error(root.at(path), message, "conflicting-keys")
        return None
    ((kind, found),) = given
    fields = [
        (key, _as_bundled(getattr(found, key), root.at((*path, kind, key)), written))
        for key in type(found).model_fields
    ]
    return AppResource(
        name=spec.name, kind=kind, fields=tuple(fields), description=spec.description
    )


def _as_bundled(value: Text | Pending, place: Location, written: Mapping[Location, str]) -> str:
    """A bundle variable stays as written: it has a value for each target."""
    text = written.get(place, str(value))
    return text if "${var." in text and "${env." not in text else str(value)


def _check_names(specs: list[ExtraResourceSpec], root: Node, report: Report) -> None:
    seen: set[str] = set()
    for index, spec in enumerate(specs):
        if spec.name in seen:
            place = root.at((*_APP, "extra_resources", index, "name"))
            message = f"two resources are named '{spec.name}'"
            report.error(place, message, "duplicate-resource", "give one another name")
        seen.add(spec.name)
