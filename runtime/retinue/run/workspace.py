"""A Databricks profile, environment or App → its workspace's host and signed headers."""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from retinue.errors import MissingReferenceError
from retinue.run.caller import Caller
from retinue.run.ports import Lookup
from retinue.values import Ref

if TYPE_CHECKING:
    from databricks.sdk.config import Config

log = logging.getLogger(__name__)

# Empty where nothing is set: then a profile may name the host.
_HOST = Ref("workspace", "host", default="")

_LOG_IN = (
    "log in with `databricks auth login --host https://<workspace>`, or set DATABRICKS_HOST and "
    "DATABRICKS_TOKEN; ask, chat and serve also run with --offline"
)

# Shares of a token's life: from the first on another is asked for, after the second it is dead.
_FRESH = 0.8
_VALID = 0.95
# Seconds. For credentials that don't say how long they live,
_UNKNOWN_LIFE = 600.0
# and the pauses after a failure, and after a token that was refused.
_PAUSE = 5.0
_RENEWAL = 30.0

_PATIENCE: dict[str, Any] = {"http_timeout_seconds": 10, "retry_timeout_seconds": 5}

_APPS = ".databricksapps.com"
_APP_NAME = Ref("env", "DATABRICKS_APP_NAME", default="")

_PORTS = {"https": 443, "http": 80}

# databricks-sdk's names of what a person logs in with; the others are service principals'.
_PERSONAL = ("azure-cli", "basic", "databricks-cli", "external-browser", "pat")


@dataclass(frozen=True, slots=True)
class _Signed:
    """What databricks-sdk gave: `life` is in seconds."""

    url: str
    headers: dict[str, str] = field(repr=False)
    life: float
    personal: bool


class Workspace:
    """The identity of this process at one workspace, shared by all that runs in an event loop.

    `url` is `https://host`, without a slash at its end. The token is renewed ahead of its expiry,
    in a thread and by one request for all who wait; after a failure it is tried again later.
    `patience` is the longest wait for a token, in seconds; `clock` gives seconds. `personal` tells
    a person's login, such as a profile's, from a service principal's.
    """

    def __init__(
        self,
        host: str | None,
        *,
        patience: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = ""
        self.host = ""
        self.personal = False
        self._given = host
        self._patience = patience
        self._clock = clock
        self._headers: dict[str, str] = {}
        self._fresh_until = self._valid_until = self._retry_at = self._renew_at = -math.inf
        self._problem = ""
        self._flight: asyncio.Future[None] | None = None

    @classmethod
    async def find(cls, lookup: Lookup) -> "Workspace":
        """The loop's own, ready to sign. Raises MissingReferenceError, which says how to log in."""
        host = lookup(_HOST) or None
        known = _WORKSPACES.setdefault(asyncio.get_running_loop(), {})
        workspace = known.get(host) or known.setdefault(host, cls(host))
        await workspace.headers()
        return workspace

    async def headers(self) -> dict[str, str]:
        """Headers that sign a request to this workspace, and belong to no other host (`signs`).

        Costs a request only where there is no token that is still good.
        Raises MissingReferenceError where none can be had.
        """
        now = self._clock()
        if now >= self._fresh_until:
            if self._flight is None and now >= self._retry_at:
                self._begin()
            if now >= self._valid_until:
                if self._flight is not None:
                    await asyncio.shield(self._flight)
                if self._problem:
                    raise MissingReferenceError(self._problem)
        return dict(self._headers)

    async def renewed(self, refused: Mapping[str, str]) -> bool:
        """Whether there are other headers than those that were refused, though they seemed good.

        A token may be revoked before its time. Another is asked for at most twice a minute: an
        identity may be refused for good.
        """
        now = self._clock()
        if refused == self._headers and now >= self._renew_at:
            self._renew_at = now + _RENEWAL
            self._fresh_until = self._valid_until = -math.inf
        try:
            return await self.headers() != refused
        except MissingReferenceError:
            return False

    def signs(self, url: str) -> bool:
        """Whether a request to `url` stays at this workspace: its scheme, its host, its port.

        Neither this process's token nor a caller's may go anywhere else.
        """
        return _origin(url) == _origin(self.url) is not None

    def hosts_app(self, url: str) -> bool:
        """Whether `url` is an address that Databricks gives apps, or the workspace's own host."""
        parts = urlsplit(url)
        here = urlsplit(self.url)
        own = (parts.scheme, parts.hostname) == (here.scheme, here.hostname)
        return own or (parts.scheme == "https" and (parts.hostname or "").endswith(_APPS))

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        flight = self._flight = loop.create_future()
        # A request of databricks-sdk may hang for ever, and an abandoned one must not keep the
        # process from ending: so no thread of a pool, and no waiting for it.
        late = f"Databricks gave no token within {self._patience:g} s: {_LOG_IN}"
        timer = loop.call_later(self._patience, self._settle, flight, late)
        flight.add_done_callback(lambda _: timer.cancel())

        def ask() -> None:
            outcome = _outcome(self._given)
            with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
                loop.call_soon_threadsafe(self._settle, flight, outcome)

        threading.Thread(target=ask, name="workspace token", daemon=True).start()

    def _settle(self, flight: asyncio.Future[None], outcome: _Signed | str) -> None:
        if flight is not self._flight:
            return  # it was given up
        self._flight = None
        now = self._clock()
        if isinstance(outcome, _Signed) and self.url not in ("", outcome.url):
            outcome = "the Databricks workspace that is configured has changed: start again"
        if isinstance(outcome, str):
            self._problem, self._retry_at = outcome, now + _PAUSE
            if self._headers:  # or else those who wait are told
                log.warning("the Databricks token was not renewed: %s", outcome)
        else:
            self._problem, self._headers = "", outcome.headers
            self.personal = outcome.personal
            self.url, self.host = outcome.url, urlsplit(outcome.url).hostname or ""
            self._fresh_until = now + _FRESH * outcome.life
            self._valid_until = now + _VALID * outcome.life
        flight.set_result(None)


_WORKSPACES: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str | None, Workspace]] = (
    WeakKeyDictionary()
)


