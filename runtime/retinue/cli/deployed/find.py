"""An agent and a target, or an address → the app, as the workspace in use knows it."""

import os
from collections.abc import Mapping

from retinue.cli.deployed.app import DeployedApp, app_at, app_named
from retinue.compile.reader import Reader
from retinue.compile.report import Report
from retinue.compile.variables import read_variables
from retinue.diagnostics import CompileError
from retinue.errors import UsageError
from retinue.project import Project
from retinue.run.references import environment
from retinue.run.workspace import Workspace

_SUFFIX = "app_suffix"


def app_of_agent(project: Project, agent: str, given: Mapping[str, str], target: str | None) -> str:
    """The name of an agent's app: its own and the target's suffix.

    Raises CompileError for a target that isn't there, UsageError where the suffix is unknown.
    """
    report = Report()
    variables = read_variables(Reader(project), report, given=given, env=os.environ, target=target)
    found = report.diagnostics()
    if any(one.severity == "error" for one in found):
        raise CompileError(found)
    suffix = variables.value(_SUFFIX)
    if suffix.value is None:
        raise UsageError(f"{suffix.problem}: give --var {_SUFFIX}=…, or the app's --url")
    return agent + suffix.value


async def find(name: str | None, url: str | None) -> DeployedApp:
    """The app of that name, or at that address.

    Raises DeployedError, and MissingReferenceError where nobody is logged in.
    """
    workspace = await Workspace.find(environment())
    if name is not None:
        return await app_named(workspace, name)
    return await app_at(workspace, url or "")
