"""`model` and `limits` of a spec → Route and Limits."""

import re
from types import MappingProxyType

from retinue.agent import JsonValue, Limits, Route, Template, Text
from retinue.compile.interpolate import Pending
from retinue.compile.report import Report, holds_secret
from retinue.compile.spec import LimitsSpec, ModelSpec, SettingsSpec
from retinue.compile.tree import Node, Path

_OURS = frozenset({"model", "messages", "tools", "tool_choice", "stream", "stream_options", "n"})

_CREDENTIALS = re.compile(r"(?i)(?:bearer|basic)\s+\S{8,}")
_LINE_BREAK = re.compile(r"[\r\n]")
_NUL = re.compile("\0")
_CLEAR = "write ${secret.scope/key} or ${env.NAME}, and revoke the secret if it was shared"


def compile_route(spec: ModelSpec, root: Node, report: Report, path: Path = ("model",)) -> Route:
    """The route at `path` of a tree. Mistakes that no single field shows go to `report`."""
    return Route(
        model=spec.name,
        api_base=reference(spec.api_base, root, (*path, "api_base"), report, url=True),
        api_key=reference(spec.api_key, root, (*path, "api_key"), report, line=True),
        settings=MappingProxyType(_settings(spec.settings, root, (*path, "settings"), report)),
        timeout=spec.timeout,
    )


def compile_limits(spec: LimitsSpec) -> Limits:
    """The limits as they stand in the spec."""
    return Limits(
        max_turns=spec.max_turns,
        max_tool_calls=spec.max_tool_calls,
        max_tokens=spec.max_tokens,
        timeout=spec.timeout,
    )


def _settings(spec: SettingsSpec, root: Node, path: Path, report: Report) -> dict[str, JsonValue]:
    known = spec.model_dump(exclude_none=True, exclude={"extra"})
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
