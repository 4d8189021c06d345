"""A Databricks profile, environment or App → its workspace's host and signed headers."""

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from retinue.agent import Ref
from retinue.errors import MissingReferenceError
from retinue.run.ports import Lookup

if TYPE_CHECKING:
    from databricks.sdk.config import Config

# Empty where nothing is set: then a profile may name the host.
_HOST = Ref("workspace", "host", default="")

_LOG_IN = (
    "log in with `databricks auth login --host https://<workspace>`, or set DATABRICKS_HOST and "
    "DATABRICKS_TOKEN, or run with --offline"
)


class Workspace:
    """The identity of this process. Tokens are refreshed by databricks-sdk ahead of their expiry.

    `url` is `https://host`, without a slash at its end.
    """

    def __init__(self, config: "Config", url: str) -> None:
        self.url = url
        self.host = urlsplit(url).hostname or ""
        self._config = config

    @classmethod
    async def find(cls, lookup: Lookup) -> "Workspace":
        """Raises MissingReferenceError, which says how to log in."""
        config = await asyncio.to_thread(_config, lookup(_HOST) or None)
        url = (config.host or "").rstrip("/")
        if not urlsplit(url).hostname:
            raise MissingReferenceError(f"no Databricks workspace is configured: {_LOG_IN}")
        return cls(config, url)

    async def headers(self) -> dict[str, str]:
        """Headers that sign a request to this workspace, and belong to no other host.

        Raises MissingReferenceError where no token can be had.
        """
        return await asyncio.to_thread(_headers, self._config)


def _config(host: str | None) -> "Config":
    # Imported here: the SDK costs a second, and only Databricks' own servers and models need it.
    from databricks.sdk.config import Config  # noqa: PLC0415

    try:
        config = Config(host=host, http_timeout_seconds=10, retry_timeout_seconds=10)
    except Exception:  # noqa: BLE001 - ValueError, OSError and the SDK's own, quoting the configuration
        raise MissingReferenceError(f"no Databricks credentials were found: {_LOG_IN}") from None
    _headers(config)
    return config


def _headers(config: "Config") -> dict[str, str]:
    try:
        return dict(config.authenticate())
    except Exception:  # noqa: BLE001 - as above
        raise MissingReferenceError(f"Databricks gave no token: {_LOG_IN}") from None
