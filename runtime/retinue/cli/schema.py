"""`retinue schema`: the agent file's JSON Schema → standard output."""

import json

import typer

from retinue.compile.schema import agent_schema


def command() -> None:
    """Print the JSON Schema of agents/NAME.yaml, for editors and other tools."""
    typer.echo(json.dumps(agent_schema(), indent=2, ensure_ascii=False))


command.__name__ = "schema"
