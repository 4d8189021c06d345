"""A Databricks server → the URL its workspace serves it at, and how to sign requests to it.

Source of the paths: https://docs.databricks.com/aws/en/agents/mcp/managed-mcp
"""

import json
import ssl
from collections.abc import AsyncGenerator, Mapping
from urllib.parse import quote, urlsplit

import httpx2

from retinue.agent import Databricks, DatabricksKind
from retinue.run.mcp.faults import LinkError
from retinue.run.mcp.link import Exchange, exchange
from retinue.run.mcp.secrets import Secrets
from retinue.run.references import resolved
from retinue.run.workspace import Workspace

_PATHS: Mapping[DatabricksKind, str] = {
    "genie_space": "/api/2.0/mcp/genie/{target}",
    "genie": "/api/2.0/mcp/genie",
    "sql": "/api/2.0/mcp/sql",
    "functions": "/api/2.0/mcp/functions/{target}",
    "vector_search": "/api/2.0/mcp/ai-search/{target}",
    "connection": "/api/2.0/mcp/external/{target}",
}
# What workspaces called it before; some still know no other name.
_OLDER = ("/api/2.0/mcp/ai-search/", "/api/2.0/mcp/vector-search/")

_WHOLE: tuple[DatabricksKind, ...] = ("genie", "sql")
_IN_CATALOG: tuple[DatabricksKind, ...] = ("functions", "vector_search")


class WorkspaceAuth(httpx2.Auth):
    """Signs requests to the workspace, and to one of its apps, and to nowhere else.

    With a `user_token` it signs as that user, and never as this process.
    """

    def __init__(self, workspace: Workspace, secrets: Secrets, user_token: str | None) -> None:
        self._workspace = workspace
        self._secrets = secrets
        self._user_token = user_token
        self._app: tuple[str, str] | None = None
        # Whether the server is known by its older name; None until it has answered.
        self._older: bool | None = None

    def trust_app(self, url: str) -> None:
        """Sign requests to this app too. Raises LinkError where it is not the workspace's own."""
        if not self._workspace.hosts_app(url):
            raise LinkError("its app is at an address that is not Databricks' own")
        parts = urlsplit(url)
        self._app = parts.scheme, parts.netloc

    async def async_auth_flow(
        self, request: httpx2.Request
    ) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        url = str(request.url)
        signed: dict[str, str] = {}
        if self._signs(url):
            signed = await self._headers()
            request.headers.update(signed)
        if self._older:
            request.url = httpx2.URL(url.replace(*_OLDER, 1))
        response = yield request
        if response.status_code == 401 and signed and self._user_token is None:
            # It was not run: a token that was revoked before its time costs no call.
            if not await self._workspace.renewed(signed):
                return
            request.headers.update(await self._headers())
            response = yield request
        if self._older is None:
            self._older = response.status_code == 404 and _OLDER[0] in url
            if self._older:
                request.url = httpx2.URL(url.replace(*_OLDER, 1))
                yield request

    def _signs(self, url: str) -> bool:
        return self._workspace.signs(url) or urlsplit(url)[:2] == self._app

    async def _headers(self) -> dict[str, str]:
        if self._user_token is not None:
            self._secrets.note(self._user_token, "${user.token}")
            return {"Authorization": f"Bearer {self._user_token}"}
        headers = await self._workspace.headers()
        for value in headers.values():
            self._secrets.note(value.removeprefix("Bearer "), "${workspace.token}")
        return headers


async def managed(
    server: Databricks, secrets: Secrets, user_token: str | None, trust: ssl.SSLContext
) -> tuple[str, WorkspaceAuth]:
    """The server's URL and its authentication: as the user of the token, or else as this process.

    Raises LinkError without a target, MissingReferenceError without credentials; both say what
    to do.
    """
    if server.target is None:
        raise LinkError(
            f"its {server.kind} has no value here: set the bundle variable with --var or "
            "BUNDLE_VAR_<name>, or run with --offline"
        )
    target = _path(server, resolved(server.target, secrets))
    workspace = await Workspace.find(secrets)
    auth = WorkspaceAuth(workspace, secrets, user_token)
    if server.kind == "app":
        url = await _app_url(f"{workspace.url}/api/2.0/apps/{target}", auth, trust)
        auth.trust_app(url)
        return f"{url}/mcp", auth
    return workspace.url + _PATHS[server.kind].format(target=target), auth


def _path(server: Databricks, target: str) -> str:
    """The target as it stands in a URL. Raises LinkError where a reference gave what none can be.

    `.` and `..` would lead elsewhere, and the token with it.
    """
    if server.kind in _WHOLE:
        return ""
    in_catalog = server.kind in _IN_CATALOG
    parts = target.split(".") if in_catalog else [target]
    if {*parts} & {"", ".", ".."} or (in_catalog and len(parts) not in (2, 3)):
        wanted = "CATALOG.SCHEMA or a name in one" if in_catalog else "a name"
        raise LinkError(f"the value of its {server.kind} is not {wanted}")
    return "/".join(quote(part, safe="") for part in parts)


async def _app_url(url: str, auth: WorkspaceAuth, trust: ssl.SSLContext) -> str:
    """The address of an app, without a slash at its end, as the workspace tells it."""
    record = exchange.get() or Exchange()
    try:
        async with httpx2.AsyncClient(auth=auth, timeout=10.0, verify=trust) as client:
            answer = await client.get(url)
    except (httpx2.TransportError, OSError) as error:
        kind = type(error).__name__
        raise LinkError(f"the workspace can't be asked where the app is ({kind})") from None
    record.status = answer.status_code
    if record.refused:
        record.fault = LinkError(f"the workspace, asked where the app is, {record.words()}")
        raise record.fault
    try:
        told = json.loads(answer.content)
    except ValueError:
        told = None
    address = told.get("url") if isinstance(told, dict) else None
    if not isinstance(address, str) or not address:
        raise LinkError("the workspace has no address for its app: is it started?")
    return address.rstrip("/")
