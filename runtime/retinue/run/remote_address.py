"""An agent elsewhere and who asks it → the URL to post to, and the headers that sign it."""

import re
from urllib.parse import quote

from retinue.agent import Databricks, RemoteAgent
from retinue.errors import ModelError, ToolError
from retinue.run.caller import Caller
from retinue.run.models.direct.address import Address
from retinue.run.ports import Lookup
from retinue.run.references import resolved
from retinue.run.workspace import Workspace, is_person

DEPTH_HEADER = "x-retinue-depth"
_SESSION_HEADER = "x-session-id"
_BREAK = re.compile(r"[\r\n\0]")


class RemoteAddress:
    """Where one agent is. References are looked up anew for each question."""

    def __init__(self, remote: RemoteAgent, lookup: Lookup) -> None:
        self._remote = remote
        self._lookup = lookup
        # The app's address; the workspace is asked once, and again after `forget`.
        self._app: str | None = None

    def forget(self) -> None:
        """The app may have been made anew, at another address."""
        self._app = None

    async def find(self, caller: Caller) -> Address:
        """Where to ask for this caller; the headers also say how deep, and in which session.

        Raises MissingReferenceError for a reference without a value, ModelError where there is no
        such place, and ToolError where it can't be asked for this caller.
        """
        transport = self._remote.transport
        if isinstance(transport, Databricks):
            base, signed = await self._in_workspace(transport, caller)
        else:
            base = resolved(transport.url, self._lookup).rstrip("/")
            signed = {name: resolved(text, self._lookup) for name, text in transport.headers}
            if self._remote.api_key is not None:
                key = resolved(self._remote.api_key, self._lookup)
                signed["Authorization"] = f"Bearer {key}"
        headers = {"Content-Type": "application/json", **signed}
        headers[DEPTH_HEADER] = str(caller.depth + 1)
        if caller.session:
            headers[_SESSION_HEADER] = caller.session
        if any(_BREAK.search(value) for value in headers.values()):
            raise ModelError("auth", f"a key or header for '{self._remote.name}' has a line break")
        return Address(f"{base}/chat/completions", headers)

    async def _in_workspace(
        self, transport: Databricks, caller: Caller
    ) -> tuple[str, dict[str, str]]:
        if transport.target is None:
            raise ToolError(
                f"{self._remote.name} can't be asked: its app has no value here. Set the bundle "
                "variable with --var or BUNDLE_VAR_<name>."
            )
        workspace = await Workspace.find(self._lookup)
        signed = await self._signed(workspace, caller)
        if self._app is None:
            name = resolved(transport.target, self._lookup)
            self._app = await _app_url(workspace, name, signed)
        # The platform takes tokens for paths under `/api/`.
        return f"{self._app}/api/v1", signed

    async def _signed(self, workspace: Workspace, caller: Caller) -> dict[str, str]:
        if self._remote.auth == "user" and caller.token:
            return {"Authorization": f"Bearer {caller.token}"}
        if self._remote.auth == "app" or await is_person(caller, self._lookup):
            return await workspace.headers()
        raise ToolError(
            f"{self._remote.name} can't be asked: it is asked with the rights of each user, and "
            "this request brings no Databricks token of a user's."
        )


async def _app_url(workspace: Workspace, name: str, signed: dict[str, str]) -> str:
    """The app's address, without a slash at its end.

    Source: https://docs.databricks.com/api/workspace/apps/get
    """
    # Off the start-up path: the client, which agents without remote ones don't need.
    from retinue.run.workspace_api import WorkspaceApi  # noqa: PLC0415

    async with WorkspaceApi(workspace, headers=signed) as api:
        answer = await api.get(f"/api/2.0/apps/{quote(name, safe='')}")
    if answer.status != 200:
        told = f"answered {answer.status}" if answer.status else "can't be reached"
        raise ModelError("not_found", f"the workspace, asked where the app '{name}' is, {told}")
    url = answer.body.get("url")
    if not isinstance(url, str) or not workspace.hosts_app(url):
        raise ModelError("not_found", f"the app '{name}' has no address of Databricks' own")
    return url.rstrip("/")
