"""A bundle and a target → apps that run and answer, by way of the Databricks CLI."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from retinue.cli.deployed.advice import advice
from retinue.cli.deployed.app import DeployedApp
from retinue.cli.deployed.databricks_cli import DatabricksCli, required_cli
from retinue.cli.deployed.login import signed_in
from retinue.cli.deployed.ready import ready, runs
from retinue.cli.deployed.state import Deployed, State
from retinue.cli.deployed.target import Target
from retinue.errors import RetinueError
from retinue.run.workspace_api import WorkspaceApi

_PATIENCE = 180.0
_APPROVE = "--auto-approve"


@dataclass(frozen=True, slots=True)
class Deployment:
    """All agents of the project in `root`; `words` are the CLI's options for the target."""

    root: Path
    agents: Sequence[str]
    target: Target
    words: Sequence[str]

    async def run(self) -> bool:
        """Deploy, start what doesn't run, ask each app. Whether every agent answers.

        Raises DeployedError, MissingReferenceError and UsageError before anything is changed:
        without a CLI that can do it, without a login, or with one for another workspace.
        """
        cli = await required_cli()
        await signed_in(self.target)
        if not await self._called(cli, "bundle", "deploy", *self.words):
            return False
        return all([await self._answers(cli, agent) for agent in self.agents])

    async def _called(self, cli: DatabricksCli, *words: str) -> bool:
        shown = shlex.join(["databricks", *words])
        say("runs", shown)
        code, said = await cli.run(words, self.root)
        if code != 0:
            typer.echo(f"error: `{shown}` failed ({code}): {advice(said)}", err=True)
        return code == 0

    async def _answers(self, cli: DatabricksCli, agent: str) -> bool:
        """Whether the agent's app answers; where it doesn't run, it is started first."""
        name = self.target.app_name(agent)
        words = [word for word in self.words if word != _APPROVE]
        try:
            deployed = await self._app(name)
            if deployed is None or not runs(deployed.app):
                if not await self._called(cli, "bundle", "run", agent, *words):
                    return False
                deployed = await self._app(name)
            app = await ready(name, deployed, agent, _PATIENCE)
        except RetinueError as error:
            typer.echo(f"error: {agent} was deployed and doesn't answer you: {error}", err=True)
            return False
        say("answers", f"{agent} at {app.url}")
        typer.echo(_snippet(app, agent, self.words))
        return True

    async def _app(self, name: str) -> Deployed | None:
        workspace = await signed_in(self.target)
        async with WorkspaceApi(workspace) as api:
            return await State(workspace, api).app(name)


def say(step: str, what: str) -> None:
    """Tell progress, on stderr."""
    typer.echo(f"{step:<8}{what}", err=True)


def _snippet(app: DeployedApp, agent: str, words: Sequence[str]) -> str:
    """How to ask it: with curl, and from any OpenAI client."""
    message = {"role": "user", "content": "What can you do?"}
    body = json.dumps({"model": agent, "stream": True, "messages": [message]})
    profile = [*words[words.index("--profile") :][:2]] if "--profile" in words else []
    token = shlex.join(["databricks", "auth", "token", *profile])
    field = "python3 -c 'import json, sys; print(json.load(sys.stdin)[\"access_token\"])'"
    proxy = shlex.join(["retinue", "proxy", *(w for w in words if w != _APPROVE), agent])
    return "\n".join(
        [
            f"{agent}: {app.url}/api/v1",
            f"  TOKEN=$({token} | {field})",
            f'  curl -N {app.url}/api/v1/chat/completions -H "Authorization: Bearer $TOKEN" \\',
            f"    -H 'content-type: application/json' -d '{body}'",
            f"  {proxy}    # then, in any OpenAI client: base_url http://127.0.0.1:8001/v1",
        ]
    )
