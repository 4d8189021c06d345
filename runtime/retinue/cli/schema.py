"""`retinue schema`: a file's JSON Schema → standard output."""

import json
from enum import StrEnum
from typing import Annotated

import typer

from retinue.compile.schema import agent_schema, project_schema


class Kind(StrEnum):
    """The files that have a schema."""

    AGENT = "agent"
    PROJECT = "project"


def command(
    kind: Annotated[
        Kind, typer.Option("--kind", help="agents/NAME.yaml (agent) or retinue.yaml (project).")
    ] = Kind.AGENT,
) -> None:
    """Print the JSON Schema of agents/NAME.yaml or retinue.yaml, for editors and other tools."""
    schema = agent_schema() if kind is Kind.AGENT else project_schema()
    typer.echo(json.dumps(schema, indent=2, ensure_ascii=False))


command.__name__ = "schema"
