"""A Databricks server → the URL its workspace serves it at, and how to sign requests to it."""

from collections.abc import AsyncGenerator
from urllib.parse import quote

import httpx2

from retinue.agent import Databricks
from retinue.run.mcp.faults import LinkError
from retinue.run.mcp.secrets import Secrets
from retinue.run.references import resolved
from retinue.run.workspace import Workspace

_PATHS = {"genie_space": "/api/2.0/mcp/genie/{target}"}


class WorkspaceAuth(httpx2.Auth):
    """Signs requests to the workspace's host and to nowhere else.

    The caller's own token is not used here: `auth: user` means the identity of this process.
    """

    def __init__(self, workspace: Workspace, secrets: Secrets) -> None:
        self._workspace = workspace
        self._secrets = secrets

    async def async_auth_flow(
        self, request: httpx2.Request
    ) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        if self._workspace.signs(str(request.url)):
            headers = await self._workspace.headers()
            for value in headers.values():
                self._secrets.note(value.removeprefix("Bearer "), "${workspace.token}")
            request.headers.update(headers)
        yield request


async def managed(server: Databricks, secrets: Secrets) -> tuple[str, WorkspaceAuth]:
    """The server's URL and its authentication.

    Raises LinkError without a target, MissingReferenceError without credentials; both say what
    to do.
    """
    if server.target is None:
        raise LinkError(
            f"its {server.kind} has no value here: set the bundle variable with --var or "
            "BUNDLE_VAR_<name>, or run with --offline"
        )
    target = quote(resolved(server.target, secrets), safe="")
    workspace = await Workspace.find(secrets)
    return workspace.url + _PATHS[server.kind].format(target=target), WorkspaceAuth(
        workspace, secrets
    )
