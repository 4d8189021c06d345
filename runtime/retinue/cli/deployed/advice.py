"""What the Databricks CLI said when it failed → what to do about it."""

from collections.abc import Mapping

# What to do → what the CLI or the platform says then, in lower case; the first that fits.
_KNOWN: Mapping[str, tuple[str, ...]] = {
    "put `retinue` on the PATH, or mend what `retinue bundle` says above": (
        "failed to execute script",
    ),
    "log in with `databricks auth login`, for this target's profile or host": (
        "default credentials",
        "invalid access token",
        "cannot get access token",
        "unauthenticated",
    ),
    "install another version of the CLI": ("constraint not satisfied", "databricks_cli_version"),
    "give the variable with --var NAME=VALUE": ("no value assigned to required variable",),
    "see with `retinue plan` which app was made elsewhere, and how to bind it to this bundle": (
        "already exists",
        "resource_already_exists",
    ),
    "agents that are gone take their apps along: see `retinue plan`, then give --auto-approve": (
        "--auto-approve",
        "destructive actions",
    ),
    "another deployment runs, or was cut off: wait, or `databricks bundle deploy --force-lock`": (
        "deploy.lock",
        "deployment lock",
        "--force-lock",
    ),
    "ask an admin to switch user authorization on for apps, or use `auth: app`": (
        "user token passthrough",
        "user_api_scopes",
    ),
    "ask an admin for the permission that it names": (
        "permission_denied",
        "does not have permission",
    ),
    "the app was made and doesn't start: see `retinue logs`": (
        "app crashed",
        "error building app",
        "app status: crashed",
    ),
}


def advice(said: str) -> str:
    """One sentence; where nothing is known of it, where to look."""
    low = said.lower()
    for what, marks in _KNOWN.items():
        if any(mark in low for mark in marks):
            return what
    return "see what it says above; docs/deploy.md lists what may be wrong"