async def is_person(caller: Caller, lookup: Lookup) -> bool:
    """Whether the caller is the person who is logged in here: one without a name and a token,
    where no Databricks App serves. Raises MissingReferenceError where nobody is logged in.
    """
    if caller.token or caller.user_id or caller.user_email or lookup(_APP_NAME):
        return False
    return (await Workspace.find(lookup)).personal


def _origin(url: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port; None for what isn't plainly an address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc or "\\" in url:
        return None
    return parts.scheme, parts.hostname, port or _PORTS[parts.scheme]


def _outcome(host: str | None) -> _Signed | str:
    try:
        return _signed(host)
    except MissingReferenceError as missing:
        return str(missing)


def _signed(host: str | None) -> _Signed:
    """Found anew each time: a profile may have been logged in to, or its secret changed."""
    try:
        config = _config(host)
    except Exception:  # noqa: BLE001 - ValueError, OSError and the SDK's own, quoting the configuration
        raise MissingReferenceError(f"no Databricks credentials were found: {_LOG_IN}") from None
    url = (config.host or "").rstrip("/")
    if _origin(url) is None:
        raise MissingReferenceError(f"no Databricks workspace is configured: {_LOG_IN}")
    try:
        headers = dict(config.authenticate())
        return _Signed(url, headers, _life(config), config.auth_type in _PERSONAL)
    except Exception:  # noqa: BLE001 - as above
        raise MissingReferenceError(f"Databricks gave no token: {_LOG_IN}") from None


def _config(host: str | None) -> "Config":
    # Imported here: the SDK costs a second, and only Databricks' own servers and models need it.
    from databricks.sdk.config import Config  # noqa: PLC0415

    try:
        return Config(host=host, **_PATIENCE)
    except ValueError:
        if host is None:
            raise
        # Newer releases ask the workspace where it gives out tokens, and not all workspaces tell.
        address = host if "://" in host else f"https://{host}"
        usual = f"{address.rstrip('/')}/oidc/.well-known/oauth-authorization-server"
        return Config(host=host, discovery_url=usual, **_PATIENCE)


def _life(config: "Config") -> float:
    """Seconds for which the token is good."""
    if config.auth_type in ("pat", "basic"):
        return math.inf
    try:
        expiry = config.oauth_token().expiry
    except ValueError:
        expiry = None
    if expiry is None:
        return _UNKNOWN_LIFE
    return max(0.0, (expiry - datetime.now(expiry.tzinfo)).total_seconds())
