"""An app's name or address → the app, as the workspace in use knows it."""

from retinue.cli.deployed.app import DeployedApp, app_at, app_named
from retinue.cli.deployed.login import signed_in
from retinue.cli.deployed.target import Target


async def find(name: str | None, url: str | None, target: Target | None = None) -> DeployedApp:
    """The app of that name, or at that address, in the target's workspace.

    Raises DeployedError, MissingReferenceError where nobody is logged in, and UsageError where
    the login is for another workspace.
    """
    workspace = await signed_in(target)
    if name is not None:
        return await app_named(workspace, name)
    return await app_at(workspace, url or "")
