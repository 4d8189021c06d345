"""`model` and `limits` of a spec → Route and Limits."""

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from retinue.agent import Deployment, JsonValue, Limits, Route, Template, Text, Timeouts
from retinue.compile.interpolate import Pending
from retinue.compile.model_spec import ModelSpec, SettingsSpec
from retinue.compile.named import check_id
from retinue.compile.report import Report, holds_secret
from retinue.compile.spec import LimitsSpec
from retinue.compile.tree import Node, Path

_NO_ROUTES: Mapping[str, Route] = MappingProxyType({})
_OURS = frozenset({"model", "messages", "tools", "tool_choice", "stream", "stream_options", "n"})

_CREDENTIALS = re.compile(r"(?i)(?:bearer|basic)\s+\S{8,}")
_LINE_BREAK = re.compile(r"[\r\n]")
_NUL = re.compile("\0")
_ONLINE = "name the model that the target has, such as databricks/<endpoint>"
_CLEAR = "write ${secret.scope/key} or ${env.NAME}, and revoke the secret if it was shared"


def compile_route(
    spec: ModelSpec,
    root: Node,
    report: Report,
    path: Path = ("model",),
    routes: Mapping[str, Route] = _NO_ROUTES,
) -> Route:
    """The route at `path` of a tree. Mistakes that no single field shows go to `report`.

    A fallback is one of `routes`, or a LiteLLM id, which gets this route's settings, but not its
    address and key.
    """
    settings = _settings(spec.settings, root, (*path, "settings"), report)
    for index, name in enumerate(spec.fallbacks):
        if name not in routes:
            check_id(name, root.at((*path, "fallbacks", index)), list(routes), report)
    known = {key: value for key, value in settings.items() if key not in spec.settings.extra}
    deployment = Deployment(
        model=spec.name,
        api_base=reference(spec.api_base, root, (*path, "api_base"), report, url=True),
        api_key=reference(spec.api_key, root, (*path, "api_key"), report, line=True),
    )
    timeout = Timeouts(total=spec.timeout)

    def other(name: str) -> Route:
        own = (Deployment(model=name),)
        return Route(deployments=own, settings=MappingProxyType(known), timeout=timeout)

    return Route(
        deployments=(deployment,),
        settings=MappingProxyType(settings),
        timeout=timeout,
        fallbacks=tuple(
            replace(routes.get(name) or other(name), fallbacks=()) for name in spec.fallbacks
        ),
        fallback_on=tuple(dict.fromkeys(spec.fallback_on)),
        retries=spec.retries,
        prompt_caching=spec.settings.prompt_caching or False,
    )


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
    known = spec.model_dump(exclude_none=True, exclude={"extra", "prompt_caching"})
    path = (*path, "extra")
    for key in spec.extra:
        if key in _OURS:
            message = f"'{key}' is set by the run itself"
            report.error(root.key((*path, key)), message, "reserved-setting", "remove it")
        elif key in SettingsSpec.model_fields:
            message = f"'{key}' is a setting of its own"
            report.error(root.key((*path, key)), message, "reserved-setting", "move it to settings")
    return {**known, **spec.extra}


def reference(
    value: Text | Pending | None,
    root: Node,
    path: Path,
    report: Report,
    *,
    url: bool = False,
    line: bool = False,
) -> Text | None:
    """A value that may hold references. A secret in the clear, a `url` that isn't one, and a line
    break in what must be a `line` are errors.
    """
    if value is None or isinstance(value, Pending):
        return None
    if _is_clear(value):
        message = "this looks like a secret in the clear"
        report.error(root.at(path), message, "secret-in-clear", _CLEAR)
    if _NUL.search(str(value)) or ((url or line) and _LINE_BREAK.search(str(value))):
        message = "a line break or NUL character can't be used here"
        report.error(root.at(path), message, "control-character")
    if url and not _is_url(value):
        report.error(root.at(path), "a URL starts with https:// or http://", "bad-url")
    return value if isinstance(value, Template) else str(value)


def _is_clear(value: Text) -> bool:
    literals = [value] if isinstance(value, str) else [p for p in value.parts if isinstance(p, str)]
    return any(holds_secret(text) or _CREDENTIALS.match(text) for text in literals)


def _is_url(value: Text) -> bool:
    """Whether it can be one: what a reference gives is known later."""
    start = value if isinstance(value, str) else value.parts[0]
    return not isinstance(start, str) or start.lower().startswith(("http://", "https://"))
