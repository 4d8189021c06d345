"""A verb's name → its command: only the module of the one that was asked for is imported."""

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

VERBS = {
    "validate": "Check agent files: all mistakes at once, each with its place and its cure.",
    "show": "Show what an agent is made of: rendered prompt, final tool list, route, digest.",
    "doctor": "Say what works and what doesn't: files, keys by name, tool servers, the store.",
    "ask": "Ask an agent one question. The answer goes to stdout, its steps to stderr.",
    "chat": "Talk with an agent; it remembers the conversation until you leave.",
    "serve": "Serve agents at OpenAI-compatible endpoints; the first one named is the default.",
    "lock": "Keep the tools of an agent's MCP servers as they are now, in agents/NAME.lock.",
    "bundle": "Make what `databricks bundle deploy` takes: for each agent an app and its folder.",
    "plan": "Show what a deployment would change: prompts, models, tools, permissions, grants.",
    "deploy": "Deploy all agents: check, bundle, `databricks bundle deploy`, start, ask each one.",
    "rollback": "Run an earlier deployment of an agent's app again: its files, as they were.",
    "logs": "Print what a deployed agent's app and its platform wrote, times in UTC.",
    "stats": "Sum up the requests in the log of the project's store: how many, tokens, cost and "
    "time.",
    "keys": "Make, list and revoke API keys in the project's store.",
    "proxy": "Open an OpenAI endpoint on this machine that asks a deployed agent as you.",
    "register": "Register an agent's version as a version of a model in Unity Catalog.",
    "schema": "Print the JSON Schema of agents/NAME.yaml or retinue.yaml, for editors and other "
    "tools.",
    "models": "List the models that agents are answered by: where they are, what they cost and "
    "take.",
    "mcp": "Servers of our own that speak MCP.",
}
"""The modules of this package that are verbs, and what `retinue --help` says of each."""


class Verbs(TyperGroup):
    """All verbs as they are listed; a verb is whole once it is the one to run."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        # What has no module yet has no parameters either: these are only listed.
        self.commands = {name: TyperCommand(name, help=text) for name, text in VERBS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, whole(name) if name else command, rest


def whole(name: str) -> Any:
    """A verb's command, with its parameters, and with the verbs under it."""
    module = import_module(f"retinue.cli.{name}")
    holder = typer.Typer()
    if hasattr(module, "app"):
        holder.add_typer(module.app, name=name)
    else:
        holder.command()(module.command)
    command = get_group(holder).commands[name]
    _flow(command)
    return command


def _flow(command: Any) -> None:
    """Paragraphs as long lines: where a docstring's lines end isn't where a terminal's do."""
    paragraphs = (command.help or "").split("\n\n")
    command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    for below in getattr(command, "commands", {}).values():
        _flow(below)
