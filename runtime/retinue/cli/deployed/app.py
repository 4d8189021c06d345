"""An app's name or address → where it is, as its workspace says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from retinue.diagnostics import printable
from retinue.errors import RetinueError
from retinue.run.workspace import Workspace
from retinue.run.workspace_api import Answer, WorkspaceApi

_MOST_PAGES = 50
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class DeployedError(RetinueError):
    """The app can't be found, or doesn't answer as one; the message says what to do.

    `passing` is true where asking again later may help.
    """

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


@dataclass(frozen=True, slots=True)
class DeployedApp:
    """`url` is the app's origin, without a slash at its end: tokens go there and nowhere else."""

    name: str
    url: str


async def app_named(workspace: Workspace, name: str) -> DeployedApp:
    """The app of that name. Raises DeployedError, and MissingReferenceError without a login.

    Source: https://docs.databricks.com/api/workspace/apps/get
    """
    async with WorkspaceApi(workspace) as api:
        answer = await api.get(f"/api/2.0/apps/{quote(name, safe='')}")
    if answer.status == 404:
        raise DeployedError(
            f"there is no app '{printable(name)}' in {workspace.url}: deploy it with `databricks "
            "bundle deploy`, or name another --target or --profile"
        )
    refuse(answer, workspace)
    return app_of(name, answer.body)


def app_of(name: str, told: Mapping[str, Any]) -> DeployedApp:
    """The app that the workspace told of. Raises DeployedError where it has no address yet."""
    return _checked(name, told.get("url"))


async def app_at(workspace: Workspace, url: str) -> DeployedApp:
    """The app that the workspace has at `url`: an address of anything else gets no token.

    Raises as `app_named`. Source: https://docs.databricks.com/api/workspace/apps/list
    """
    wanted = _origin(url)
    path = "/api/2.0/apps?page_size=100"
    async with WorkspaceApi(workspace) as api:
        for _ in range(_MOST_PAGES):
            answer = await api.get(path)
            refuse(answer, workspace)
            listed = answer.body.get("apps")
            for app in listed if isinstance(listed, list) else ():
                if wanted is not None and _origin(str(app.get("url"))) == wanted:
                    return _checked(str(app.get("name")), app.get("url"))
            token = answer.body.get("next_page_token")
            if not token:
                break
            path = f"/api/2.0/apps?page_size=100&page_token={quote(str(token), safe='')}"
    raise DeployedError(
        f"{workspace.url} has no app at {printable(url)}: your token goes to apps of the workspace "
        "that you are logged in to, so name its --profile"
    )


def refuse(answer: Answer, workspace: Workspace) -> None:
    """Raise DeployedError for any answer but a success."""
    if answer.status == 200:
        return
    if answer.status in (401, 403):
        raise DeployedError(
            f"{workspace.url} refuses to tell of its apps: log in anew with `databricks auth login`"
        )
    said = f"answered with status {answer.status}" if answer.status else "can't be reached"
    raise DeployedError(f"{workspace.url} {said}: try again")


def _checked(name: str, url: object) -> DeployedApp:
    origin = _origin(url) if isinstance(url, str) else None
    if origin is None:
        raise DeployedError(f"the app '{printable(name)}' has no address yet: start it")
    return DeployedApp(name, origin)


def _origin(url: str) -> str | None:
    """Scheme, host and port; None where a token must not go: no https, but on this machine."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    host = parts.hostname
    if not host or "@" in parts.netloc or "\\" in url:
        return None
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        return None
    usual = {"https": 443, "http": 80}[parts.scheme]
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + ("" if port in (None, usual) else f":{port}")
