"""`model` and `limits` of a spec → Route and Limits."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from retinue.agent import Limits
from retinue.compile.deployments import compile_deployments
from retinue.compile.model_spec import BoundsSpec, ModelSpec, RangeSpec, SettingsSpec
from retinue.compile.named import check_id
from retinue.compile.providers import check_provider
from retinue.compile.report import Report
from retinue.compile.spec import LimitsSpec
from retinue.compile.tree import Node, Path
from retinue.route import Bound, Deployment, Route, Timeouts
from retinue.values import JsonValue

_NO_ROUTES: Mapping[str, Route] = MappingProxyType({})
_OURS = frozenset({"model", "messages", "tools", "tool_choice", "stream", "stream_options", "n"})

_ONLINE = "name the model that the target has, such as databricks/<endpoint>"


def compile_route(
    spec: ModelSpec,
    root: Node,
    report: Report,
    path: Path = ("model",),
    *,
    routes: Mapping[str, Route] = _NO_ROUTES,
    name: str = "",
) -> Route:
    """The route at `path` of a tree. Mistakes that no single field shows go to `report`.

    A fallback is one of `routes`, or a LiteLLM id, which gets this route's settings, but not its
    address and key. `name` is the route's own in retinue.yaml.
    """
    settings = _settings(spec.settings, root, (*path, "settings"), report)
    for index, fallback in enumerate(spec.fallbacks):
        if fallback not in routes:
            place = root.at((*path, "fallbacks", index))
            check_id(fallback, place, list(routes), report)
            check_provider(fallback, place, report)
    deployments = compile_deployments(spec, root, report, path)
    known = {key: value for key, value in settings.items() if key not in spec.settings.extra}
    route = Route(
        deployments=deployments,
        name=name or deployments[0].model,
        settings=MappingProxyType(known),
        timeout=_timeouts(spec, root, (*path, "timeout"), report),
        prompt_caching=spec.settings.prompt_caching or False,
    )

    def other(model: str) -> Route:
        return replace(route, name=model, deployments=(Deployment(model=model),))

    return replace(
        route,
        settings=MappingProxyType(settings),
        bounds=_bounds(spec.bounds, root, (*path, "bounds"), report),
        fallbacks=tuple(
            replace(routes.get(one) or other(one), fallbacks=()) for one in spec.fallbacks
        ),
        fallback_on=tuple(dict.fromkeys(spec.fallback_on)),
        retries=spec.retries,
    )


def _timeouts(spec: ModelSpec, root: Node, path: Path, report: Report) -> Timeouts:
    given = spec.timeout
    for key in ("first_token", "idle"):
        part = getattr(given, key)
        if part is not None and part > given.total:
            message = f"{key} is {part:g} s, and total {given.total:g} s"
            report.error(root.at((*path, key)), message, "out-of-range", "raise `total`")
    return Timeouts(total=given.total, first_token=given.first_token, idle=given.idle)


def _bounds(spec: BoundsSpec, root: Node, path: Path, report: Report) -> Mapping[str, Bound]:
    found: dict[str, Bound] = {}
    for name in type(spec).model_fields:
        given = getattr(spec, name)
        if isinstance(given, RangeSpec):
            if given.min is not None and given.max is not None and given.max < given.min:
                message = f"max is {given.max:g}, and min {given.min:g}"
                report.error(root.at((*path, name)), message, "out-of-range", "swap them")
            found[name] = Bound(min=given.min, max=given.max)
        elif given:
            found[name] = Bound(values=tuple(given))
    return MappingProxyType(found)


def refuse_offline(route: Route, root: Node, report: Report) -> None:
    """Report a route, or a fallback, that only the offline twin can serve."""
    routes = (route, *route.fallbacks)
    for one in (deployment for route in routes for deployment in route.deployments):
        if one.provider == "offline":
            message = f"'{one.model}' answers only with --offline and can't be deployed"
            report.error(root.at(("model", "name")), message, "offline-route", _ONLINE)


def compile_limits(spec: LimitsSpec) -> Limits:
    """The limits as they stand in the spec."""
    return Limits(
        max_turns=spec.max_turns,
        max_tool_calls=spec.max_tool_calls,
        max_tokens=spec.max_tokens,
        max_cost_usd=spec.max_cost_usd,
        timeout=spec.timeout,
    )


def _settings(spec: SettingsSpec, root: Node, path: Path, report: Report) -> dict[str, JsonValue]:
    known = spec.model_dump(exclude_none=True, exclude={"extra", "prompt_caching", "thinking"})
    if spec.thinking:
        if spec.reasoning_effort:
            place = root.key((*path, "thinking"))
            message = "'thinking' and 'reasoning_effort' exclude each other"
            report.error(place, message, "conflicting-keys", "keep the one that the model knows")
        known["thinking"] = {"type": "enabled", "budget_tokens": spec.thinking.budget_tokens}
    path = (*path, "extra")
    for key in spec.extra:
        if key in _OURS:
            message = f"'{key}' is set by the run itself"
            report.error(root.key((*path, key)), message, "reserved-setting", "remove it")
        elif key in SettingsSpec.model_fields:
            message = f"'{key}' is a setting of its own"
            report.error(root.key((*path, key)), message, "reserved-setting", "move it to settings")
    return {**known, **spec.extra}
