"""What the tests of deploying share: a workspace, and a machine with a `databricks` command."""

import os
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from workspace import databricks_cli
from workspace.deploying import Cloud, cloud

USER = databricks_cli.USER
BUNDLE = """
bundle: {name: tried, engine: direct}
include: [bundles/*.yml, bundles/*/*.yml]
experimental: {scripts: {preinit: retinue bundle --quiet}}
variables: {app_suffix: {default: ""}, space: {default: 01ef0123456789abcdef0123456789ab}}
targets:
  dev: {default: true, variables: {app_suffix: -dev}}
  prod: {}
"""


@dataclass
class Machine:
    """`env` is that of a developer who is logged in; `log` what the CLI was called with."""

    cloud: Cloud
    env: dict[str, str]
    log: Path

    @property
    def called(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@asynccontextmanager
async def machine(project: Path, bundle: str = BUNDLE) -> AsyncIterator[Machine]:
    """A machine at a workspace that is empty yet; the project gets a databricks.yml."""
    (project / "databricks.yml").write_text(bundle)
    async with cloud() as made:
        yield Machine(made, login(made, project), project / "cli.log")


def login(made: Cloud, project: Path, user: str = USER) -> dict[str, str]:
    return {
        "PATH": f"{_tools(project)}:{Path(sys.executable).parent}:{os.defpath}",
        "DATABRICKS_HOST": made.url,
        "DATABRICKS_TOKEN": made.workspace.sign_in(user),
        "FAKE_CLI_LOG": str(project / "cli.log"),
        "FAKE_CLI_LIGHT": "yes",
    }


def _tools(project: Path) -> Path:
    """A folder with the command in it."""
    folder = project.parent / f"{project.name}-tools"
    folder.mkdir(exist_ok=True)
    tool = folder / "databricks"
    tests = Path(databricks_cli.__file__).parents[1]
    run = f"import sys; sys.path.append({str(tests)!r})"
    run += "; from workspace.databricks_cli import main; sys.exit(main())"
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{run}" "$@"\n')
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    return folder
