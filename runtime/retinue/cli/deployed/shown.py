"""What a deployment would change → text for a terminal, Markdown for a pull request, JSON."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from retinue.bundle.changes import Change, changes
from retinue.bundle.manifest import in_parts
from retinue.bundle.plan import MAX_RESOURCES
from retinue.cli.deployed.planned import Planned, PlannedApp, Status
from retinue.cli.deployed.shared import PlannedShared
from retinue.diagnostics import printable
from retinue.values import JsonValue

_LONGEST_VALUE = 160
_MOST_LINES = 60
_MOST_NEW_LINES = 12
# GitHub takes comments of 65,536 characters.
_LONGEST_COMMENT = 60_000

_WORDS: Mapping[Status, str] = {
    "new": "create",
    "changed": "change",
    "unchanged": "unchanged",
    "removed": "delete",
}
# What says most of a thing, ahead of the rest.
_FIRST = ("model", "name", "transport")
_NAMES = {"instructions": "prompt", "mcp_servers": "tools"}


def as_text(plan: Planned) -> str:
    """Lines that start with `+` for what is new, `-` for what is gone, `~` for the rest."""
    lines = [_head(plan), *([""] if plan.shared else []), *map(_shared, plan.shared)]
    for app in plan.apps:
        lines += ["", _title(app), *(f"  {line}" for line in _changes(app))]
        lines += [f"  to grant: {printable(note)}" for note in app.notes]
        lines += [f"    {grant}" for grant in app.grants]
        lines += [f"  warning: {warning}" for warning in app.warnings]
    lines += [f"warning: {warning}" for warning in plan.warnings]
    return "\n".join([*lines, "", _sum(plan)])


def as_markdown(plan: Planned) -> str:
    """A comment for a pull request; a very long one is cut."""
    lines = [f"### {_head(plan)}", "", f"**{_sum(plan)}**"]
    lines += ["", *(f"- {_shared(one)}" for one in plan.shared)] if plan.shared else []
    for app in plan.apps:
        lines += ["", f"#### {_title(app)}"]
        if changed := [*_changes(app)]:
            lines += ["~~~~diff", *(line.replace("~~~~", "~ ~ ") for line in changed), "~~~~"]
        lines += [f"- to grant: {printable(note)}" for note in app.notes]
        if app.grants:
            lines += ["~~~~sql", *app.grants, "~~~~"]
        lines += [f"- :warning: {warning}" for warning in app.warnings]
    lines += [f"- :warning: {warning}" for warning in plan.warnings]
    text = "\n".join(lines)
    if len(text) > _LONGEST_COMMENT:
        text = f"{text[:_LONGEST_COMMENT]}\n~~~~\n… and more: run `retinue plan`"
    return text


def as_json(plan: Planned) -> str:
    """docs/cli.md describes the shape."""
    whole = {
        "version": 1,
        "target": plan.target,
        "workspace": plan.workspace,
        "changes": plan.changes,
        "apps": [_app(app) for app in plan.apps],
        "shared": [asdict(one) for one in plan.shared],
        "warnings": [*plan.warnings],
    }
    return json.dumps(whole, indent=2)


def differences(
    before: Mapping[str, JsonValue], after: Mapping[str, JsonValue], agent: str
) -> Iterator[str]:
    """Lines as in `as_text`, of what two deployments of an agent were."""
    for change in changes(in_parts(before), in_parts(after)):
        if change.path != ("files",):  # it follows from the rest
            yield from _lines(change, agent)


def _app(app: PlannedApp) -> dict[str, Any]:
    return {
        "agent": app.agent,
        "app": app.app,
        "status": app.status,
        "resources": app.resources,
        "resources_limit": MAX_RESOURCES,
        "changes": [
            {"path": [*change.path], "before": change.before, "after": change.after}
            for change in app.changes
        ],
        "warnings": [*app.warnings],
        "to_grant": [*app.notes],
        "grants": [*app.grants],
    }


def _shared(one: PlannedShared) -> str:
    lost = ", and all that is in it" if one.status == "removed" else ""
    return f"{_WORDS[one.status]:<9} {one.kind} {printable(one.name)}{lost}"


def _head(plan: Planned) -> str:
    at = f"at {plan.workspace}" if plan.workspace else "compared with nothing: there is no login"
    return f"Plan for {plan.target or 'the default target'} {at}"


def _sum(plan: Planned) -> str:
    counts = Counter[Status](app.status for app in plan.apps)
    counts.update(one.status for one in plan.shared)
    said = [f"{counts[status]} to {word}" for status, word in _WORDS.items() if word != "unchanged"]
    return f"{', '.join(said)}, {counts['unchanged']} unchanged."


def _title(app: PlannedApp) -> str:
    said = f"{_WORDS[app.status]:<9} {app.agent}" if app.status != "removed" else ""
    if app.status == "removed":
        return f"delete    {app.agent}  (app {printable(app.app)})"
    count = f"{app.resources} of {MAX_RESOURCES} resources"
    return f"{said}  (app {printable(app.app)}, {count})"


def _changes(app: PlannedApp) -> Iterator[str]:
    for change in app.changes:
        yield from _lines(change, app.agent)


def _lines(change: Change, agent: str) -> Iterator[str]:
    name = _name(change.path, agent)
    if lines := change.lines:
        yield f"~ {name}:"
        yield from (
            f"{line[:1]}   {printable(line[1:])}".rstrip() for line in _some(lines, _MOST_LINES)
        )
    elif change.sign == "~" and isinstance(change.before, list) and isinstance(change.after, list):
        old, new = map(set, (map(_shown, change.before), map(_shown, change.after)))
        said = [f"-{item}" for item in sorted(old - new)] + [
            f"+{item}" for item in sorted(new - old)
        ]
        yield f"~ {name}: {', '.join(said) or 'another order'}"
    elif change.sign == "~":
        yield f"~ {name}: {_shown(change.before)} -> {_shown(change.after)}"
    else:
        value = change.after if change.sign == "+" else change.before
        if isinstance(value, str) and "\n" in value.strip():
            yield f"{change.sign} {name}:"
            some = _some(value.splitlines(), _MOST_NEW_LINES)
            yield from (f"{change.sign}   {printable(line)}".rstrip() for line in some)
        else:
            yield f"{change.sign} {name}: {_shown(value)}"


def _some(lines: Sequence[str], most: int) -> Iterator[str]:
    yield from lines[:most]
    if lines[most:]:
        yield f" … {len(lines) - most} lines more"


def _name(path: tuple[str, ...], agent: str) -> str:
    """The place in the words of an agent's file."""
    match path:
        case ("agents", name, *rest):
            words = [_NAMES.get(word, word) for word in rest[:1]] + rest[1:]
            if words[:2] == ["prompt", "text"]:
                words = ["prompt"]
            own = [] if name == agent else ["agent", name]
        case ("app", *rest):
            own, words = [], rest
        case _:
            own, words = [], [*path]
    return printable(".".join([*own, *words]))


def _shown(value: JsonValue) -> str:
    if isinstance(value, str):
        text = value
    elif isinstance(value, dict):
        first = sorted(value.items(), key=lambda pair: pair[0] not in _FIRST)
        text = ", ".join(f"{key} {_shown(item)}" for key, item in first)
    elif isinstance(value, list):
        text = ", ".join(map(_shown, value))
    else:
        text = json.dumps(value)
    text = printable(" ".join(text.split()))
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
