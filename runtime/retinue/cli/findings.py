"""Diagnostics → text, JSON, SARIF 2.1.0 and GitHub annotations: what people and CI read."""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

import typer

from retinue import __version__
from retinue.agent import Agent
from retinue.compile.codes import codes
from retinue.diagnostics import Diagnostic, Location, printable

MAX_SHOWN = 100
"""How many mistakes a terminal gets, unless told otherwise."""


def tell(diagnostics: Sequence[Diagnostic], limit: int = MAX_SHOWN) -> None:
    """Write the first `limit` to stderr (0: all of them) and how many more there are."""
    shown = diagnostics[:limit] if limit else diagnostics
    colour = _has_colour()
    for diagnostic in shown:
        typer.echo(diagnostic.render(colour=colour) + "\n", err=True)
    if rest := len(diagnostics) - len(shown):
        typer.echo(f"{rest} more not shown: see them with 'retinue validate --max 0'", err=True)


def _has_colour() -> bool:
    """Whether stderr is a terminal whose user has not asked for no colour (https://no-color.org)."""
    return (
        sys.stderr.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") not in (None, "dumb")
    )


def counted(diagnostics: Iterable[Diagnostic]) -> dict[str, int]:
    """How many errors and warnings there are."""
    found = Counter(diagnostic.severity for diagnostic in diagnostics)
    return {"errors": found["error"], "warnings": found["warning"]}


def as_json(agents: Iterable[Agent], diagnostics: Sequence[Diagnostic]) -> str:
    """The agents without mistakes, and all mistakes; docs/errors.md describes the shape."""
    return _dumped(
        {
            "version": 1,
            "agents": [_agent(agent) for agent in agents],
            "summary": counted(diagnostics),
            "diagnostics": [_diagnostic(diagnostic) for diagnostic in diagnostics],
        }
    )


def _dumped(value: dict[str, Any]) -> str:
    """JSON in ASCII: valid whatever a file's name holds, and nothing for a terminal to act on."""
    return json.dumps(value, indent=2)


def _agent(agent: Agent) -> dict[str, Any]:
    sources = [source.path for source in agent.sources]
    return {"name": agent.name, "digest": agent.digest, "sources": sources}


def _diagnostic(diagnostic: Diagnostic) -> dict[str, Any]:
    return {
        **_place(diagnostic.location),
        "severity": diagnostic.severity,
        "code": diagnostic.code,
        "message": diagnostic.message,
        "hint": diagnostic.hint,
        "excerpt": diagnostic.excerpt,
        "related": [{**_place(place), "message": note} for place, note in diagnostic.related],
    }


def _place(place: Location) -> dict[str, Any]:
    return {
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "end_column": place.end_column,
    }


def as_sarif(diagnostics: Sequence[Diagnostic]) -> str:
    """A log by the Static Analysis Results Interchange Format 2.1.0.

    Source: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
    """
    rules = list(dict.fromkeys(diagnostic.code for diagnostic in diagnostics))
    driver = {
        "name": "retinue",
        "semanticVersion": __version__,
        "rules": [_rule(code) for code in rules],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(d, rules.index(d.code)) for d in diagnostics],
    }
    return _dumped(
        {
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [run],
        }
    )


def _rule(name: str) -> dict[str, Any]:
    code = codes()[name]
    return {
        "id": name,
        "shortDescription": {"text": code.summary},
        "help": {"text": code.text, "markdown": code.text},
    }


def _result(diagnostic: Diagnostic, rule: int) -> dict[str, Any]:
    hint = f"\nhint: {diagnostic.hint}" if diagnostic.hint else ""
    result: dict[str, Any] = {
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": diagnostic.severity,
        "message": {"text": diagnostic.message + hint},
        "locations": [_physical(diagnostic.location, diagnostic.excerpt)],
    }
    if diagnostic.related:
        result["relatedLocations"] = [
            {"id": n, "message": {"text": note}, **_physical(place)}
            for n, (place, note) in enumerate(diagnostic.related)
        ]
    return result


def _physical(place: Location, excerpt: str | None = None) -> dict[str, Any]:
    region: dict[str, Any] = {
        "startLine": place.line,
        "startColumn": place.column,
        "endColumn": place.end_column,
    }
    context = {"startLine": place.line, "snippet": {"text": excerpt}} if excerpt else None
    uri = quote(place.file.encode("utf-8", "surrogateescape"))
    artifact = {"uri": uri, "uriBaseId": "%SRCROOT%"}
    location: dict[str, Any] = {"artifactLocation": artifact, "region": region}
    if context:
        location["contextRegion"] = context
    return {"physicalLocation": location}


def as_github(diagnostics: Iterable[Diagnostic]) -> str:
    """Workflow commands that annotate a pull request, one to a line.

    Source: https://docs.github.com/actions/reference/workflow-commands-for-github-actions
    """
    return "\n".join(_command(diagnostic) for diagnostic in diagnostics)


def _command(diagnostic: Diagnostic) -> str:
    place = diagnostic.location
    properties = {
        "file": place.file,
        "line": place.line,
        "col": place.column,
        "endColumn": place.end_column,
        "title": diagnostic.code,
    }
    said = ",".join(f"{key}={_property(str(value))}" for key, value in properties.items())
    hint = f"%0Ahint: {_data(diagnostic.hint)}" if diagnostic.hint else ""
    return f"::{diagnostic.severity} {said}::{_data(diagnostic.message)}{hint}"


def _data(text: str) -> str:
    return printable(text).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
