"""A target and a profile → whose login the rest of this process uses, and at which workspace."""

import configparser
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from retinue.cli.deployed.target import Target
from retinue.cli.options import choose_profile
from retinue.diagnostics import printable
from retinue.errors import UsageError
from retinue.run.references import environment
from retinue.run.workspace import Workspace

_HOST = "DATABRICKS_HOST"
_PROFILE = "DATABRICKS_CONFIG_PROFILE"


def choose_login(target: Target | None, profile: str | None) -> None:
    """Set the environment as the Databricks CLI would read it for that target.

    `profile` goes over the environment's, that over the target's own, and that over the target's
    host, for which the one profile is taken that has it. Raises UsageError where the environment
    names another workspace, or several profiles have the host.
    """
    if profile:
        choose_profile(profile)
        return
    if target is None or os.environ.get(_PROFILE):
        return
    if target.profile:
        choose_profile(target.profile)
        return
    if target.host is None:
        return
    if there := os.environ.get(_HOST):
        check_host(target, there, f"the environment's {_HOST}")
        return
    profiles = [*_profiles_of(target.host)]
    if len(profiles) > 1:
        listed = ", ".join(map(printable, profiles))
        raise UsageError(f"several profiles are for {target.host}, choose a --profile: {listed}")
    if profiles:
        choose_profile(profiles[0])
    else:
        os.environ[_HOST] = target.host


async def signed_in(target: Target | None) -> Workspace:
    """The workspace of the login in use.

    Raises MissingReferenceError without a login, UsageError where it isn't the target's workspace.
    """
    workspace = await Workspace.find(environment())
    if target is not None and target.host is not None:
        check_host(target, workspace.url, "the login")
    return workspace


def check_host(target: Target, url: str, whose: str) -> None:
    """Raise UsageError where `url` isn't the workspace that the target names."""
    if target.host is not None and _host(target.host) != _host(url):
        raise UsageError(
            f"the target '{target.name}' is at {printable(target.host)}, and {whose} is for "
            f"{printable(url)}: name a --profile of the target's workspace"
        )


def _profiles_of(host: str) -> Iterator[str]:
    """The profiles for a workspace. Source of the file's form: databricks-sdk."""
    place = Path(os.environ.get("DATABRICKS_CONFIG_FILE") or "~/.databrickscfg").expanduser()
    file = configparser.ConfigParser(interpolation=None, default_section="no default section")
    try:
        file.read(place, encoding="utf-8")
    except (configparser.Error, OSError, ValueError):
        return
    for name in file.sections():
        if _host(file[name].get("host", "")) == _host(host):
            yield name


def _host(url: str) -> tuple[str, int | None]:
    """Where an address is, however it is written."""
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        return (parts.hostname or "").lower(), parts.port
    except ValueError:
        return url, None
